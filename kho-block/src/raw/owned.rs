//! A chain of blocks that this process owns: grow, link, cut, free, hand over.
//!
//! The order of stores keeps I3. Each function that stores to a header names the states that a
//! reader can see.

use core::iter;
use core::mem;
use core::ops::Deref;
use core::sync::atomic::Ordering::{AcqRel, Release};
use core::sync::atomic::fence;

use super::chunks_mut::ChunksMut;
use super::copy;
use super::header::AtomicHeader;
use super::table::BlockTable;
use crate::addr::{PhysAddr, SetHead};
use crate::entry::Entry;
use crate::error::{ReserveError, ReserveErrorKind};
use crate::memory::BlockMemory;

/// A table that owns its blocks, with the memory they came from.
///
/// # Invariants
/// Every block in the table, linked or spare, is owned by this value alone: it came from `memory`
/// by [`allocate`](BlockMemory::allocate) or a claim (G1, G2), and leaves the table when it is
/// freed or handed over (I2). So E1 and E3 hold while `self` is borrowed.
pub(crate) struct OwnedChain<T: Entry, M: BlockMemory> {
    pub(super) table: BlockTable<T, M>,
    pub(super) memory: M,
}

impl<T: Entry, M: BlockMemory> Deref for OwnedChain<T, M> {
    type Target = BlockTable<T, M>;

    fn deref(&self) -> &Self::Target {
        &self.table
    }
}

impl<T: Entry, M: BlockMemory> OwnedChain<T, M> {
    const PER_BLOCK: usize = BlockTable::<T, M>::COUNT_PER_BLOCK;

    /// Returns a chain without blocks.
    pub(crate) const fn new(memory: M) -> Self {
        Self { table: BlockTable::empty(), memory }
    }

    /// Returns the memory that the blocks are in.
    pub(crate) const fn memory(&self) -> &M {
        &self.memory
    }

    /// Returns the number of entries that the blocks have room for, including published ones.
    pub(crate) fn capacity(&self) -> usize {
        let spare = self.table.block_count() - self.linked();
        let free_in_last = match self.linked().checked_sub(1) {
            Some(last) => Self::PER_BLOCK - self.table.count(last),
            None => 0,
        };
        self.len() + free_in_last + spare * Self::PER_BLOCK
    }

    /// Adds all the spare blocks that `additional` more entries need, or none.
    pub(crate) fn try_reserve(
        &mut self,
        additional: usize,
        limit: usize,
    ) -> Result<(), ReserveError> {
        let missing = additional.saturating_sub(self.capacity() - self.len());
        let missing = missing.div_ceil(Self::PER_BLOCK);
        let before = self.table.block_count();
        if missing == 0 {
            return Ok(());
        }
        let fail = |position, kind| Err(ReserveError { position, kind });
        if missing > limit.saturating_sub(before) {
            return fail(limit.max(before), ReserveErrorKind::TooLong { limit });
        }
        if self.table.reserve(missing).is_err() {
            return fail(before, ReserveErrorKind::OutOfMemory);
        }
        let Self { table, memory } = self;
        let allocated = memory.allocate(missing, |block| {
            // SAFETY: the block was just allocated, so it is valid, initialised and aligned (G1),
            // and this chain's alone (G2). `reserve` has counted it: it is one of at most `missing`
            // (G5).
            unsafe { table.push_block(block) };
        });
        if let Err(error) = allocated {
            let position = self.table.block_count();
            self.free_spare_after(before);
            return fail(position, error.kind.into());
        }
        Ok(())
    }

    /// Frees the spare blocks.
    pub(crate) fn free_spare(&mut self) {
        self.free_spare_after(0);
    }

    /// Frees spare blocks, the last one first, until the table has `keep` blocks.
    fn free_spare_after(&mut self, keep: usize) {
        let Self { table, memory } = self;
        // Most often there are none, and the memory's lock is not needed.
        if table.block_count() <= keep.max(table.linked()) {
            return;
        }
        let last_first =
            iter::from_fn(|| if table.block_count() > keep { table.pop_spare() } else { None });
        // SAFETY: the blocks are owned by this chain (I2), and each just left its table.
        unsafe { memory.free(last_first) };
    }

