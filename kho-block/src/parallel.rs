//! Reading and writing a set on several threads, with [rayon].

use core::fmt;
use core::iter;
use core::ops::Range;
use core::slice;

use rayon::iter::plumbing::{
    Consumer, Folder, Producer, ProducerCallback, Reducer, UnindexedConsumer, bridge,
};
use rayon::iter::{FlattenIter, IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::entries::{Chunks, Iter, Slices};
use crate::entry::Entry;
use crate::error::ReserveError;
use crate::memory::{BlockMemory, ReadMemory, StableMemory};
use crate::raw::{ChunksMut, Entries, Slots};
use crate::set::BlockSet;
use crate::view::SetView;
use crate::writer::Writer;

/// The entries in order, to be read by several threads. Made by [`Entries::par_iter`].
///
/// Threads get ranges of entries. What folds (`for_each`, `sum`, `reduce`, …) runs over a slice at a
/// time.
///
/// The memory may stay with one thread; the entries have to be such that threads can share them:
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
pub struct ParIter<'a, T, M>(EntryRange<'a, T, M>);

/// The entries block by block, to be read by several threads. Made by [`Entries::par_chunks`].
pub struct ParChunks<'a, T, M>(Blocks<'a, T, M>);

/// The entries block by block, to be changed in place by several threads. Made by
/// [`BlockSet::par_chunks_mut`].
pub struct ParChunksMut<'a, T, M>(BlocksMut<'a, T, M>);

impl<T: Entry + Sync, M: ReadMemory> Entries<T, M> {
    /// The entries in order, for several threads to read.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// use rayon::prelude::*;
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let memory = HeapMemory::new();
    /// # let mut set = BlockSet::<Slot, _>::new_in(&memory);
    /// # for value in 0..2000 { set.push(Slot { value })?; }
    ///
    /// assert_eq!(set.par_iter().map(|slot| slot.value).sum::<u64>(), 1999 * 1000);
    /// assert!(set.par_iter().enumerate().all(|(index, slot)| slot.value == index as u64));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn par_iter(&self) -> ParIter<'_, T, M> {
        ParIter(EntryRange { entries: self, range: 0..self.len() })
    }

    /// The entries block by block, for several threads to read: one slice for each, never empty.
    #[must_use]
    pub fn par_chunks(&self) -> ParChunks<'_, T, M> {
        ParChunks(Blocks(self.chunks()))
    }
}

impl<T: Entry + Send + Sync, M: BlockMemory> BlockSet<T, M> {
    /// The entries block by block, for several threads to change in place. See
    /// [`get_mut`](Self::get_mut).
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// use rayon::prelude::*;
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let memory = HeapMemory::new();
    /// # let mut set = BlockSet::<Slot, _>::new_in(&memory);
    /// # for value in 0..2000 { set.push(Slot { value })?; }
    ///
    /// set.par_chunks_mut().for_each(|chunk| chunk.iter_mut().for_each(|slot| slot.value *= 2));
    /// assert_eq!(set[1234].value, 2468);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn par_chunks_mut(&mut self) -> ParChunksMut<'_, T, M> {
        ParChunksMut(BlocksMut(self.chunks_mut()))
    }

    /// Writes all entries of a parallel iterator behind the last, or none. See
    /// [`Writer::par_extend`].
    ///
    /// # Errors
    /// The set can't grow by as many.
    ///
    /// # Panics
    /// As [`Writer::par_extend`].
    pub fn par_extend<I>(&mut self, entries: I) -> Result<(), ReserveError>
    where
        I: IntoParallelIterator<Item = T, Iter: IndexedParallelIterator>,
    {
        self.writer().par_extend(entries)
    }
}

impl<T: Entry + Send + Sync, M: BlockMemory> Writer<'_, T, M> {
    /// Writes all entries of a parallel iterator, or none: threads fill runs of slots, in their
    /// order, and when all is written, this thread publishes block after block.
    ///
    /// What was pushed before is published first. No block is allocated where the
    /// [capacity](BlockSet::capacity) is enough.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// use rayon::prelude::*;
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    ///
    /// let memory = HeapMemory::new();
    /// let mut set = BlockSet::new_in(&memory);
    /// let mut writer = set.writer();
    /// writer.push(Slot { value: 0 })?;
    /// let rest = (1..100_000_u32).into_par_iter();
    /// writer.par_extend(rest.map(|value| Slot { value: value.into() }))?;
    /// drop(writer);
    /// assert_eq!(set[77_777].value, 77_777);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The set can't grow by as many; what was pushed before stays.
    ///
    /// # Panics
    /// The iterator panics, or gives more or fewer entries than it said. Then none of them is part of
    /// the set; the blocks that were reserved for them stay with it.
    pub fn par_extend<I>(&mut self, entries: I) -> Result<(), ReserveError>
    where
        I: IntoParallelIterator<Item = T, Iter: IndexedParallelIterator>,
    {
        let entries = entries.into_par_iter();
        let count = entries.len();
        self.try_reserve(count)?;
        self.appender.fill(count, |slots| {
            let written = entries.drive(Fill(slots));
            assert_eq!(written, count, "the parallel iterator gave fewer entries than it said");
        });
        Ok(())
    }
}

impl<'a, T: Entry + Sync, M: ReadMemory> IntoParallelIterator for &'a Entries<T, M> {
    type Item = &'a T;
    type Iter = ParIter<'a, T, M>;

    fn into_par_iter(self) -> Self::Iter {
        self.par_iter()
    }
}

