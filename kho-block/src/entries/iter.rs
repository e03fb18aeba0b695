//! Iterating over entries one by one, from either end.

use core::fmt;
use core::iter::FusedIterator;
use core::mem;
use core::ops::Range;
use core::slice;

use super::chunks::Chunks;
use super::slices::Slices;
use crate::entry::Entry;
use crate::memory::ReadMemory;
use crate::raw::BlockTable;

/// An iterator over entries in order, from either end. Made by
/// [`Entries::iter`](super::Entries::iter).
///
/// [`nth`](Iterator::nth) and [`nth_back`](DoubleEndedIterator::nth_back) skip whole blocks;
/// [`fold`](Iterator::fold) and the methods built on it (`for_each`, `sum`, `count`, `max`, …) loop
/// over one slice at a time.
pub struct Iter<'a, T, M> {
    /// The rest of the block at the front.
    front: slice::Iter<'a, T>,
    /// The blocks that neither end has reached.
    middle: Chunks<'a, T, M>,
    /// The rest of the block at the back.
    back: slice::Iter<'a, T>,
}

impl<'a, T: Entry, M: ReadMemory> Iter<'a, T, M> {
    /// Returns an iterator over the entries with these indices, all of which exist.
    #[inline]
    pub(crate) fn between(table: &'a BlockTable<T, M>, range: Range<usize>) -> Self {
        let Slices { front, middle, back } = Slices::between(table, range);
        Self { front: front.iter(), middle, back: back.iter() }
    }
}

/// Returns the entries of the block at `position` to a loop over entries.
// Out of line, since it is rare in such a loop. Not a method of the iterator: its fields stay in
// registers only as long as no reference to it leaves the loop.
#[cold]
#[inline(never)]
fn block<T: Entry, M: ReadMemory>(table: &BlockTable<T, M>, position: usize) -> slice::Iter<'_, T> {
    table.chunk(position).iter()
}

impl<T, M> Clone for Iter<'_, T, M> {
    fn clone(&self) -> Self {
        let Self { front, middle, back } = self;
        Self { front: front.clone(), middle: middle.clone(), back: back.clone() }
    }
}

impl<'a, T: Entry, M: ReadMemory> Iterator for Iter<'a, T, M> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.front.next() {
            return Some(entry);
        }
        self.front = match self.middle.positions.next() {
            Some(position) => block(self.middle.table, position),
            None => mem::take(&mut self.back),
        };
        self.front.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.front.len() + self.middle.entry_count() + self.back.len();
        (len, Some(len))
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        let in_front = self.front.len();
        if n < in_front {
            return self.front.nth(n);
        }
        match self.middle.skip_entries(n - in_front) {
            Ok(rest) => {
                self.front = rest.iter();
                self.front.next()
            }
            Err(n) => {
                self.front = mem::take(&mut self.back);
                self.front.nth(n)
            }
        }
    }

    #[inline]
    fn fold<B, F>(self, init: B, mut f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        let mut state = init;
        for entry in self.front {
            state = f(state, entry);
        }
        state = self.middle.fold(state, |mut state, chunk| {
            for entry in chunk {
                state = f(state, entry);
            }
            state
        });
        for entry in self.back {
            state = f(state, entry);
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

impl<T: Entry, M: ReadMemory> DoubleEndedIterator for Iter<'_, T, M> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.back.next_back() {
            return Some(entry);
        }
        self.back = match self.middle.positions.next_back() {
            Some(position) => block(self.middle.table, position),
            None => mem::take(&mut self.front),
        };
        self.back.next_back()
    }

    fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
        let in_back = self.back.len();
        if n < in_back {
            return self.back.nth_back(n);
        }
        match self.middle.skip_entries_back(n - in_back) {
            Ok(rest) => {
                self.back = rest.iter();
                self.back.next_back()
            }
            Err(n) => {
                self.back = mem::take(&mut self.front);
                self.back.nth_back(n)
            }
        }
    }

    #[inline]
    fn rfold<B, F>(self, init: B, mut f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        let mut state = init;
        for entry in self.back.rev() {
            state = f(state, entry);
        }
        for chunk in self.middle.rev() {
            for entry in chunk.iter().rev() {
                state = f(state, entry);
            }
        }
        for entry in self.front.rev() {
            state = f(state, entry);
        }
        state
    }
}

impl<T: Entry, M: ReadMemory> ExactSizeIterator for Iter<'_, T, M> {}

impl<T: Entry, M: ReadMemory> FusedIterator for Iter<'_, T, M> {}

impl<T: Entry, M: ReadMemory> fmt::Debug for Iter<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &self.len()).finish_non_exhaustive()
    }
}
