//! A cursor over entries.

use core::fmt;
use core::iter::FusedIterator;

use super::iter::Iter;
use crate::entry::Entry;
use crate::memory::ReadMemory;
use crate::raw::BlockTable;

/// A cursor over the entries of a set. Made by [`Entries::reader`](super::Entries::reader).
///
/// The cursor has one position: before the first entry, between two entries, or after the last.
/// [`next`](Iterator::next) returns the entry after it and moves forward, [`prev`](Self::prev)
/// returns the entry before it and moves back, and [`seek`](Self::seek) moves it anywhere. To read
/// from both ends at once, use [`Iter`].
///
/// ```
/// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
/// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// # #[repr(C)]
/// # struct Slot { value: u64 }
/// # let memory = HeapMemory::new();
/// # let mut set = BlockSet::<Slot, _>::new_in(&memory);
/// # for value in 0..2000 { set.push(Slot { value })?; }
/// let mut reader = set.reader();
/// reader.seek(1234);
/// assert_eq!(reader.next().map(|slot| slot.value), Some(1234));
/// assert_eq!(reader.position(), 1235);
/// assert_eq!(reader.prev().map(|slot| slot.value), Some(1234));
/// assert_eq!(reader.prev().map(|slot| slot.value), Some(1233));
/// assert_eq!(reader.position(), 1233);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "kho_block_set_it")]
#[doc(alias = "kho_block_set_it_read_entry")]
pub struct Reader<'a, T, M> {
    table: &'a BlockTable<T, M>,
    /// Index of the next entry; at most the number of entries.
    position: usize,
    /// The block that was read last; empty at first.
    block: &'a [T],
    /// The index of the first entry in `block`.
    block_start: usize,
}

impl<'a, T: Entry, M: ReadMemory> Reader<'a, T, M> {
    pub(crate) const fn new(table: &'a BlockTable<T, M>) -> Self {
        Self { table, position: 0, block: &[], block_start: 0 }
    }

    /// Returns the index of the entry that [`next`](Iterator::next) would return, or the length of
    /// the set at the end.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Moves the cursor to the entry at `index`, or to the end if there is no such entry.
    ///
    /// Reads nothing. The next read finds the block: in constant time if the chain is
    /// [uniform](super::Entries::is_uniform), and otherwise in time logarithmic in the number of
    /// blocks.
    pub fn seek(&mut self, index: usize) {
        self.position = index.min(self.table.len());
    }

    /// Moves the cursor back by one entry and returns that entry, or `None` at the start.
    #[doc(alias = "kho_block_set_it_prev")]
    pub fn prev(&mut self) -> Option<&'a T> {
        let entry = self.read(self.position.checked_sub(1)?)?;
        self.position -= 1;
        Some(entry)
    }

    /// Returns the entry at `index`.
    #[inline]
    fn read(&mut self, index: usize) -> Option<&'a T> {
        // An index before the block wraps around to one far after it.
        match self.block.get(index.wrapping_sub(self.block_start)) {
            Some(entry) => Some(entry),
            None => self.read_from_other_block(index),
        }
    }

    #[cold]
    fn read_from_other_block(&mut self, index: usize) -> Option<&'a T> {
        if index >= self.table.len() {
            return None;
        }
        let (position, offset) = self.table.locate(index);
        self.block = self.table.chunk(position);
        self.block_start = index - offset;
        self.block.get(offset)
    }
}

impl<T, M> Clone for Reader<'_, T, M> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, T: Entry, M: ReadMemory> Iterator for Reader<'a, T, M> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.read(self.position)?;
        self.position += 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.table.len() - self.position;
        (left, Some(left))
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        self.seek(self.position.saturating_add(n));
        self.next()
    }

    fn fold<B, F>(self, init: B, f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        Iter::between(self.table, self.position..self.table.len()).fold(init, f)
    }

    fn count(self) -> usize {
        self.len()
    }

    fn last(mut self) -> Option<Self::Item> {
        self.nth(self.len().checked_sub(1)?)
    }
}

impl<T: Entry, M: ReadMemory> ExactSizeIterator for Reader<'_, T, M> {}

impl<T: Entry, M: ReadMemory> FusedIterator for Reader<'_, T, M> {}

impl<T, M> fmt::Debug for Reader<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("position", &self.position).finish_non_exhaustive()
    }
}