    /// Keeps the first `len` entries. Emptied blocks become spare.
    ///
    /// The tail is unlinked first, then the last count is lowered. A reader sees the old chain, a
    /// prefix of it that ends with a block, or the new chain (I3).
    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        let Some(last_entry) = len.checked_sub(1) else {
            self.unlink_all();
            return;
        };
        let (last, offset) = self.locate(last_entry);
        let count = offset + 1;
        let unlink = last + 1 < self.linked();
        let lower = count < self.table.count(last);
        self.table.cut(last + 1, count);
        if unlink {
            self.header(last).next.store(PhysAddr::NULL.get(), Release);
            self.memory.published();
        }
        if lower {
            self.header(last).count.store(count as u64, Release);
            self.memory.published();
        }
        keep_behind_unlinking(M::BLOCK_SIZE);
    }

    /// Makes all blocks spare.
    ///
    /// The first block's header is cleared, so that an old head leads to a block that is refused,
    /// not to entries that may be overwritten.
    fn unlink_all(&mut self) {
        let first = self.header(0);
        first.count.store(0, Release);
        first.next.store(PhysAddr::NULL.get(), Release);
        self.table.unlink_all();
        self.memory.published();
        keep_behind_unlinking(M::BLOCK_SIZE);
    }

    /// Makes `count` entries of the block at `position` part of the chain. The entries have been
    /// written; the block is the last linked one, or the spare one after it.
    pub(super) fn publish(&mut self, position: usize, count: usize) {
        if position == self.linked() {
            self.link(position, count);
        } else if count != self.table.count(position) {
            self.header(position).count.store(count as u64, Release);
            self.table.cut(position + 1, count);
        } else {
            return;
        }
        self.memory.published();
    }

    /// Appends the first spare block to the chain.
    ///
    /// Its header is filled in before the link that reaches it. A reader sees the old chain or the
    /// new one (I3).
    fn link(&mut self, position: usize, count: usize) {
        let header = self.header(position);
        header.next.store(PhysAddr::NULL.get(), Release);
        header.count.store(count as u64, Release);
        let addr = self.memory.addr_of(self.table.block(position));
        match position.checked_sub(1) {
            None => self.table.set_head(addr),
            Some(before) => self.header(before).next.store(addr.get(), Release),
        }
        self.table.link_block(count).expect("`try_reserve` made room for every block");
    }

    /// Hands the chain over to a successor: linked blocks become preserved, spare ones free.
    pub(crate) fn hand_over(mut self) -> SetHead<T> {
        self.free_spare();
        let head = SetHead::new(self.head());
        let table = mem::replace(&mut self.table, BlockTable::empty());
        if !head.is_empty() {
            // SAFETY: the blocks are owned by this chain (I2), and have left its table for good.
            unsafe { self.memory.hand_over(table.into_blocks()) };
        }
        head
    }

    /// Returns a mutable reference to the entry at `index`, or `None` past the end.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len() {
            return None;
        }
        let mut entry = self.table.slot(index);
        // SAFETY: `slot` points to a published entry, since the index is less than `len` (E2), in a
        // block that is initialised and aligned (E1, I5), and that `self` owns and has borrowed
        // exclusively (I2).
        Some(unsafe { entry.as_mut() })
    }

    /// Returns an iterator over the mutable entries block by block.
    pub(crate) fn chunks_mut(&mut self) -> ChunksMut<'_, T, M> {
        ChunksMut::new(&mut self.table)
    }

    /// Returns the header of the block at `position`, linked or spare.
    fn header(&self, position: usize) -> &AtomicHeader {
        let header = self.table.block(position).cast::<AtomicHeader>();
        // SAFETY: a block starts with its header, which is initialised and aligned, since blocks
        // are aligned to 16 (G1). This chain owns the block (I2), and accesses its header only
        // through this function and, while it is borrowed, by copying.
        unsafe { header.as_ref() }
    }
}

/// Keeps later stores to slots that were cut off after the stores that cut them off, for the
/// compiler and the processor (I3). A release store orders only the stores before it.
#[inline]
fn keep_behind_unlinking(block_size: usize) {
    fence(AcqRel);
    copy::begin_in_libc(block_size);
}

impl<T: Entry, M: BlockMemory> Drop for OwnedChain<T, M> {
    fn drop(&mut self) {
        self.table.unlink_all();
        self.free_spare();
    }
}
