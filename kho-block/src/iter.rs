//! Iterators over the entries of a set, in both directions.

use core::fmt;
use core::iter::FusedIterator;
use core::mem;
use core::ops::Range;
use core::slice;

use crate::entry::Entry;
use crate::memory::ReadMemory;
use crate::raw::Entries;

/// The entries block by block. Made by [`Entries::chunks`].
pub struct Chunks<'a, T, M> {
    entries: &'a Entries<T, M>,
    positions: Range<usize>,
}

impl<'a, T: Entry, M: ReadMemory> Chunks<'a, T, M> {
    pub(crate) fn new(entries: &'a Entries<T, M>) -> Self {
        Self { entries, positions: 0..entries.block_count() }
    }

    /// The first `count` blocks that are left, and the others.
    #[cfg(feature = "rayon")]
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        let Self { entries, positions } = self;
        let middle = positions.start + count;
        let front = Self { entries, positions: positions.start..middle };
        (front, Self { entries, positions: middle..positions.end })
    }

    /// The next block if it is full, as all but the last are in a uniform chain.
    #[inline]
    fn next_full(&mut self) -> Option<&'a [T]> {
        let mut positions = self.positions.clone();
        let chunk = self.entries.full_chunk(positions.next()?)?;
        self.positions = positions;
        Some(chunk)
    }

    /// The same from the other end.
    #[inline]
    fn next_back_full(&mut self) -> Option<&'a [T]> {
        let mut positions = self.positions.clone();
        let chunk = self.entries.full_chunk(positions.next_back()?)?;
        self.positions = positions;
        Some(chunk)
    }

    /// How many entries are in the blocks that are left.
    fn entry_count(&self) -> usize {
        if self.positions.is_empty() {
            return 0;
        }
        self.entries.start(self.positions.end) - self.entries.start(self.positions.start)
    }
}

impl<T, M> Clone for Chunks<'_, T, M> {
    fn clone(&self) -> Self {
        Self { entries: self.entries, positions: self.positions.clone() }
    }
}

impl<'a, T: Entry, M: ReadMemory> Iterator for Chunks<'a, T, M> {
    type Item = &'a [T];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let position = self.positions.next()?;

        Some(self.entries.chunk(position))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.positions.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        let position = self.positions.nth(n)?;
        Some(self.entries.chunk(position))
    }
}

impl<T: Entry, M: ReadMemory> DoubleEndedIterator for Chunks<'_, T, M> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let position = self.positions.next_back()?;
        Some(self.entries.chunk(position))
    }
}

impl<T: Entry, M: ReadMemory> ExactSizeIterator for Chunks<'_, T, M> {}

impl<T: Entry, M: ReadMemory> FusedIterator for Chunks<'_, T, M> {}

impl<T, M> fmt::Debug for Chunks<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("blocks", &self.positions).finish_non_exhaustive()
    }
}

/// The entries in order, from either end. Made by [`Entries::iter`].
///
/// [`nth`](Iterator::nth), [`nth_back`](DoubleEndedIterator::nth_back) and [`seek`](Self::seek)
/// skip whole blocks; [`fold`](Iterator::fold) and what stands on it (`for_each`, `sum`, `count`,
/// `max`, …) run over a slice at a time.
#[doc(alias = "kho_block_set_it")]
#[doc(alias = "kho_block_set_it_read_entry")]
#[doc(alias = "kho_block_set_it_prev")]
pub struct Iter<'a, T, M> {
    /// What is left of the block before `middle`.
    front: slice::Iter<'a, T>,
    /// The blocks that were not reached yet.
    middle: Chunks<'a, T, M>,
    /// What is left of the block behind `middle`.
    back: slice::Iter<'a, T>,
    /// The index in the set at which the back is.
    end: usize,
}

impl<'a, T: Entry, M: ReadMemory> Iter<'a, T, M> {
    pub(crate) fn new(entries: &'a Entries<T, M>) -> Self {
        let end = entries.len();
        Self { front: [].iter(), middle: Chunks::new(entries), back: [].iter(), end }
    }

    /// The entries with these indices.
    #[cfg(feature = "rayon")]
    pub(crate) fn over(entries: &'a Entries<T, M>, range: Range<usize>) -> Self {
        let mut reader = Self::new(entries);
        reader.end = range.end.min(reader.end);
        reader.seek(range.start);
        reader
    }