impl<'a, T: Entry + Sync, M: BlockMemory> IntoParallelIterator for &'a BlockSet<T, M> {
    type Item = &'a T;
    type Iter = ParIter<'a, T, M>;

    fn into_par_iter(self) -> Self::Iter {
        Entries::par_iter(self)
    }
}

impl<'a, T: Entry + Sync, M: StableMemory> IntoParallelIterator for &'a SetView<'_, T, M> {
    type Item = &'a T;
    type Iter = ParIter<'a, T, M>;

    fn into_par_iter(self) -> Self::Iter {
        Entries::par_iter(self)
    }
}

/// By block: the entries have no index in this iterator. See [`BlockSet::par_chunks_mut`].
impl<'a, T: Entry + Send + Sync, M: BlockMemory> IntoParallelIterator for &'a mut BlockSet<T, M> {
    type Item = &'a mut T;
    type Iter = FlattenIter<ParChunksMut<'a, T, M>>;

    fn into_par_iter(self) -> Self::Iter {
        self.par_chunks_mut().flatten_iter()
    }
}

/// Some of the entries, by index.
struct EntryRange<'a, T, M> {
    entries: &'a Entries<T, M>,
    range: Range<usize>,
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
        Iter::between(self.entries, self.range)
    }

    fn split_at(self, index: usize) -> (Self, Self) {
        let Self { entries, range } = self;
        let middle = range.start + index;
        (Self { entries, range: range.start..middle }, Self { entries, range: middle..range.end })
    }

    /// Slice by slice: what the folder does for each entry is then a loop without blocks.
    fn fold_with<F: Folder<Self::Item>>(self, mut folder: F) -> F {
        for slice in Slices::between(self.entries, self.range) {
            folder = folder.consume_iter(slice);
            if folder.full() {
                break;
            }
        }
        folder
    }
}

struct Blocks<'a, T, M>(Chunks<'a, T, M>);

impl<T: Entry, M: ReadMemory> Blocks<'_, T, M> {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a, T: Entry + Sync, M: ReadMemory> Producer for Blocks<'a, T, M> {
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

struct BlocksMut<'a, T, M>(ChunksMut<'a, T, M>);

impl<T: Entry, M: BlockMemory> BlocksMut<'_, T, M> {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a, T: Entry + Send + Sync, M: BlockMemory> Producer for BlocksMut<'a, T, M> {
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

/// A parallel iterator, by the producer in it.
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
        let EntryRange { entries, range } = &self.0;
        Self(EntryRange { entries, range: range.clone() })
    }
}

impl<T, M> Clone for ParChunks<'_, T, M> {
    fn clone(&self) -> Self {
        Self(Blocks(self.0.0.clone()))
    }
}

/// Why a parallel iterator that gives more entries than there are slots panics.
const TOO_MANY: &str = "the parallel iterator gave more entries than it said";

/// Fills slots; the result is how many. More than there are is a panic, so if as many were filled as
/// there are, each was.
struct Fill<'a, T, M>(Slots<'a, T, M>);

impl<'a, T: Entry + Send + Sync, M: BlockMemory> Consumer<T> for Fill<'a, T, M> {
    type Folder = FillFolder<'a, T, M>;
    type Reducer = Sum;
    type Result = usize;

    fn split_at(self, index: usize) -> (Self, Self, Sum) {
        assert!(index <= self.0.len(), "{TOO_MANY}");
        let (front, back) = self.0.split_at(index);
        (Self(front), Self(back), Sum)
    }

    fn into_folder(self) -> Self::Folder {
        FillFolder { count: self.0.len(), run: [].iter_mut(), rest: self.0 }
    }

    fn full(&self) -> bool {
        false
    }
}

struct FillFolder<'a, T, M> {
    /// The slots that are left in the current block.
    run: slice::IterMut<'a, T>,
    /// The slots after them.
    rest: Slots<'a, T, M>,
    /// How many slots there were at first.
    count: usize,
}

impl<T: Entry, M: BlockMemory> Folder<T> for FillFolder<'_, T, M> {
    type Result = usize;

    fn consume(self, entry: T) -> Self {
        self.consume_iter(iter::once(entry))
    }

    fn consume_iter<I: IntoIterator<Item = T>>(self, entries: I) -> Self {
        // One by one, since `rest` is passed by reference and the others are to stay in registers.
        let Self { mut run, mut rest, count } = self;
        entries.into_iter().for_each(|entry| {
            let slot = match run.next() {
                Some(slot) => slot,
                None => {
                    let slot;
                    (slot, run) = next_block(&mut rest);
                    slot
                }
            };
            *slot = entry;
        });
        Self { run, rest, count }
    }

    fn complete(self) -> usize {
        self.count - self.rest.len() - self.run.len()
    }

    fn full(&self) -> bool {
        false
    }
}

/// The next slot, and those after it in its block.
// Out of line, for it is rare.
#[cold]
#[inline(never)]
fn next_block<'a, T: Entry, M: BlockMemory>(
    slots: &mut Slots<'a, T, M>,
) -> (&'a mut T, slice::IterMut<'a, T>) {
    let mut run = slots.next_run().expect(TOO_MANY).iter_mut();
    let first = run.next().expect("a run has at least one slot");
    (first, run)
}

/// Adds up how many slots were filled.
struct Sum;

impl Reducer<usize> for Sum {
    fn reduce(self, front: usize, back: usize) -> usize {
        front + back
    }
}
