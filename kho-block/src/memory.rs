//! Where blocks live: three traits, and the memories that implement them.
//!
//! | trait | what it promises | what stands on it |
//! |---|---|---|
//! | [`ReadMemory`] | bytes can be copied out | [`ChainWalk`](crate::ChainWalk), [`ForeignSet`](crate::ForeignSet) |
//! | [`StableMemory`] | bytes can be borrowed | [`SetView`](crate::SetView) |
//! | [`BlockMemory`] | blocks can be owned | [`BlockSet`](crate::BlockSet) |

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
#[cfg(all(feature = "std", target_os = "linux", not(miri)))]
mod pages;
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
pub use slice::SliceMemory;

/// Memory whose bytes can be copied out: all that walking a chain needs.
///
/// A safe trait: an implementation may be wrong about the bytes, or answer differently each time,
/// and does no harm by it. A live guest is such a memory, or a file that others can write.
pub trait ReadMemory {
    /// Size of this memory's blocks in bytes: a power of two, the page size of the kernel that
    /// wrote them, at most [`MAX_BLOCK_SIZE`](crate::abi::MAX_BLOCK_SIZE). Another value does not
    /// compile once a chain or a set uses it.
    const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE;

    /// Fills `buf` with the bytes at `addr`.
    ///
    /// # Errors
    /// Not all the bytes are there, or they could not be read. `buf` is then left in any state.
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Returns the first address, from `addr` on, whose byte may be readable; `None` where there is
    /// none.
    ///
    /// Searches skip gaps with it, so their cost depends on the bytes there are and not on what lies
    /// between. By default every address may be readable. A wrong answer hides bytes from searches
    /// and does no other harm.
    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        Some(addr)
    }
}

/// Memory whose bytes do not change while they are borrowed: an image in memory, a sealed memfd.
///
/// The trait is safe to implement, since `&[u8]` itself promises what a reader relies on. Whoever
/// makes such a slice out of a mapping promises that nobody else can change it.
pub trait StableMemory: ReadMemory {
    /// Lends the `len` bytes at `addr`.
    ///
    /// # Errors
    /// Not all of the bytes are there, or not in one piece.
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError>;
}

/// Memory that gives out blocks to own, and keeps those that are handed over.
///
/// A block is *free*, *owned* by exactly one holder, or *preserved*: handed over and waiting for a
/// successor to claim it. A memory lends nothing, and its [`read`](ReadMemory::read) answers for
/// preserved blocks only, excluding claims while it copies: a block that is read while its new
/// owner writes would be a data race.
///
/// # Safety
/// An implementation guarantees, for blocks of [`BLOCK_SIZE`](ReadMemory::BLOCK_SIZE) bytes:
///
/// - **G1** A pointer that [`allocate`](Self::allocate) or a claim gave is aligned to 16, and valid
///   for reads and writes of a whole block, all of whose bytes are initialised, until the block is
///   freed or handed over, or the memory is dropped. Moving the memory, or a reference to it, moves
///   no block.
/// - **G2** An owned block is its holder's alone: until it is freed or handed over no other call
///   returns it, the memory itself does not touch it, and nobody else can, in this process or
///   outside.
/// - **G3** A block comes out of `allocate` with every byte zero.
/// - **G4** [`addr_of`](Self::addr_of) gives every owned block an address of its own, not null and
///   a multiple of the block size; claiming that address after a hand over gives the same bytes.
/// - **G5** A claim succeeds for preserved blocks only, and makes them owned. What
///   [`claim_chain`](Self::claim_chain) adds to a chain and [`allocate_all`](Self::allocate_all)
///   passes to `visit` is what they claimed or allocated, each block once, and no other. What
///   `claim_chain` is given back it makes preserved again. What [`free_all`](Self::free_all) and
///   [`hand_over_all`](Self::hand_over_all) take out of `blocks`, they free or hand over.
/// - **G6** Clones of the memory, and references to it, stand for the same blocks.
pub unsafe trait BlockMemory: ReadMemory {
    /// Takes a free block, zeroed.
    ///
    /// # Errors
    /// There is none left.
    fn allocate(&self) -> Result<NonNull<u8>, AllocError>;

    /// Takes `count` free blocks, zeroed, and passes each to `visit`.
    ///
    /// The same as one allocation after the other. A memory overrides it to grow by what is needed
    /// and to take its lock less often. It holds no lock while the system looks for memory, and for a
    /// bounded number of blocks at a time. A `visit` that calls the memory may wait for ever. If it
    /// panics, what was allocated so far stays owned.
    ///
    /// # Errors
    /// There are not as many. What was allocated before stays with the caller.
    fn allocate_all<F>(&self, count: usize, mut visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        (0..count).try_for_each(|_| {
            visit(self.allocate()?);
            Ok(())
        })
    }

