//! The table of a chain's blocks, in order, with the entries of each.

use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;

use smallvec::SmallVec;

use super::header::read_header;
use crate::abi::{BlockHeader, HEADER_SIZE, countable_blocks};
use crate::addr::PhysAddr;
use crate::entry::Entry;
use crate::entry::fits::{assert_fits, count_of};
use crate::memory::ReadMemory;
use crate::starts::{OutOfMemory, Starts};

/// The blocks of a checked chain, followed by spare blocks that are not linked yet.
///
/// # Invariants
/// - **E1** Each pointer in `blocks` is to a block of `M::BLOCK_SIZE` bytes that is valid for reads
///   for as long as this value may be used, all of whose bytes are initialised, and whose entries
///   are aligned for `T`.
/// - **E2** The first `linked` blocks are the chain, in order. Block i holds the published entries
///   with the indices `starts.start(i)` up to the start of the next block, or up to `len` in the
///   last: 1 to `COUNT_PER_BLOCK` of them (I1). The blocks after them are spare. There are at most
///   [`countable_blocks`] in all, so neither the number of slots nor a position times
///   `COUNT_PER_BLOCK` overflows.
/// - **E3** Nobody changes a published entry, or the header of a linked block, while this value is
///   borrowed (I4).
pub(crate) struct BlockTable<T, M> {
    blocks: SmallVec<[NonNull<u8>; 2]>,
    starts: Starts,
    linked: usize,
    len: usize,
    head: PhysAddr,
    entry: PhantomData<T>,
    /// Invariant in `M`: E2 is about `M::BLOCK_SIZE`, which a subtype may set to another value.
    memory: PhantomData<fn(M) -> M>,
}

// SAFETY: the pointers are to entries of `T` that this value owns (exclusively, or as a shared
// borrow that lasts as long as it: E1, E3), so it may go where they may. Nothing else is behind the
// pointers, and the memory is not in here.
unsafe impl<T: Send + Sync, M> Send for BlockTable<T, M> {}

// SAFETY: a shared reference gives nothing but `&T` and numbers (E3).
unsafe impl<T: Sync, M> Sync for BlockTable<T, M> {}

/// Number of blocks in the first allocation of a table for a chain of unknown length.
const SMALLEST_TABLE: usize = 64;

impl<T: Entry, M: ReadMemory> BlockTable<T, M> {
    /// Number of entries that fit in a block: at least one, as [`empty`](Self::empty) asserts.
    pub(crate) const COUNT_PER_BLOCK: usize = count_of::<T>(M::BLOCK_SIZE);

    /// The check, at compile time, that an entry fits in a block.
    pub(crate) const FITS: () = assert_fits::<T>(M::BLOCK_SIZE);

    /// Returns a table without blocks.
    // INVARIANT: entries that do not fit in a block are refused here, since every table is made by
    // this function.
    pub(crate) const fn empty() -> Self {
        let () = Self::FITS;
        Self {
            blocks: SmallVec::new_const(),
            starts: Starts::new(),
            linked: 0,
            len: 0,
            head: PhysAddr::NULL,
            entry: PhantomData,
            memory: PhantomData,
        }
    }

    /// Returns the number of published entries.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of linked blocks.
    #[inline]
    pub(crate) const fn linked(&self) -> usize {
        self.linked
    }

    /// Returns the number of blocks, linked and spare.
    #[inline]
    pub(super) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Returns whether every linked block but the last is full.
    pub(crate) fn is_uniform(&self) -> bool {
        self.starts.is_uniform()
    }

    /// Returns the address of the first linked block, or null.
    pub(crate) const fn head(&self) -> PhysAddr {
        self.head
    }

    /// Sets the address of the first linked block.
    pub(super) fn set_head(&mut self, head: PhysAddr) {
        self.head = head;
    }

