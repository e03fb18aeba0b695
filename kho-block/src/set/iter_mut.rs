//! Iterating over mutable entries one by one.

use core::fmt;
use core::iter::{Flatten, FusedIterator};

use crate::entry::Entry;
use crate::memory::BlockMemory;
use crate::raw::ChunksMut;

/// An iterator over mutable references to entries in order. Made by
/// [`BlockSet::iter_mut`](super::BlockSet::iter_mut).
pub struct IterMut<'a, T: Entry, M: BlockMemory> {
    entries: Flatten<ChunksMut<'a, T, M>>,
    left: usize,
}

impl<'a, T: Entry, M: BlockMemory> IterMut<'a, T, M> {
    /// Returns an iterator over the `len` entries in these blocks.
    pub(super) fn new(chunks: ChunksMut<'a, T, M>, len: usize) -> Self {
        Self { entries: chunks.flatten(), left: len }
    }
}

impl<'a, T: Entry, M: BlockMemory> Iterator for IterMut<'a, T, M> {
    type Item = &'a mut T;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        self.left -= 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    fn fold<B, F>(self, init: B, f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        self.entries.fold(init, f)
    }
}

impl<T: Entry, M: BlockMemory> DoubleEndedIterator for IterMut<'_, T, M> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next_back()?;
        self.left -= 1;
        Some(entry)
    }
}

impl<T: Entry, M: BlockMemory> ExactSizeIterator for IterMut<'_, T, M> {}

impl<T: Entry, M: BlockMemory> FusedIterator for IterMut<'_, T, M> {}

impl<T: Entry, M: BlockMemory> fmt::Debug for IterMut<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").field("left", &self.left).finish_non_exhaustive()
    }
}