    /// Takes the preserved block at `addr`.
    ///
    /// # Errors
    /// There is no preserved block at this address; nothing has changed.
    fn claim(&self, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError>;

    /// Takes the preserved block at `first`, then each whose address `chain` says: all of them, or none.
    /// Returns whether they were taken.
    ///
    /// The same as claim after claim, and handing over what was claimed if one fails. A memory that
    /// is shared between threads overrides it, so that nobody else finds blocks owned by a claim that
    /// is about to fail: it takes its lock for all of the chain, at most as many blocks as the set
    /// may have. `chain` must then not call the memory. If it panics, what was claimed so far stays
    /// owned.
    ///
    /// # Safety
    /// `chain` [gives back](ChainClaim::give_back) each block that was [added](ChainClaim::add) to it in
    /// this call at most once, and no other.
    #[inline]
    unsafe fn claim_chain<C: ChainClaim>(&self, first: PhysAddr, chain: &mut C) -> bool {
        let claimed = claim_each(first, chain, |addr| self.claim(addr));
        if !claimed {
            // SAFETY: these blocks were claimed just now, and the caller promises that each comes back
            // once.
            unsafe { self.hand_over_all(core::iter::from_fn(|| chain.give_back())) };
        }
        claimed
    }

    /// The address of an owned block. For other pointers the answer means nothing.
    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr;

    /// Makes an owned block free.
    ///
    /// # Safety
    /// The caller owns `block`, from [`allocate`](Self::allocate) or a claim on this memory, and
    /// gives it up: no reference into it is left, no pointer into it is used again.
    unsafe fn free(&self, block: NonNull<u8>);

    /// Makes an owned block preserved.
    ///
    /// # Safety
    /// As for [`free`](Self::free).
    unsafe fn hand_over(&self, block: NonNull<u8>);

    /// Makes owned blocks free, one after the other. A memory with a lock overrides it to take the
    /// lock once: `blocks` must then not call the memory.
    ///
    /// # Safety
    /// As for [`free`](Self::free), for each block from the moment that `blocks` gives it.
    unsafe fn free_all<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        for block in blocks {
            // SAFETY: the caller's promise is the same one.
            unsafe { self.free(block) }
        }
    }

    /// Makes owned blocks preserved, one after the other. A memory with a lock overrides it to take
    /// the lock once, so that nobody finds a chain that is handed over in part: `blocks` must then not
    /// call the memory.
    ///
    /// # Safety
    /// As for [`free`](Self::free), for each block from the moment that `blocks` gives it.
    unsafe fn hand_over_all<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        for block in blocks {
            // SAFETY: the caller's promise is the same one.
            unsafe { self.hand_over(block) }
        }
    }

    /// Called after each step that changes what the chain of a set holds.
    ///
    /// Does nothing by default. For tests that look at every state a crash could leave, and for
    /// counting. It must not panic.
    fn published(&self) {}
}

/// The caller's side of [`BlockMemory::claim_chain`].
pub trait ChainClaim {
    /// Takes the block at `addr`, which was claimed, and says what to do next.
    fn add(&mut self, addr: PhysAddr, block: NonNull<u8>) -> NextClaim;

    /// Is told why the block that was asked for last could not be claimed. What was added before is
    /// still owned.
    fn refuse(&mut self, error: ClaimError);

    /// Gives a block back that was added, once for each, after the claim has failed; `None` when all
    /// were.
    fn give_back(&mut self) -> Option<NonNull<u8>>;
}

/// What to do after a block of a chain was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextClaim {
    /// Claim the block at this address.
    Block(PhysAddr),
    /// The chain ends here.
    End,
    /// The chain is not valid: take everything back.
    Undo,
}

/// Claims the block at `first`, then each whose address `chain` says. Returns whether all were.
#[inline]
fn claim_each<C: ChainClaim>(
    first: PhysAddr,
    chain: &mut C,
    mut claim: impl FnMut(PhysAddr) -> Result<NonNull<u8>, ClaimError>,
) -> bool {
    let mut addr = first;
    loop {
        let next = match claim(addr) {
            Ok(block) => chain.add(addr, block),
            Err(error) => {
                chain.refuse(error);
                NextClaim::Undo
            }
        };
        addr = match next {
            NextClaim::Block(next) => next,
            NextClaim::End => return true,
            NextClaim::Undo => return false,
        };
    }
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
        // SAFETY: every call goes to one and the same memory, which gives the guarantees; a
        // pointer to it keeps it alive (G1) and stands for the same blocks (G6).
        unsafe impl<M: BlockMemory> BlockMemory for $pointer {
            fn allocate(&self) -> Result<NonNull<u8>, AllocError> {
                (**self).allocate()
            }

            fn allocate_all<F>(&self, count: usize, visit: F) -> Result<(), AllocError>
            where
                F: FnMut(NonNull<u8>),
            {
                (**self).allocate_all(count, visit)
            }

            fn claim(&self, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError> {
                (**self).claim(addr)
            }

            #[inline]
            unsafe fn claim_chain<C: ChainClaim>(&self, first: PhysAddr, chain: &mut C) -> bool {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).claim_chain(first, chain) }
            }

            fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
                (**self).addr_of(block)
            }

            unsafe fn free(&self, block: NonNull<u8>) {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).free(block) }
            }

            unsafe fn hand_over(&self, block: NonNull<u8>) {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).hand_over(block) }
            }

            unsafe fn free_all<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).free_all(blocks) }
            }

            unsafe fn hand_over_all<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).hand_over_all(blocks) }
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
