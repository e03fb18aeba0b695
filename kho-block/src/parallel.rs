//! Reading and writing a set on several threads, with [rayon].

use rayon::iter::{FlattenIter, IntoParallelIterator, ParallelIterator};

use crate::entries::Entries;
use crate::entry::Entry;
use crate::memory::{BlockMemory, ReadMemory, StableMemory};
use crate::set::BlockSet;
use crate::view::SetView;

mod iter;
mod write;

use iter::{BlockRange, BlockRangeMut, EntryRange};
pub use iter::{ParChunks, ParChunksMut, ParIter};

impl<T: Entry + Sync, M: ReadMemory> Entries<T, M> {
    /// Returns a parallel iterator over all entries in order.
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
        ParIter(EntryRange { table: self.table(), range: 0..self.len() })
    }

    /// Returns a parallel iterator over the entries block by block, each block as one slice that is
    /// never empty.
    #[must_use]
    pub fn par_chunks(&self) -> ParChunks<'_, T, M> {
        ParChunks(BlockRange(self.chunks()))
    }
}

impl<T: Entry + Send + Sync, M: BlockMemory> BlockSet<T, M> {
    /// Returns a parallel iterator over the entries block by block, each block as one mutable
    /// slice. As with [`get_mut`](Self::get_mut), a crash may leave a change half done.
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
        ParChunksMut(BlockRangeMut(self.chunks_mut()))
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

/// Gives whole blocks to threads, so the iterator has no index. See [`BlockSet::par_chunks_mut`].
impl<'a, T: Entry + Send + Sync, M: BlockMemory> IntoParallelIterator for &'a mut BlockSet<T, M> {
    type Item = &'a mut T;
    type Iter = FlattenIter<ParChunksMut<'a, T, M>>;

    fn into_par_iter(self) -> Self::Iter {
        self.par_chunks_mut().flatten_iter()
    }
}
