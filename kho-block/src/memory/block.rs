//! The trait of memories whose blocks can be owned.

use core::ptr::NonNull;

use super::claim::ClaimVisitor;
use super::read::ReadMemory;
use crate::addr::PhysAddr;
use crate::error::AllocError;

/// Memory that allocates blocks to owners and preserves those that are handed over.
///
/// A block is *free*, *owned* by exactly one holder, or *preserved*: handed over and waiting for a
/// successor to claim it. [`read`](ReadMemory::read) reads preserved blocks only, and no claim
/// succeeds while it copies: to read a block that its new owner writes would be a data race.
///
/// Every method works on a batch, so that a memory takes its lock once for many blocks.
///
/// # Safety
/// An implementation must guarantee, for blocks of [`BLOCK_SIZE`](ReadMemory::BLOCK_SIZE) bytes:
///
/// - **G1** A pointer that [`allocate`](Self::allocate) or [`claim`](Self::claim) passes on is
///   aligned to 16 and valid for reads and writes of a whole block, and every byte of the block is
///   initialised, until the block is freed or handed over or the memory is dropped. Moving the
///   memory, or a reference to it, does not move its blocks.
/// - **G2** An owned block belongs to its holder alone. Until it is freed or handed over, no other
///   call gives it out, the memory does not touch it, and nobody else can, in this process or
///   outside it.
/// - **G3** Every byte of a newly allocated block is zero.
/// - **G4** [`addr_of`](Self::addr_of) returns a different address for each owned block: never
///   null, and a multiple of the block size. Claiming that address after a handover yields the same
///   bytes.
/// - **G5** `allocate` takes at most as many blocks as it is asked for. It passes each of them to
///   `visit` once, `claim` each to its visitor, and neither passes any other block. `claim` takes
///   preserved blocks only, and makes preserved again what the visitor gives back.
///   [`free`](Self::free) and [`hand_over`](Self::hand_over) free or hand over every block that
///   they take from the iterator.
/// - **G6** Clones of the memory, and references to it, stand for the same blocks.
pub unsafe trait BlockMemory: ReadMemory {
    /// Allocates `count` zeroed blocks and passes each to `visit`.
    ///
    /// `visit` must not call the memory, which may deadlock. If it panics, the blocks allocated so
    /// far stay owned.
    ///
    /// # Errors
    /// Returns an error if the memory has fewer free blocks and can't grow. Blocks that were passed
    /// to `visit` stay owned by the caller.
    fn allocate<F>(&self, count: usize, visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>);

    /// Claims the preserved block at `first`, then each block whose address the visitor names: all
    /// of them, or none.
    ///
    /// The visitor may find the next address in the block it just got, as in a chain, or in a list.
    /// Nobody else sees a block as owned by a claim that then fails: a memory that threads share
    /// holds its lock throughout. So the visitor must not call the memory. If it panics, the blocks
    /// claimed so far stay owned.
    ///
    /// # Errors
    /// Returns an error if a block can't be claimed, or if the visitor returns one. Every block is
    /// as it was before.
    ///
    /// # Safety
    /// After a failure, the visitor must [give back](ClaimVisitor::give_back) only blocks that it
    /// [visited](ClaimVisitor::visit) in this call, each at most once, and nothing may use them any
    /// more.
    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error>;

    /// Returns the address of an owned block. For any other pointer the result is unspecified.
    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr;

    /// Frees owned blocks.
    ///
    /// The iterator must not call the memory, which may deadlock.
    ///
    /// # Safety
    /// The caller must own each block that the iterator returns, from [`allocate`](Self::allocate)
    /// or [`claim`](Self::claim) on this memory, and gives it up: no reference into the block may
    /// be left, and no pointer into it may be used again.
    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I);

    /// Hands owned blocks over to a successor: they become preserved.
    ///
    /// Nobody else sees some of the blocks preserved while others are still owned: a memory that
    /// threads share holds its lock throughout. So the iterator must not call the memory.
    ///
    /// # Safety
    /// As for [`free`](Self::free), the caller must own each block that the iterator returns, and
    /// gives it up.
    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I);

    /// Called by a set after each store that changes what its chain holds.
    ///
    /// Lets tests look at every state that a crash could leave. An implementation must not panic.
    #[doc(hidden)]
    fn published(&self) {}
}
