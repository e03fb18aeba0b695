//! The interface of the collections that are compared: `Vec`, and sets of linked blocks.

use std::slice;
use std::sync::Arc;

use kho_block::{BlockMemory, BlockSet, HeapMemory, MemfdMemory, Reader, Writer};

use crate::{Sample, names};

/// A collection with spare capacity, an index, and iterators in both directions.
pub trait Array<T: Sample>: Sized {
    /// Name in results.
    const NAME: &'static str;

    /// The writer, which appends entries within the capacity.
    type Writer<'a>: Write<T>
    where
        Self: 'a;

    /// The cursor, which reads from any index on.
    type Cursor<'a>: Cursor<'a, T>
    where
        Self: 'a;

    /// Returns an empty collection in memory of its own, with room for `len` entries.
    fn with_capacity(len: usize) -> Self;

    /// Returns a writer at the end of the collection.
    fn writer(&mut self) -> Self::Writer<'_>;

    /// Removes all entries and keeps the capacity.
    fn clear(&mut self);

    /// Appends copies of entries, for which there must be room.
    fn extend_from_slice(&mut self, entries: &[T]);

    /// Returns the entries in order.
    fn iter(&self) -> impl Iterator<Item = &T>;

    /// Returns the entries from the last one to the first.
    fn reversed(&self) -> impl Iterator<Item = &T>;

    /// Returns the entries in order, as slices of a block's length.
    fn chunks(&self) -> impl Iterator<Item = &[T]>;

    /// Returns the entry at `index`.
    fn get(&self, index: usize) -> Option<&T>;

    /// Returns a cursor at the first entry.
    fn cursor(&self) -> Self::Cursor<'_>;
}

/// A writer of entries to a collection that has room for them.
pub trait Write<T> {
    /// Appends an entry.
    fn write(&mut self, entry: T);

    /// Removes all entries that this writer appended.
    fn roll_back(self);
}

/// A cursor, which reads in order from any index on.
pub trait Cursor<'a, T: 'a>: Iterator<Item = &'a T> {
    /// Moves to the entry at `index`.
    fn seek(&mut self, index: usize);
}

impl<T: Sample> Array<T> for Vec<T> {
    const NAME: &'static str = names::VEC;

    type Writer<'a> = VecWriter<'a, T>;

    type Cursor<'a> = VecCursor<'a, T>;

    fn with_capacity(len: usize) -> Self {
        Self::with_capacity(len)
    }

    fn writer(&mut self) -> VecWriter<'_, T> {
        VecWriter { start: self.len(), vec: self }
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn extend_from_slice(&mut self, entries: &[T]) {
        self.extend_from_slice(entries);
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = &T> {
        self.as_slice().iter()
    }

    #[inline]
    fn reversed(&self) -> impl Iterator<Item = &T> {
        self.as_slice().iter().rev()
    }

    #[inline]
    fn chunks(&self) -> impl Iterator<Item = &[T]> {
        self.as_slice().chunks(T::PER_BLOCK)
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&T> {
        self.as_slice().get(index)
    }

    fn cursor(&self) -> VecCursor<'_, T> {
        VecCursor { all: self, rest: self.as_slice().iter() }
    }
}

/// A writer to a `Vec` that has room.
pub struct VecWriter<'a, T> {
    vec: &'a mut Vec<T>,
    start: usize,
}

impl<T> Write<T> for VecWriter<'_, T> {
    #[inline]
    fn write(&mut self, entry: T) {
        self.vec.push(entry);
    }

    fn roll_back(self) {
        self.vec.truncate(self.start);
    }
}

/// A cursor over a `Vec`.
pub struct VecCursor<'a, T> {
    all: &'a [T],
    rest: slice::Iter<'a, T>,
}

impl<'a, T> Iterator for VecCursor<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        self.rest.next()
    }
}

impl<'a, T> Cursor<'a, T> for VecCursor<'a, T> {
    #[inline]
    fn seek(&mut self, index: usize) {
        self.rest = self.all[index..].iter();
    }
}

/// A set that shares the ownership of its memory.
pub type Set<T, M> = BlockSet<T, Arc<M>>;

/// A memory that can be created without arguments.
pub trait Memory: BlockMemory {
    /// Returns a new memory without blocks.
    fn create() -> Self;
}

impl Memory for HeapMemory {
    fn create() -> Self {
        Self::new()
    }
}

impl Memory for MemfdMemory {
    fn create() -> Self {
        Self::new("bench").expect("a memfd can be made and mapped")
    }
}

impl<T: Sample, M: Memory> Array<T> for Set<T, M> {
    const NAME: &'static str = names::BLOCK_SET;

    type Writer<'a>
        = Writer<'a, T, Arc<M>>
    where
        Self: 'a;

    type Cursor<'a>
        = Reader<'a, T, Arc<M>>
    where
        Self: 'a;

    fn with_capacity(len: usize) -> Self {
        let mut set = Self::new_in(Arc::new(M::create()));
        set.try_reserve(len).expect("the memory has room");
        set
    }

    fn writer(&mut self) -> Self::Writer<'_> {
        self.writer()
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn extend_from_slice(&mut self, entries: &[T]) {
        self.writer().extend_from_slice(entries).expect("the capacity was reserved");
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = &T> {
        (**self).iter()
    }

    #[inline]
    fn reversed(&self) -> impl Iterator<Item = &T> {
        (**self).iter().rev()
    }

    #[inline]
    fn chunks(&self) -> impl Iterator<Item = &[T]> {
        (**self).chunks()
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&T> {
        (**self).get(index)
    }

    fn cursor(&self) -> Self::Cursor<'_> {
        (**self).reader()
    }
}

impl<T: Sample, M: Memory> Write<T> for Writer<'_, T, Arc<M>> {
    #[inline]
    fn write(&mut self, entry: T) {
        self.push_within_capacity(entry).expect("the capacity was reserved");
    }

    fn roll_back(self) {
        self.rollback();
    }
}

impl<'a, T: Sample, M: Memory> Cursor<'a, T> for Reader<'a, T, Arc<M>> {
    #[inline]
    fn seek(&mut self, index: usize) {
        self.seek(index);
    }
}
