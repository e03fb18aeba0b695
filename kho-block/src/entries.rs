//! Reading the entries of an owned or borrowed set.

use core::fmt;
use core::ops::{Bound, Index, Range, RangeBounds};

use crate::abi::HEADER_SIZE;
use crate::addr::{PhysAddr, SetHead};
use crate::entry::Entry;
use crate::memory::ReadMemory;

mod chunks;
mod iter;
mod reader;
mod slices;

pub use crate::raw::Entries;
pub use chunks::Chunks;
pub use iter::Iter;
pub use reader::Reader;
pub use slices::Slices;

impl<T: Entry, M: ReadMemory> Entries<T, M> {
    /// Returns the number of entries in the set.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Returns whether the set has no entries.
    #[doc(alias = "kho_block_set_is_empty")]
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of blocks in the chain, not counting reserved blocks.
    #[inline]
    #[must_use]
    pub fn block_count(&self) -> usize {
        self.table().linked()
    }

    /// Returns whether every block but the last is full, as in a chain that was written from start
    /// to end.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.table().is_uniform()
    }

    /// Returns the entry at `index`, or `None` past the end.
    ///
    /// Takes constant time if the chain is [uniform](Self::is_uniform), and otherwise time
    /// logarithmic in the number of blocks.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.table().get(index)
    }

    /// Returns the first entry, or `None` if the set is empty.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.get(0)
    }

    /// Returns the last entry, or `None` if the set is empty.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Returns an iterator over all entries in order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T, M> {
        Iter::between(self.table(), 0..self.len())
    }

    /// Returns a cursor at the first entry that can move forward, backward and to any index.
    #[doc(alias = "kho_block_set_it_init")]
    #[doc(alias = "cursor")]
    #[must_use]
    pub const fn reader(&self) -> Reader<'_, T, M> {
        Reader::new(self.table())
    }

    /// Returns an iterator over the entries block by block, each block as one slice that is never
    /// empty.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let memory = HeapMemory::new();
    /// # let mut set = BlockSet::<Slot, _>::new_in(&memory);
    /// # for value in 0..600 { set.push(Slot { value })?; }
    /// // 600 entries of 8 bytes, 510 to a block
    /// let lens: Vec<usize> = set.chunks().map(|chunk| chunk.len()).collect();
    /// assert_eq!(lens, [510, 90]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn chunks(&self) -> Chunks<'_, T, M> {
        Chunks::new(self.table(), 0..self.block_count())
    }

    /// Returns an iterator over the entries in `range` as slices, one for each block that the range
    /// touches.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let memory = HeapMemory::new();
    /// # let mut set = BlockSet::<Slot, _>::new_in(&memory);
    /// # for value in 0..600 { set.push(Slot { value })?; }
    /// // 600 entries of 8 bytes, 510 to a block
    /// let lens: Vec<usize> = set.slices(500..520).map(|slice| slice.len()).collect();
    /// assert_eq!(lens, [10, 10]);
    /// assert_eq!(set.slices(500..520).flatten().map(|slot| slot.value).sum::<u64>(), 10190);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// Panics if the range starts after its end, or ends past the last entry, as indexing a slice
    /// does.
    #[doc(alias = "range")]
    #[must_use]
    #[track_caller]
    pub fn slices(&self, range: impl RangeBounds<usize>) -> Slices<'_, T, M> {
        Slices::between(self.table(), checked(&range, self.len()))
    }

    /// Fills `target` with copies of the entries from index `start` on.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let memory = HeapMemory::new();
    /// # let mut set = BlockSet::<Slot, _>::new_in(&memory);
    /// # for value in 0..600 { set.push(Slot { value })?; }
    /// let mut copy = [Slot { value: 0 }; 20];
    /// set.copy_to_slice(500, &mut copy);
    /// assert_eq!((copy[0].value, copy[19].value), (500, 519));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// Panics if the set has fewer than `target.len()` entries from `start` on.
    #[track_caller]
    pub fn copy_to_slice(&self, start: usize, target: &mut [T]) {
        let mut rest = target;
        for slice in self.slices(start..start.saturating_add(rest.len())) {
            let (now, later) = rest.split_at_mut(slice.len());
            now.copy_from_slice(slice);
            rest = later;
        }
    }

    /// Returns an iterator over the addresses of the blocks in the chain, in order.
    pub fn blocks(&self) -> impl DoubleEndedIterator<Item = PhysAddr> + ExactSizeIterator {
        self.table().block_addrs()
    }

    /// Returns the head of the set: the address of its first block, or null if the set is empty.
    ///
    /// A [`BlockSet`](crate::BlockSet) still owns the blocks, and frees them when it is dropped. To
    /// pass them on, use [`hand_over`](crate::BlockSet::hand_over).
    #[doc(alias = "kho_block_set_head_pa")]
    #[must_use]
    pub fn head(&self) -> SetHead<T> {
        SetHead::new(self.table().head())
    }

    /// Returns the address of the entry at `index`, or `None` past the end.
    #[must_use]
    pub fn addr_of(&self, index: usize) -> Option<PhysAddr> {
        if index >= self.len() {
            return None;
        }
        let (position, offset) = self.table().locate(index);
        let in_block = HEADER_SIZE + offset * size_of::<T>();
        Some(self.table().block_addr(position).within_block(in_block))
    }
}

impl<T: Entry, M: ReadMemory> Index<usize> for Entries<T, M> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        let len = self.len();
        match self.get(index) {
            Some(entry) => entry,
            None => panic!("index {index} is past the end of a set of {len} entries"),
        }
    }
}

impl<'a, T: Entry, M: ReadMemory> IntoIterator for &'a Entries<T, M> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T, M>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Entry + fmt::Debug, M: ReadMemory> fmt::Debug for Entries<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Returns the indices in `range`, checked against the length of a set.
///
/// # Panics
/// Panics if the range starts after its end, or ends past `len`.
#[track_caller]
fn checked(range: &impl RangeBounds<usize>, len: usize) -> Range<usize> {
    // If the addition saturates, the range ends past every set.
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => len,
    };
    assert!(start <= end, "the range starts at {start} but ends at {end}");
    assert!(end <= len, "the range ends at {end}, past the end of a set of {len} entries");
    start..end
}
