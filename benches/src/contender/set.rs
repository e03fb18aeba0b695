//! A set of linked blocks, in each kind of memory.

use std::sync::Arc;

use kho_block::abi::DEFAULT_BLOCK_LIMIT;
use kho_block::{BlockMemory, BlockSet, HeapMemory, Iter, MemfdMemory, Writer};

use super::{Array, Contender, Cursor, Push, Reversible, Write};
use crate::Sample;

/// A set, with a share in the memory that its blocks are in.
pub type Blocks<T, M> = BlockSet<T, Arc<M>>;

/// A kind of memory that is measured.
pub trait Memory: BlockMemory + Send + Sync {
    /// What the results call a set in it.
    const SET: &'static str;

    /// What the results call a pointer chase in it.
    const CHASE: &'static str;

    /// A new memory without blocks.
    fn create() -> Self;

    /// Frees every block that was handed over and that nobody has claimed.
    fn free_preserved(&self);
}

impl Memory for HeapMemory {
    const SET: &'static str = "BlockSet, heap";
    const CHASE: &'static str = "pointer chase, heap";

    fn create() -> Self {
        Self::new()
    }

    fn free_preserved(&self) {
        self.free_preserved();
    }
}

impl Memory for MemfdMemory {
    const SET: &'static str = "BlockSet, memfd";
    const CHASE: &'static str = "pointer chase, memfd";

    fn create() -> Self {
        Self::new("bench").expect("a memfd can be made and mapped")
    }

    fn free_preserved(&self) {
        self.free_preserved();
    }
}

/// The limit of blocks that a set of `len` entries needs; the kernel's, where that is enough.
#[must_use]
pub fn block_limit<T: Sample>(len: usize) -> usize {
    len.div_ceil(T::PER_BLOCK).max(DEFAULT_BLOCK_LIMIT)
}

impl<T: Sample, M: Memory> Contender<T> for Blocks<T, M> {
    const NAME: &'static str = M::SET;

    type Pusher<'a>
        = Writer<'a, T, Arc<M>>
    where
        Self: 'a;

    fn growing(most: usize) -> Self {
        let mut set = Self::new_in(Arc::new(M::create()));
        set.set_block_limit(block_limit::<T>(most));
        set
    }

    fn with_capacity(len: usize) -> Self {
        let mut set = Self::growing(len);
        set.try_reserve(len).expect("the memory has room");
        set
    }

    fn pusher(&mut self) -> Self::Pusher<'_> {
        self.writer()
    }

    #[inline]
    fn iter(&mut self) -> impl Iterator<Item = &T> {
        (**self).iter()
    }
}

impl<T: Sample, M: Memory> Reversible<T> for Blocks<T, M> {
    #[inline]
    fn reversed(&mut self) -> impl Iterator<Item = &T> {
        (**self).iter().rev()
    }
}

impl<T: Sample, M: Memory> Array<T> for Blocks<T, M> {
    type Writer<'a>
        = Writer<'a, T, Arc<M>>
    where
        Self: 'a;

    type Cursor<'a>
        = Iter<'a, T, Arc<M>>
    where
        Self: 'a;

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
    fn get(&self, index: usize) -> Option<&T> {
        (**self).get(index)
    }

    fn cursor(&self) -> Self::Cursor<'_> {
        (**self).iter()
    }

    #[inline]
    fn chunks(&self) -> impl Iterator<Item = &[T]> {
        (**self).chunks()
    }
}

impl<T: Sample, M: Memory> Push<T> for Writer<'_, T, Arc<M>> {
    #[inline]
    fn push(&mut self, entry: T) {
        self.push(entry).expect("the memory has room");
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

impl<'a, T: Sample, M: Memory> Cursor<'a, T> for Iter<'a, T, Arc<M>> {
    #[inline]
    fn seek(&mut self, index: usize) {
        self.seek(index);
    }
}
