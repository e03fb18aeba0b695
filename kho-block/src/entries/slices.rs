//! Iterating over a range of entries block by block.

use core::fmt;
use core::iter::FusedIterator;
use core::mem;
use core::ops::Range;

use super::chunks::Chunks;
use crate::entry::Entry;
use crate::memory::ReadMemory;
use crate::raw::BlockTable;

/// An iterator over a range of entries as slices, one for each block. Made by
/// [`Entries::slices`](super::Entries::slices).
///
/// No slice is empty.
pub struct Slices<'a, T, M> {
    /// The part of the first block that is in the range, unless all of it is.
    pub(super) front: &'a [T],
    /// The blocks that lie in the range as a whole.
    pub(super) middle: Chunks<'a, T, M>,
    /// The part of the last block that is in the range, unless all of it is.
    pub(super) back: &'a [T],
}

impl<'a, T: Entry, M: ReadMemory> Slices<'a, T, M> {
    /// Returns an iterator over the entries with these indices, all of which exist.
    ///
    /// Every iterator over entries is made here.
    pub(crate) fn between(table: &'a BlockTable<T, M>, range: Range<usize>) -> Self {
        if range.len() == table.len() {
            let all = Chunks::new(table, 0..table.linked());
            return Self { front: &[], middle: all, back: &[] };
        }
        if range.is_empty() {
            return Self { front: &[], middle: Chunks::new(table, 0..0), back: &[] };
        }
        let (first, start) = table.locate(range.start);
        let (last, before_end) = table.locate(range.end - 1);
        if first == last {
            let only = &table.chunk(first)[start..=before_end];
            return Self { front: only, middle: Chunks::new(table, 0..0), back: &[] };
        }
        Self {
            front: &table.chunk(first)[start..],
            middle: Chunks::new(table, first + 1..last),
            back: &table.chunk(last)[..=before_end],
        }
    }
}

/// Replaces a slice by an empty one and returns it, unless it was empty.
fn take<'a, T>(slice: &mut &'a [T]) -> Option<&'a [T]> {
    Some(mem::take(slice)).filter(|slice| !slice.is_empty())
}

impl<T, M> Clone for Slices<'_, T, M> {
    fn clone(&self) -> Self {
        Self { front: self.front, middle: self.middle.clone(), back: self.back }
    }
}

impl<'a, T: Entry, M: ReadMemory> Iterator for Slices<'a, T, M> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<Self::Item> {
        take(&mut self.front).or_else(|| self.middle.next()).or_else(|| take(&mut self.back))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ends = [self.front, self.back].into_iter().filter(|end| !end.is_empty());
        let count = ends.count() + self.middle.len();
        (count, Some(count))
    }
}

impl<T: Entry, M: ReadMemory> DoubleEndedIterator for Slices<'_, T, M> {
    fn next_back(&mut self) -> Option<Self::Item> {
        take(&mut self.back).or_else(|| self.middle.next_back()).or_else(|| take(&mut self.front))
    }
}

impl<T: Entry, M: ReadMemory> ExactSizeIterator for Slices<'_, T, M> {}

impl<T: Entry, M: ReadMemory> FusedIterator for Slices<'_, T, M> {}

impl<T: Entry, M: ReadMemory> fmt::Debug for Slices<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slices").field("left", &self.len()).finish_non_exhaustive()
    }
}
