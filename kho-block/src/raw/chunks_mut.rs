//! Iterating over mutable entries block by block.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ops::Range;

use super::table::BlockTable;
use crate::entry::Entry;
use crate::memory::BlockMemory;

/// An iterator over the entries of a set block by block, each block as a mutable slice. Made by
/// [`BlockSet::chunks_mut`](crate::BlockSet::chunks_mut).
///
/// # Invariants
/// The chain that `table` is in is borrowed exclusively for `'a`, and no block whose position is in
/// `positions` has been given out or is in the `positions` of another value.
pub struct ChunksMut<'a, T, M> {
    table: &'a BlockTable<T, M>,
    positions: Range<usize>,
    borrow: PhantomData<&'a mut T>,
}

impl<'a, T: Entry, M: BlockMemory> ChunksMut<'a, T, M> {
    pub(super) fn new(table: &'a mut BlockTable<T, M>) -> Self {
        // INVARIANT: the argument is the exclusive borrow; nothing has been given out.
        let positions = 0..table.linked();
        Self { table, positions, borrow: PhantomData }
    }

    /// Splits off the first `count` blocks.
    #[cfg(feature = "rayon")]
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        assert!(count <= self.positions.len(), "fewer blocks are left");
        let Self { table, positions, borrow } = self;
        let middle = positions.start + count;
        // INVARIANT: each block is in one of the two ranges.
        let front = Self { table, positions: positions.start..middle, borrow };
        (front, Self { table, positions: middle..positions.end, borrow })
    }

    /// Returns the entries of the block at `position`, which was just taken out of `positions`.
    fn chunk(&mut self, position: usize) -> &'a mut [T] {
        debug_assert!(!self.positions.contains(&position));
        let first = self.table.first_slot(position);
        let len = self.table.count(position);
        // SAFETY: the block holds this many published entries (E2), initialised and aligned (E1,
        // I5). Its chain owns it (I2) and is borrowed exclusively for `'a`, and its position is
        // taken only once.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), len) }
    }
}

impl<'a, T: Entry, M: BlockMemory> Iterator for ChunksMut<'a, T, M> {
    type Item = &'a mut [T];

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.positions.next()?;
        Some(self.chunk(position))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.positions.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        let position = self.positions.nth(n)?;
        Some(self.chunk(position))
    }
}

impl<T: Entry, M: BlockMemory> DoubleEndedIterator for ChunksMut<'_, T, M> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let position = self.positions.next_back()?;
        Some(self.chunk(position))
    }
}

impl<T: Entry, M: BlockMemory> ExactSizeIterator for ChunksMut<'_, T, M> {}

impl<T: Entry, M: BlockMemory> FusedIterator for ChunksMut<'_, T, M> {}

impl<T, M> fmt::Debug for ChunksMut<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunksMut").field("blocks", &self.positions).finish_non_exhaustive()
    }
}