    /// Returns the published entry at `index`, or `None` past the end.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        let entry = self.slot(index);
        // SAFETY: `slot` points to a published entry, since the index is less than `len` (E2). The
        // entry is valid, initialised and aligned (E1), whatever value it has is a `T` (I5), and
        // nobody changes it while `self` is borrowed (E3).
        Some(unsafe { entry.as_ref() })
    }

    /// Returns the published entries of the linked block at `position`.
    #[inline]
    pub(crate) fn chunk(&self, position: usize) -> &[T] {
        assert!(position < self.linked, "the chain has no such block");
        let first = self.first_slot(position);
        let len = if position < self.full_blocks() {
            // A constant, which loops over entries profit from.
            Self::COUNT_PER_BLOCK
        } else {
            self.start(position + 1) - self.start(position)
        };
        // SAFETY: the block holds this many published entries (E2). They are valid, initialised and
        // aligned (E1), whatever value they have is a `T` (I5), and nobody changes them while
        // `self` is borrowed (E3).
        unsafe { core::slice::from_raw_parts(first.as_ptr(), len) }
    }

    /// Returns the number of linked blocks, from the first on, that are known to be full.
    #[inline]
    pub(crate) fn full_blocks(&self) -> usize {
        if self.is_uniform() { self.linked.saturating_sub(1) } else { 0 }
    }

    /// Returns the entries of the blocks at these positions, all of which are known to be full. The
    /// length of each slice is a constant, which loops over entries profit from.
    #[inline]
    pub(crate) fn full_chunks(&self, positions: Range<usize>) -> impl Iterator<Item = &[T]> {
        assert!(positions.end <= self.full_blocks(), "a block may not be full");
        positions.map(|position| {
            let first = self.first_slot(position);
            // SAFETY: in a uniform chain every linked block but the last holds this many published
            // entries (E2), initialised (I1) and aligned (E1), which nobody changes while `self` is
            // borrowed (E3).
            unsafe { core::slice::from_raw_parts(first.as_ptr(), Self::COUNT_PER_BLOCK) }
        })
    }

    /// Returns the position of the block that holds entry `index`, and the entry's index in that
    /// block.
    #[inline]
    pub(crate) fn locate(&self, index: usize) -> (usize, usize) {
        self.starts.locate(index, Self::COUNT_PER_BLOCK)
    }

    /// Returns the index of the first entry of the linked block at `position`, or `len` if there is
    /// no such block.
    #[inline]
    pub(crate) fn start(&self, position: usize) -> usize {
        if position < self.linked {
            self.starts.start(position, Self::COUNT_PER_BLOCK)
        } else {
            self.len
        }
    }

    /// Returns the address of the linked block at `position`.
    pub(crate) fn block_addr(&self, position: usize) -> PhysAddr {
        match position.checked_sub(1) {
            None => self.head,
            Some(before) => self.header(before).next,
        }
    }

    /// Returns the addresses of the linked blocks, in order.
    pub(crate) fn block_addrs(
        &self,
    ) -> impl DoubleEndedIterator<Item = PhysAddr> + ExactSizeIterator {
        (0..self.linked).map(|position| self.block_addr(position))
    }

    /// Returns the number of published entries in the linked block at `position`.
    #[inline]
    pub(super) fn count(&self, position: usize) -> usize {
        self.start(position + 1) - self.start(position)
    }

    /// Returns a pointer to the published entry at `index`, which is less than `len`.
    #[inline]
    pub(super) fn slot(&self, index: usize) -> NonNull<T> {
        let (position, offset) = self.locate(index);
        let first = self.first_slot(position);
        // SAFETY: the block at this position holds the entry, so the offset is less than
        // `COUNT_PER_BLOCK` (E2), and that many entries fit after the header.
        unsafe { first.add(offset) }
    }

    /// Returns a pointer to the first slot of the block at `position`, linked or spare.
    #[inline]
    pub(super) fn first_slot(&self, position: usize) -> NonNull<T> {
        let block = self.blocks[position];
        // SAFETY: a block is larger than its header, as `empty` asserts.
        unsafe { block.add(HEADER_SIZE) }.cast()
    }

    /// Returns a pointer to the block at `position`, linked or spare.
    #[inline]
    pub(super) fn block(&self, position: usize) -> NonNull<u8> {
        self.blocks[position]
    }

    /// Returns a copy of the header of the block at `position`, linked or spare.
    pub(super) fn header(&self, position: usize) -> BlockHeader {
        let block = self.blocks[position];
        // SAFETY: the block is in the table (E1); nobody changes its header meanwhile (E3), or, if
        // it is spare, its chain owns it and is borrowed.
        unsafe { read_header(block) }
    }

    /// Makes room for `additional` more blocks, so that pushing and linking them does not allocate.
    /// Adds at least a 16th, so that repeated calls stay cheap.
    pub(super) fn reserve(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        // INVARIANT (E2): no more blocks than can be counted.
        if additional > countable_blocks(Self::COUNT_PER_BLOCK) - self.blocks.len() {
            return Err(OutOfMemory);
        }
        let blocks = &mut self.blocks;
        if blocks.capacity() - blocks.len() < additional {
            let additional = additional.max(blocks.len() / 16);
            blocks.try_reserve_exact(additional).map_err(|_| OutOfMemory)?;
        }
        self.starts.reserve(blocks.len() + additional)
    }

    /// Makes room to push one more block of a chain of unknown length.
    #[inline]
    pub(super) fn reserve_one(&mut self) -> Result<(), OutOfMemory> {
        if self.blocks.len() < self.blocks.capacity() { Ok(()) } else { self.grow() }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result<(), OutOfMemory> {
        let additional = self.blocks.len().max(SMALLEST_TABLE);
        self.blocks.try_reserve_exact(additional).map_err(|_| OutOfMemory)
    }

    /// Gives the excess capacity of a table for a chain of unknown length back to the allocator.
    pub(super) fn trim(&mut self) {
        let len = self.blocks.len();
        if self.blocks.spilled() && self.blocks.capacity() - len > len / 16 {
            // If that fails, the table is as it was.
            let _ = self.blocks.try_grow(len);
        }
    }

    /// Adds a spare block after all others. Room for it must be reserved.
    ///
    /// # Safety
    /// The block must satisfy E1, and the table must have fewer than [`countable_blocks`] blocks.
    #[inline]
    pub(super) unsafe fn push_block(&mut self, block: NonNull<u8>) {
        // INVARIANT (E1, E2): the caller's promise.
        self.blocks.push(block);
    }

    /// Links the first spare block, which holds `count` entries.
    ///
    /// Allocates nothing if room was [reserved](Self::reserve).
    #[inline]
    pub(super) fn link_block(&mut self, count: usize) -> Result<(), OutOfMemory> {
        debug_assert!(self.linked < self.blocks.len(), "there is no spare block");
        debug_assert!(is_count(count, Self::COUNT_PER_BLOCK));
        self.starts.add_block(self.linked, self.len, Self::COUNT_PER_BLOCK)?;
        // INVARIANT (E2): the block follows the last one, and so do its entries.
        self.linked += 1;
        self.len += count;
        Ok(())
    }

    /// Keeps the first `linked` blocks in the chain, and `count` entries of the last of them. The
    /// blocks after it become spare.
    pub(super) fn cut(&mut self, linked: usize, count: usize) {
        assert!((1..=self.linked).contains(&linked), "the chain has no such block");
        assert!(is_count(count, Self::COUNT_PER_BLOCK));
        // INVARIANT (E2): the last block starts where it did.
        self.len = self.start(linked - 1) + count;
        self.linked = linked;
        self.starts.truncate(linked, Self::COUNT_PER_BLOCK);
    }

    /// Makes all blocks spare.
    pub(super) fn unlink_all(&mut self) {
        self.linked = 0;
        self.len = 0;
        self.head = PhysAddr::NULL;
        self.starts.truncate(0, Self::COUNT_PER_BLOCK);
    }

    /// Takes the last spare block out of the table.
    pub(super) fn pop_spare(&mut self) -> Option<NonNull<u8>> {
        if self.blocks.len() == self.linked {
            return None;
        }
        self.blocks.pop()
    }

    /// Returns all blocks in order, linked and spare.
    #[inline]
    pub(super) fn into_blocks(self) -> impl Iterator<Item = NonNull<u8>> {
        self.blocks.into_iter()
    }

    /// Returns another table of the same blocks.
    ///
    /// # Safety
    /// E1 and E3 must hold for both tables.
    pub(super) unsafe fn duplicate(&self) -> Self {
        // INVARIANT: the caller's promise; E2 is about the same blocks.
        Self { blocks: self.blocks.clone(), starts: self.starts.clone(), ..*self }
    }
}

/// Returns whether a linked block may hold `count` entries (I1).
#[inline]
const fn is_count(count: usize, count_per_block: usize) -> bool {
    count >= 1 && count <= count_per_block
}
