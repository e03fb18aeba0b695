//! Parallel iterators, and the producers that split them between threads.

use core::fmt;
use core::ops::Range;

use rayon::iter::plumbing::{
    Consumer, Folder, Producer, ProducerCallback, UnindexedConsumer, bridge,
};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};

use crate::entries::{Chunks, Iter, Slices};
use crate::entry::Entry;
use crate::memory::{BlockMemory, ReadMemory};
use crate::raw::{BlockTable, ChunksMut};

/// A parallel iterator over entries in order. Made by
/// [`Entries::par_iter`](crate::Entries::par_iter).
///
/// Each thread gets a range of entries. Folds (`for_each`, `sum`, `reduce`, …) loop over one slice
/// at a time.
///
/// Entries must be `Sync`. The memory need not be.
///
/// ```compile_fail,E0599
/// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, EntryLayout, HeapMemory};
/// # use std::marker::PhantomData;
/// #[derive(Clone, Copy)]
/// #[repr(transparent)]
/// struct Local(u64, PhantomData<*const u8>);
/// # unsafe impl Zeroable for Local {}
/// # unsafe impl Pod for Local {}
/// # impl Entry for Local {
/// #     const NAME: &'static str = "local";
/// #     const VERSION: u32 = 1;
/// #     const LAYOUT: &'static EntryLayout = panic!();
/// # }
///
/// let set = BlockSet::<Local, _>::new_in(HeapMemory::new());
/// let iter = set.par_iter();
/// ```
pub struct ParIter<'a, T, M>(pub(super) EntryRange<'a, T, M>);

/// A parallel iterator over entries block by block, each block as a slice. Made by
/// [`Entries::par_chunks`](crate::Entries::par_chunks).
pub struct ParChunks<'a, T, M>(pub(super) BlockRange<'a, T, M>);

/// A parallel iterator over entries block by block, each block as a mutable slice. Made by
/// [`BlockSet::par_chunks_mut`](crate::BlockSet::par_chunks_mut).
pub struct ParChunksMut<'a, T, M>(pub(super) BlockRangeMut<'a, T, M>);

/// A range of entries, by index.
pub(super) struct EntryRange<'a, T, M> {
    pub(super) table: &'a BlockTable<T, M>,
    pub(super) range: Range<usize>,
}

impl<T, M> EntryRange<'_, T, M> {
    fn len(&self) -> usize {
        self.range.len()
    }
}

impl<'a, T: Entry + Sync, M: ReadMemory> Producer for EntryRange<'a, T, M> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T, M>;

    fn into_iter(self) -> Self::IntoIter {
        Iter::between(self.table, self.range)
    }

    fn split_at(self, index: usize) -> (Self, Self) {
        let Self { table, range } = self;
        let middle = range.start + index;
        (Self { table, range: range.start..middle }, Self { table, range: middle..range.end })
    }

    /// Folds slice by slice, so that the inner loop does not deal with blocks.
    fn fold_with<F: Folder<Self::Item>>(self, mut folder: F) -> F {
        for slice in Slices::between(self.table, self.range) {
            folder = folder.consume_iter(slice);
            if folder.full() {
                break;
            }
        }
        folder
    }
}

/// A range of blocks.
pub(super) struct BlockRange<'a, T, M>(pub(super) Chunks<'a, T, M>);

impl<T: Entry, M: ReadMemory> BlockRange<'_, T, M> {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a, T: Entry + Sync, M: ReadMemory> Producer for BlockRange<'a, T, M> {
    type Item = &'a [T];
    type IntoIter = Chunks<'a, T, M>;

    fn into_iter(self) -> Self::IntoIter {
        self.0
    }

    fn split_at(self, index: usize) -> (Self, Self) {
        let (front, back) = self.0.split_at(index);
        (Self(front), Self(back))
    }
}

/// A range of blocks, to be changed.
pub(super) struct BlockRangeMut<'a, T, M>(pub(super) ChunksMut<'a, T, M>);

impl<T: Entry, M: BlockMemory> BlockRangeMut<'_, T, M> {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a, T: Entry + Send + Sync, M: BlockMemory> Producer for BlockRangeMut<'a, T, M> {
    type Item = &'a mut [T];
    type IntoIter = ChunksMut<'a, T, M>;

    fn into_iter(self) -> Self::IntoIter {
        self.0
    }

    fn split_at(self, index: usize) -> (Self, Self) {
        let (front, back) = self.0.split_at(index);
        (Self(front), Self(back))
    }
}

/// Implements a parallel iterator with the producer that it holds.
macro_rules! parallel_iterator {
    ($name:ident, Item = $item:ty, T: $($entry:ident)&+, M: $memory:ident) => {
        impl<'a, T: $($entry +)+, M: $memory> ParallelIterator for $name<'a, T, M> {
            type Item = $item;

            fn drive_unindexed<C: UnindexedConsumer<Self::Item>>(self, consumer: C) -> C::Result {
                bridge(self, consumer)
            }

            fn opt_len(&self) -> Option<usize> {
                Some(self.len())
            }
        }

        impl<T: $($entry +)+, M: $memory> IndexedParallelIterator for $name<'_, T, M> {
            fn drive<C: Consumer<Self::Item>>(self, consumer: C) -> C::Result {
                bridge(self, consumer)
            }

            fn len(&self) -> usize {
                self.0.len()
            }

            fn with_producer<P: ProducerCallback<Self::Item>>(self, callback: P) -> P::Output {
                callback.callback(self.0)
            }
        }

        impl<T: $($entry +)+, M: $memory> fmt::Debug for $name<'_, T, M> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("len", &self.len()).finish_non_exhaustive()
            }
        }
    };
}

parallel_iterator!(ParIter, Item = &'a T, T: Entry & Sync, M: ReadMemory);
parallel_iterator!(ParChunks, Item = &'a [T], T: Entry & Sync, M: ReadMemory);
parallel_iterator!(ParChunksMut, Item = &'a mut [T], T: Entry & Send & Sync, M: BlockMemory);

impl<T, M> Clone for ParIter<'_, T, M> {
    fn clone(&self) -> Self {
        let EntryRange { table, range } = &self.0;
        Self(EntryRange { table, range: range.clone() })
    }
}

impl<T, M> Clone for ParChunks<'_, T, M> {
    fn clone(&self) -> Self {
        Self(BlockRange(self.0.0.clone()))
    }
}