    /// What is left, slice by slice.
    #[cfg(feature = "rayon")]
    pub(crate) fn into_slices(self) -> impl Iterator<Item = &'a [T]> {
        [self.front.as_slice()].into_iter().chain(self.middle).chain([self.back.as_slice()])
    }

    /// Moves the front to the entry at `index` of the set, forward or back over what was read; the
    /// back stays. At the back and past it nothing is left.
    ///
    /// Constant time where the chain is uniform, else logarithmic in the number of blocks.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let memory = HeapMemory::new();
    /// # let mut set = BlockSet::<Slot, _>::new_in(&memory);
    /// # for value in 0..2000 { set.push(Slot { value })?; }
    /// let mut reader = set.iter();
    /// reader.seek(1234);
    /// assert_eq!(reader.next().map(|slot| slot.value), Some(1234));
    /// reader.seek(0);
    /// assert_eq!(reader.len(), 2000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seek(&mut self, index: usize) {
        let entries = self.middle.entries;
        self.front = [].iter();
        self.back = [].iter();
        self.middle.positions = 0..0;
        if index >= self.end {
            return;
        }
        let (first, skipped) = entries.locate(index);
        if self.end == entries.len() {
            self.front = entries.chunk(first)[skipped..].iter();
            self.middle.positions = first + 1..entries.block_count();
            return;
        }
        let (last, before_end) = entries.locate(self.end - 1);
        if first == last {
            self.front = entries.chunk(first)[skipped..=before_end].iter();
        } else {
            self.front = entries.chunk(first)[skipped..].iter();
            self.middle.positions = first + 1..last;
            self.back = entries.chunk(last)[..=before_end].iter();
        }
    }
}

impl<'a, T: Entry, M: ReadMemory> Iter<'a, T, M> {
    /// Goes on to the next block, or to the back; `false` where nothing is left.
    #[inline]
    fn refill_front(&mut self) -> bool {
        self.front = match self.middle.next() {
            Some(chunk) => chunk.iter(),
            None => mem::take(&mut self.back),
        };
        self.front.len() != 0
    }

    /// The same from the other end.
    #[inline]
    fn refill_back(&mut self) -> bool {
        self.back = match self.middle.next_back() {
            Some(chunk) => chunk.iter(),
            None => mem::take(&mut self.front),
        };
        self.back.len() != 0
    }
}

/// The entries of the block at `position`.
// Out of line, for it is rare; and not a method of the reader, whose fields stay in registers as
// long as no reference to it leaves the loop around `next`.
#[cold]
#[inline(never)]
fn block<T: Entry, M: ReadMemory>(entries: &Entries<T, M>, position: usize) -> slice::Iter<'_, T> {
    entries.chunk(position).iter()
}

impl<T, M> Clone for Iter<'_, T, M> {
    fn clone(&self) -> Self {
        Self {
            front: self.front.clone(),
            middle: self.middle.clone(),
            back: self.back.clone(),
            end: self.end,
        }
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
            Some(position) => block(self.middle.entries, position),
            None => mem::take(&mut self.back),
        };
        self.front.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.front.len() + self.middle.entry_count() + self.back.len();
        (len, Some(len))
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        if n >= self.front.len() {
            let start = self.end - self.len();
            self.seek(start.saturating_add(n));
            return self.next();
        }
        self.front.nth(n)
    }

    #[inline]
    fn fold<B, F>(mut self, init: B, mut f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        let mut state = init;
        loop {
            for entry in mem::take(&mut self.front) {
                state = f(state, entry);
            }
            // Apart from the others, so that the compiler knows how many entries there are.
            while let Some(chunk) = self.middle.next_full() {
                for entry in chunk {
                    state = f(state, entry);
                }
            }
            if !self.refill_front() {
                return state;
            }
        }
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
        if self.back.len() == 0 {
            self.back = match self.middle.positions.next_back() {
                Some(position) => block(self.middle.entries, position),
                None => mem::take(&mut self.front),
            };
        }
        let entry = self.back.next_back()?;
        self.end -= 1;
        Some(entry)
    }

    fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
        let left = self.len();
        let start = self.end - left;
        self.end -= n.min(left);
        self.seek(start);
        self.next_back()
    }

    #[inline]
    fn rfold<B, F>(mut self, init: B, mut f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        let mut state = init;
        loop {
            for entry in mem::take(&mut self.back).rev() {
                state = f(state, entry);
            }
            while let Some(chunk) = self.middle.next_back_full() {
                for entry in chunk.iter().rev() {
                    state = f(state, entry);
                }
            }
            if !self.refill_back() {
                return state;
            }
        }
    }
}

impl<T: Entry, M: ReadMemory> ExactSizeIterator for Iter<'_, T, M> {}

impl<T: Entry, M: ReadMemory> FusedIterator for Iter<'_, T, M> {}

impl<T: Entry, M: ReadMemory> fmt::Debug for Iter<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &self.len()).finish_non_exhaustive()
    }
}
