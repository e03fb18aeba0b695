//! Iterating over entries block by block.

use core::fmt;
use core::iter::FusedIterator;
use core::ops::Range;

use crate::entry::Entry;
use crate::memory::ReadMemory;
use crate::raw::BlockTable;

/// An iterator over the entries of a set block by block, each block as a slice. Made by
/// [`Entries::chunks`](super::Entries::chunks).
///
/// No slice is empty.
pub struct Chunks<'a, T, M> {
    pub(super) table: &'a BlockTable<T, M>,
    /// The positions of the blocks that are left.
    pub(super) positions: Range<usize>,
}

impl<'a, T: Entry, M: ReadMemory> Chunks<'a, T, M> {
    /// Returns an iterator over the blocks at these positions, all of which exist.
    pub(crate) const fn new(table: &'a BlockTable<T, M>, positions: Range<usize>) -> Self {
        Self { table, positions }
    }

    /// Splits off the first `count` blocks.
    #[cfg(feature = "rayon")]
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        let Self { table, positions } = self;
        let middle = positions.start + count;
        (Self::new(table, positions.start..middle), Self::new(table, middle..positions.end))
    }

    /// Returns the number of entries in the blocks that are left.
    pub(super) fn entry_count(&self) -> usize {
        if self.positions.is_empty() {
            return 0;
        }
        self.table.start(self.positions.end) - self.table.start(self.positions.start)
    }

    /// Skips `n` entries and takes the rest of the block they end in, which it returns. If no
    /// entries follow them here, returns the number that is left to skip elsewhere.
    pub(super) fn skip_entries(&mut self, n: usize) -> Result<&'a [T], usize> {
        let count = self.entry_count();
        if n >= count {
            self.positions = 0..0;
            return Err(n - count);
        }
        let index = self.table.start(self.positions.start) + n;
        let (position, offset) = self.table.locate(index);
        self.positions.start = position + 1;
        Ok(&self.table.chunk(position)[offset..])
    }

    /// Skips `n` entries from the back, as [`skip_entries`](Self::skip_entries) does from the
    /// front.
    pub(super) fn skip_entries_back(&mut self, n: usize) -> Result<&'a [T], usize> {
        let count = self.entry_count();
        if n >= count {
            self.positions = 0..0;
            return Err(n - count);
        }
        let index = self.table.start(self.positions.end) - 1 - n;
        let (position, offset) = self.table.locate(index);
        self.positions.end = position;
        Ok(&self.table.chunk(position)[..=offset])
    }
}

impl<T, M> Clone for Chunks<'_, T, M> {
    fn clone(&self) -> Self {
        Self { table: self.table, positions: self.positions.clone() }
    }
}

impl<'a, T: Entry, M: ReadMemory> Iterator for Chunks<'a, T, M> {
    type Item = &'a [T];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let position = self.positions.next()?;
        Some(self.table.chunk(position))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.positions.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        let position = self.positions.nth(n)?;
        Some(self.table.chunk(position))
    }

    #[inline]
    fn fold<B, F>(self, init: B, mut f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        let Self { table, positions: Range { start, end } } = self;
        let full = table.full_blocks().min(end);
        let mut state = init;
        for chunk in table.full_chunks(start.min(full)..full) {
            state = f(state, chunk);
        }
        for position in start.max(full)..end {
            state = f(state, table.chunk(position));
        }
        state
    }

    fn count(self) -> usize {
        self.len()
    }

    fn last(mut self) -> Option<Self::Item> {
        self.next_back()
    }
}

impl<T: Entry, M: ReadMemory> DoubleEndedIterator for Chunks<'_, T, M> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let position = self.positions.next_back()?;
        Some(self.table.chunk(position))
    }

    fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
        let position = self.positions.nth_back(n)?;
        Some(self.table.chunk(position))
    }
}

impl<T: Entry, M: ReadMemory> ExactSizeIterator for Chunks<'_, T, M> {}

impl<T: Entry, M: ReadMemory> FusedIterator for Chunks<'_, T, M> {}

impl<T, M> fmt::Debug for Chunks<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("blocks", &self.positions).finish_non_exhaustive()
    }
}
