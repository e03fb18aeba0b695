//! The memories that blocks are in, and the three traits they implement.
//!
//! | trait | what it promises | what is built on it |
//! |---|---|---|
//! | [`ReadMemory`] | bytes can be copied out | `ChainWalk`, `ForeignSet` |
//! | [`StableMemory`] | bytes can be borrowed | `SetView` |
//! | [`BlockMemory`] | blocks can be owned | `BlockSet` |

use core::ptr::NonNull;

use crate::abi::DEFAULT_BLOCK_SIZE;
use crate::addr::PhysAddr;
use crate::error::{AllocError, ClaimError, ReadError};

#[cfg(feature = "alloc")]
mod dump;
#[cfg(feature = "testing")]
mod faulty;
#[cfg(feature = "alloc")]
mod heap;
#[cfg(feature = "alloc")]
mod ledger;
#[cfg(feature = "alloc")]
mod lock;
#[cfg(all(feature = "memfd", target_os = "linux"))]
mod memfd;
#[cfg(feature = "alloc")]
mod packed;
#[cfg(feature = "alloc")]
mod page;
#[cfg(all(feature = "std", target_os = "linux", not(miri)))]
mod page_size;
mod slice;

#[cfg(feature = "alloc")]
pub use dump::{DumpError, DumpMemory};
#[cfg(feature = "testing")]
pub use faulty::FaultyMemory;
#[cfg(feature = "alloc")]
pub use heap::HeapMemory;
#[cfg(feature = "alloc")]
pub use ledger::Usage;
#[cfg(all(feature = "memfd", target_os = "linux"))]
pub use memfd::{FromFdError, MemfdError, MemfdMemory, SealedMemfd};
#[cfg(feature = "alloc")]
pub use page::{PageError, PageErrorKind, PageMemory, split_pages};
pub use slice::SliceMemory;

/// Memory whose bytes can be copied out, which is all that walking a chain needs.
///
/// The trait is safe. An implementation may return wrong bytes, or other bytes each time, and its
/// readers stay sound. So a live guest can be read, or a file that others write.
///
/// ```
/// use kho_block::{PhysAddr, ReadError, ReadErrorKind, ReadMemory};
///
/// /// A dump in pages of 4 KiB, compressed one by one.
/// struct Compressed;
///
/// impl ReadMemory for Compressed {
///     fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
///         # let decompress = |_: &mut [u8]| false;
///         if decompress(buf) {
///             Ok(())
///         } else {
///             Err(ReadError::new(addr, ReadErrorKind::Failed))
///         }
///     }
/// }
/// ```
pub trait ReadMemory {
    /// Size of this memory's blocks in bytes: the page size of the kernel that wrote them.
    ///
    /// It is a power of two, and at most [`MAX_BLOCK_SIZE`](crate::abi::MAX_BLOCK_SIZE). Another
    /// value does not compile once a chain or a set uses it.
    const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE;

    /// Fills `buf` with the bytes at `addr`.
    ///
    /// # Errors
    /// Some of the bytes are not there, or they could not be read. `buf` then holds any bytes.
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Returns the first address at or after `addr` whose byte may be readable, or `None` if there
    /// is none.
    ///
    /// Searches skip gaps with it, so they cost what there is to read, whatever lies between. By
    /// default every address may be readable. A wrong answer hides bytes from searches and does no
    /// other harm.
    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        Some(addr)
    }
}

/// Memory whose bytes do not change while they are borrowed, such as a dump or a sealed memfd.
///
/// The trait is safe to implement, since a `&[u8]` itself promises what readers rely on. The code
/// that makes the slice out of a mapping is unsafe, and promises that nobody else changes it.
pub trait StableMemory: ReadMemory {
    /// Lends the `len` bytes at `addr`.
    ///
    /// # Errors
    /// Some of the bytes are not there, or they are not in one piece.
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError>;
}

