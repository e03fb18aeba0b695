//! Slots after the entries of an owned chain, for several threads to write.
//!
//! ```text
//!  last linked block                 spare blocks
//!  ┌──────┬───────────┬──────────┐   ┌──────┬──────────┬──────┐   ┌──────┬──────────┬──────┐
//!  │header│ published │ thread 1 │   │header│ thread 1 │  2   │   │header│ thread 2 │      │
//!  └──────┴───────────┴──────────┘   └──────┴──────────┴──────┘   └──────┴──────────┴──────┘
//! ```
//!
//! No slot becomes part of the chain until all are written.

use core::marker::PhantomData;
use core::ops::Range;

use super::append::Appender;
use super::owned::OwnedChain;
use super::prefetch::prefetch;
use super::table::BlockTable;
use crate::entry::Entry;
use crate::memory::BlockMemory;

/// A range of unpublished slots that can be divided between threads.
///
/// # Invariants
/// - **P1** Slot n is number `n % COUNT_PER_BLOCK` in the block at position `n / COUNT_PER_BLOCK`.
///   The chain that `table` is in is borrowed exclusively for `'a`. The slots in `range` lie after
///   all published ones, no reference to one of them has been given out, and no other value has
///   them in its range.
pub(crate) struct Slots<'a, T, M> {
    table: &'a BlockTable<T, M>,
    range: Range<usize>,
    borrow: PhantomData<&'a mut T>,
}

impl<'a, T: Entry, M: BlockMemory> Slots<'a, T, M> {
    const PER_BLOCK: usize = BlockTable::<T, M>::COUNT_PER_BLOCK;

    /// Returns the `count` slots after the last entry, for which blocks are reserved.
    fn new(table: &'a mut BlockTable<T, M>, count: usize) -> Self {
        let start = match table.linked().checked_sub(1) {
            Some(last) => last * Self::PER_BLOCK + table.count(last),
            None => 0,
        };
        // INVARIANT (P1): the argument is the exclusive borrow; nothing has been given out.
        Self { table, range: start..start + count, borrow: PhantomData }
    }

    /// Returns the number of slots.
    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// Splits off the first `count` slots.
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        assert!(count <= self.len(), "the range has fewer slots");
        let Self { table, range, borrow } = self;
        let middle = range.start + count;
        // INVARIANT (P1): each slot is in one of the two ranges.
        let front = Self { table, range: range.start..middle, borrow };
        (front, Self { table, range: middle..range.end, borrow })
    }

    /// Takes the slots that are in the same block as the first one out of the range. They hold
    /// entries of any value.
    pub(crate) fn next_run(&mut self) -> Option<&'a mut [T]> {
        if self.range.is_empty() {
            return None;
        }
        let (position, offset) =
            (self.range.start / Self::PER_BLOCK, self.range.start % Self::PER_BLOCK);
        let count = self.range.len().min(Self::PER_BLOCK - offset);
        let first = self.table.first_slot(position);
        // INVARIANT (P1): the slots leave the range before they are given out.
        self.range.start += count;
        // SAFETY: the offset is less than `COUNT_PER_BLOCK`, and that many entries fit in a block.
        let first = unsafe { first.add(offset) };
        // SAFETY: this many slots are left in the block. It is in the table, so its bytes are
        // initialised (G1), whatever value they have is a `T` (I5), and it is its chain's alone
        // (I2). That is borrowed exclusively for `'a` and lends published entries only (E2); these
        // slots lie after those, and nobody else got them (P1).
        Some(unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), count) })
    }
}

impl<T: Entry, M: BlockMemory> Appender<'_, T, M> {
    /// Lets `fill` write the `count` slots after the last entry, and publishes them when it
    /// returns. If it panics, they are not published.
    ///
    /// Blocks for them must be reserved. Entries written before are published first.
    pub(crate) fn fill(&mut self, count: usize, fill: impl FnOnce(Slots<'_, T, M>)) {
        self.publish();
        fill(Slots::new(&mut self.chain().table, count));
        // The block that is open will not be the last one any more (A1).
        self.close();
        self.chain().publish_more(count);
        self.open_last();
    }
}

/// Number of blocks ahead at which a header is prefetched. Most headers are no longer in the cache.
const BLOCKS_AHEAD: usize = 16;

impl<T: Entry, M: BlockMemory> OwnedChain<T, M> {
    /// Publishes the next `count` entries, which have been written after the last one, block by
    /// block, as a single thread would have done.
    fn publish_more(&mut self, count: usize) {
        let per_block = BlockTable::<T, M>::COUNT_PER_BLOCK;
        let mut left = count;
        while left > 0 {
            let linked = self.linked();
            let (position, published) = match linked.checked_sub(1) {
                Some(last) if self.table.count(last) < per_block => (last, self.table.count(last)),
                _ => (linked, 0),
            };
            if position + BLOCKS_AHEAD < self.table.block_count() {
                prefetch(self.table.block(position + BLOCKS_AHEAD).as_ptr());
            }
            let now = left.min(per_block - published);
            self.publish(position, published + now);
            left -= now;
        }
    }
}
