//! Blocks by pointer: all pointer arithmetic of the crate, behind safe functions.
//!
//! ```text
//!  block: NonNull<u8>   entries(block): NonNull<T>
//!  │                    │
//!  ▼                    ▼
//!  ┌─────────┬──────────┬─────────┬─────────┬─ ─ ─┬─────────┬─────────┐
//!  │ next u64│ count u64│ entry 0 │ entry 1 │     │ CPB - 1 │ (unused)│
//!  └─────────┴──────────┴─────────┴─────────┴─ ─ ─┴─────────┴─────────┘
//!  0         8          16        16 + size                           BLOCK_SIZE
//! ```
//!
//! The invariants that SAFETY comments quote: I1 to I5 of `docs/format.md`, G1 to G6 of
//! [`BlockMemory`](crate::BlockMemory), and E1 to E3 of [`Entries`].

use core::marker::PhantomData;
use core::ptr::NonNull;

use smallvec::SmallVec;

use crate::abi::{BlockHeader, HEADER_SIZE};
use crate::addr::PhysAddr;
use crate::entry::Entry;
use crate::fits::{assert_fits, count_of};
use crate::memory::ReadMemory;
use crate::starts::Starts;

mod append;
mod chunks;
mod lent;
mod owned;
#[cfg(feature = "rayon")]
mod parallel;
mod retain;
mod stream;

pub(crate) use append::Appender;
pub use chunks::ChunksMut;
pub(crate) use lent::LentChain;
pub(crate) use owned::OwnedChain;
#[cfg(feature = "rayon")]
pub(crate) use parallel::Slots;

/// The entries of a checked chain: what [`BlockSet`] and [`SetView`] both dereference to.
///
/// Read access by index, by block and by iteration; nothing here fails or allocates.
///
/// # Invariants
/// - **E1** Each pointer in `blocks` is to a block that is valid for reads for as long as this
///   value may be used, and whose entries are aligned for `T`.
/// - **E2** The first `linked` blocks are the chain, in order. Block i holds the published entries
///   with the indices `starts.start(i)` up to the start of the next block, or up to `len` in the
///   last; these are 1 to `COUNT_PER_BLOCK`, which follows from `M::BLOCK_SIZE`, and initialised (I1).
///   The blocks after them are spare. Both together are at most `abi::countable_blocks`, so that neither
///   the number of slots nor a position times `COUNT_PER_BLOCK` overflows.
/// - **E3** Nobody changes a published entry, or the header of a linked block, while this value is
///   borrowed (I4).
///
/// [`BlockSet`]: crate::BlockSet
/// [`SetView`]: crate::SetView
pub struct Entries<T, M> {
    blocks: SmallVec<[NonNull<u8>; 2]>,
    starts: Starts,
    linked: usize,
    len: usize,
    head: PhysAddr,
    entries: PhantomData<T>,
    /// Invariant in `M`: E2 is about `M::BLOCK_SIZE`, which a subtype may set to another value.
    memory: PhantomData<fn(M) -> M>,
}

// SAFETY: the pointers are to entries of `T` that this value owns (exclusively, or as a shared
// borrow that lasts as long as it: E1, E3), so it may go where they may; nothing else is behind the
// pointers, and the memory is not in here.
unsafe impl<T: Send + Sync, M> Send for Entries<T, M> {}

// SAFETY: a shared reference gives nothing but `&T` and numbers (E3).
unsafe impl<T: Sync, M> Sync for Entries<T, M> {}

impl<T: Entry, M: ReadMemory> Entries<T, M> {
    /// How many entries fit in a block: at least one, since [`empty`](Self::empty) asserts that.
    pub(crate) const COUNT_PER_BLOCK: usize = count_of::<T>(M::BLOCK_SIZE);

    /// Does not compile for entries that do not fit in a block.
    pub(crate) const FITS: () = assert_fits::<T>(M::BLOCK_SIZE);

    /// No entries in no blocks.
    // INVARIANT: entries that do not fit in a block are refused here, where every table begins.
    pub(crate) const fn empty() -> Self {
        let () = Self::FITS;
        Self {
            blocks: SmallVec::new_const(),
            starts: Starts::new(),
            linked: 0,
            len: 0,
            head: PhysAddr::NULL,
            entries: PhantomData,
            memory: PhantomData,
        }
    }