/// Memory that gives out blocks to own, and keeps those that are handed over.
///
/// A block is *free*, *owned* by exactly one holder, or *preserved*: handed over and waiting for a
/// successor to claim it. [`read`](ReadMemory::read) answers for preserved blocks only, and no
/// claim succeeds while it copies: reading a block that its new owner writes would be a data race.
///
/// Every method works on a batch, so that a memory takes its lock once for many blocks.
///
/// # Safety
/// An implementation guarantees, for blocks of [`BLOCK_SIZE`](ReadMemory::BLOCK_SIZE) bytes:
///
/// - **G1** A pointer that [`allocate`](Self::allocate) or [`claim`](Self::claim) gives is aligned
///   to 16 and valid for reads and writes of a whole block, and every byte of the block is
///   initialised, until the block is freed or handed over or the memory is dropped. Moving the
///   memory, or a reference to it, does not move its blocks.
/// - **G2** An owned block belongs to its holder alone. Until it is freed or handed over, no other
///   call gives it out, the memory does not touch it, and nobody else can, in this process or
///   outside it.
/// - **G3** Every byte of a block that `allocate` gives is zero.
/// - **G4** [`addr_of`](Self::addr_of) returns a different address for each owned block: never
///   null, and a multiple of the block size. Claiming that address after a handover gives the same
///   bytes.
/// - **G5** `allocate` passes each block that it takes to `visit` once, `claim` to its visitor, and
///   neither passes any other block. `claim` takes preserved blocks only, and makes preserved again
///   what the visitor gives back. [`free`](Self::free) and [`hand_over`](Self::hand_over) free or
///   hand over every block that they take from the iterator.
/// - **G6** Clones of the memory, and references to it, stand for the same blocks.
pub unsafe trait BlockMemory: ReadMemory {
    /// Allocates `count` zeroed blocks and passes each to `visit`.
    ///
    /// `visit` must not call the memory: it may deadlock. If it panics, the blocks allocated so far
    /// stay owned.
    ///
    /// # Errors
    /// The memory has fewer free blocks and can't grow. Blocks that were passed to `visit` stay
    /// owned by the caller.
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
    /// A block can't be claimed, or the visitor returned an error. Every block is as it was before.
    ///
    /// # Safety
    /// After a failure, the visitor [gives back](ClaimVisitor::give_back) only blocks that it
    /// [visited](ClaimVisitor::visit) in this call, each at most once, and nothing uses them any
    /// more.
    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error>;

    /// Returns the address of an owned block. The result is unspecified for any other pointer.
    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr;

    /// Frees owned blocks.
    ///
    /// The iterator must not call the memory: it may deadlock.
    ///
    /// # Safety
    /// The caller owns each block that the iterator returns, from [`allocate`](Self::allocate) or
    /// [`claim`](Self::claim) on this memory, and gives it up: no reference into the block is left,
    /// and no pointer into it is used again.
    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I);

    /// Hands owned blocks over to a successor: they become preserved.
    ///
    /// Nobody else sees some of the blocks preserved and others still owned: a memory that threads
    /// share holds its lock throughout. So the iterator must not call the memory.
    ///
    /// # Safety
    /// As for [`free`](Self::free).
    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I);

    /// Called by a set after each store that changes what its chain holds.
    ///
    /// Lets tests look at every state that a crash could leave. It must not panic.
    #[doc(hidden)]
    fn published(&self) {}
}

/// The caller's side of [`BlockMemory::claim`]: receives claimed blocks and names the next one.
///
/// A visitor that claims the blocks of a list, all of them or none:
///
/// ```
/// use core::ptr::NonNull;
///
/// use kho_block::{BlockMemory, ClaimError, ClaimVisitor, HeapMemory, PhysAddr};
///
/// struct List {
///     /// The addresses that are left, last one first.
///     left: Vec<PhysAddr>,
///     blocks: Vec<NonNull<u8>>,
/// }
///
/// impl ClaimVisitor for List {
///     type Error = ClaimError;
///
///     fn visit(
///         &mut self,
///         _: PhysAddr,
///         block: NonNull<u8>,
///     ) -> Result<Option<PhysAddr>, ClaimError> {
///         self.blocks.push(block);
///         Ok(self.left.pop())
///     }
///
///     fn refuse(&mut self, error: ClaimError) -> ClaimError {
///         error
///     }
///
///     fn give_back(&mut self) -> Option<NonNull<u8>> {
///         self.blocks.pop()
///     }
/// }
///
/// let memory = HeapMemory::new();
/// let mut blocks = Vec::new();
/// memory.allocate(3, |block| blocks.push(block))?;
/// let mut left: Vec<_> = blocks.iter().map(|block| memory.addr_of(*block)).collect();
/// // SAFETY: the blocks were just allocated, and are not used any more.
/// unsafe { memory.hand_over(blocks.into_iter()) };
///
/// let first = left.pop().unwrap();
/// let mut list = List { left, blocks: Vec::new() };
/// // SAFETY: the list gives back what it visited, each block once, and does not use it.
/// unsafe { memory.claim(first, &mut list) }?;
/// assert_eq!(memory.usage().owned, 3);
/// # // SAFETY: the blocks were just claimed, and are not used any more.
/// # unsafe { memory.free(list.blocks.into_iter()) };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ClaimVisitor {
    /// Why a claim failed.
    type Error;

    /// Receives the block at `addr`, which was just claimed. Returns the address of the block to
    /// claim next, or `None` if this was the last one.
    ///
    /// # Errors
    /// The claim is to fail: every block that was visited is asked [back](Self::give_back).
    fn visit(
        &mut self,
        addr: PhysAddr,
        block: NonNull<u8>,
    ) -> Result<Option<PhysAddr>, Self::Error>;

    /// Returns the error of a claim that fails because a block can't be claimed. The blocks that
    /// were visited are still owned.
    fn refuse(&mut self, error: ClaimError) -> Self::Error;

    /// Gives back a visited block after the claim failed, in any order. Returns `None` once all of
    /// them have been given back.
    fn give_back(&mut self) -> Option<NonNull<u8>>;
}

/// Runs a claim on behalf of an implementation of [`BlockMemory::claim`], which holds its lock.
///
/// `claim` makes a preserved block owned, and `hand_over` makes an owned one preserved.
///
/// # Errors
/// The visitor's error, once every block that it gave back was handed over.
#[inline]
pub fn claim_each<S, C: ClaimVisitor>(
    state: &mut S,
    first: PhysAddr,
    visitor: &mut C,
    mut claim: impl FnMut(&mut S, PhysAddr) -> Result<NonNull<u8>, ClaimError>,
    mut hand_over: impl FnMut(&mut S, NonNull<u8>),
) -> Result<(), C::Error> {
    let mut addr = first;
    let error = loop {
        let block = match claim(state, addr) {
            Ok(block) => block,
            Err(error) => break visitor.refuse(error),
        };
        match visitor.visit(addr, block) {
            Ok(Some(next)) => addr = next,
            Ok(None) => return Ok(()),
            Err(error) => break error,
        }
    };
    while let Some(block) = visitor.give_back() {
        hand_over(state, block);
    }
    Err(error)
}

macro_rules! forward {
    ($($(#[$attr:meta])* $pointer:ty;)+) => {$(
        $(#[$attr])*
        impl<M: ReadMemory> ReadMemory for $pointer {
            const BLOCK_SIZE: usize = M::BLOCK_SIZE;

            fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
                (**self).read(addr, buf)
            }

            fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
                (**self).next_readable(addr)
            }
        }

        $(#[$attr])*
        impl<M: StableMemory> StableMemory for $pointer {
            fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError> {
                (**self).lend(addr, len)
            }
        }

        $(#[$attr])*
        // SAFETY: every call goes to the same memory, which gives the guarantees; a pointer to it
        // keeps it alive (G1) and stands for the same blocks (G6).
        unsafe impl<M: BlockMemory> BlockMemory for $pointer {
            fn allocate<F>(&self, count: usize, visit: F) -> Result<(), AllocError>
            where
                F: FnMut(NonNull<u8>),
            {
                (**self).allocate(count, visit)
            }

            #[inline]
            unsafe fn claim<C: ClaimVisitor>(
                &self,
                first: PhysAddr,
                visitor: &mut C,
            ) -> Result<(), C::Error> {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).claim(first, visitor) }
            }

            fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
                (**self).addr_of(block)
            }

            unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).free(blocks) }
            }

            unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).hand_over(blocks) }
            }

            fn published(&self) {
                (**self).published();
            }
        }
    )+};
}

forward! {
    &M;
    #[cfg(feature = "alloc")] alloc::rc::Rc<M>;
    #[cfg(feature = "alloc")] alloc::sync::Arc<M>;
}