    /// How many entries there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many blocks the chain has.
    #[inline]
    #[must_use]
    pub fn block_count(&self) -> usize {
        self.linked
    }

    /// Whether every block but the last is full, as in a chain that was written in one go.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.starts.is_uniform()
    }

    pub(crate) fn head_addr(&self) -> PhysAddr {
        self.head
    }

    /// The entry at `index`, or `None` past the end.
    ///
    /// Constant time where the chain is [uniform](Self::is_uniform), else logarithmic in the number
    /// of blocks.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        let entry = self.slot(index);
        // SAFETY: `slot` points to a published entry, since the index is less than `len` (E2), and
        // nobody changes it while `self` is borrowed (E3).
        Some(unsafe { entry.as_ref() })
    }

    /// Returns the entries of the block at `position`.
    #[inline]
    pub(crate) fn chunk(&self, position: usize) -> &[T] {
        assert!(position < self.linked, "the chain has no such block");
        let first = self.entries(position);
        let len = self.count(position);
        // SAFETY: the block holds this many published entries (E2), which nobody changes while
        // `self` is borrowed (E3).
        unsafe { core::slice::from_raw_parts(first.as_ptr(), len) }
    }

    /// The position of the block that holds entry `index`, and the entry's index in that block.
    #[inline]
    pub(crate) fn locate(&self, index: usize) -> (usize, usize) {
        self.starts.locate(index, Self::COUNT_PER_BLOCK)
    }

    /// The index of the first entry of the block at `position`; `len` for the position after the
    /// last block's.
    #[inline]
    pub(crate) fn start(&self, position: usize) -> usize {
        if position < self.linked {
            self.starts.start(position, Self::COUNT_PER_BLOCK)
        } else {
            self.len
        }
    }

    /// Address of the linked block at `position`.
    pub(crate) fn block_addr(&self, position: usize) -> PhysAddr {
        match position.checked_sub(1) {
            None => self.head,
            Some(before) => self.header(before).next,
        }
    }

    /// How many published entries the linked block at `position` holds.
    #[inline]
    fn count(&self, position: usize) -> usize {
        self.start(position + 1) - self.start(position)
    }

    /// Pointer to the entry at an index less than `len`.
    #[inline]
    fn slot(&self, index: usize) -> NonNull<T> {
        let (position, offset) = self.locate(index);
        let first = self.entries(position);
        // SAFETY: the block at this position holds the entry, so the offset is less than
        // `COUNT_PER_BLOCK` (E2), and that many entries fit behind the header.
        unsafe { first.add(offset) }
    }

    /// Pointer to the first entry of the block at `position`, linked or spare.
    #[inline]
    fn entries(&self, position: usize) -> NonNull<T> {
        let block = self.blocks[position];
        // SAFETY: a block is larger than its header, as `empty` asserts.
        unsafe { block.add(HEADER_SIZE) }.cast()
    }

    /// Copy of the header of the block at `position`, linked or spare.
    fn header(&self, position: usize) -> BlockHeader {
        let block = self.blocks[position];
        // SAFETY: the block is in the table (E1); nobody changes its header meanwhile (E3), or, if it
        // is spare, its chain owns it and is borrowed.
        unsafe { read_header(block) }
    }
}

/// Copy of a block's header.
///
/// # Safety
/// `block` is to a block that is valid for reads.
#[inline]
unsafe fn read_header(block: NonNull<u8>) -> BlockHeader {
    // SAFETY: a block starts with 16 bytes of header, which the caller promises may be read.
    // Unaligned, since a lent block is aligned for `T` only; every bit pattern is a header (I5).
    unsafe { block.cast::<BlockHeader>().read_unaligned() }
}

/// Asks the processor for the cache line at `pointer`, which need not be to anything: only speed
/// depends on it.
#[inline(always)]
fn prefetch(pointer: *const u8) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse", not(miri)))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and never faults, whatever the address; the build has
        // the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer.cast()) };
    }
    let _ = pointer;
}
