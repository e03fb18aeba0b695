//! Owned sets: they grow, shrink, change, and are handed over to a successor.

use core::fmt;
use core::ops::{Deref, IndexMut};

use crate::abi::DEFAULT_BLOCK_LIMIT;
use crate::addr::SetHead;
use crate::entries::{Entries, Iter};
use crate::entry::Entry;
use crate::entry::fits::checked_count_of;
use crate::error::{PushError, ReserveError, RestoreError};
use crate::memory::BlockMemory;
use crate::raw::{BlockTable, ChunksMut, OwnedChain};

mod iter_mut;
mod transaction;
mod writer;

pub use iter_mut::IterMut;
pub use writer::Writer;

/// An ordered set of entries, stored in linked blocks that it owns.
///
/// Read it like a slice with the methods of [`Entries`], append to it like a `Vec` or with a
/// [`Writer`], and pass it to a successor with [`hand_over`](Self::hand_over) and
/// [`restore`](Self::restore). Dropping a set frees its blocks.
///
/// Reserved blocks are linked only once they hold entries. So the chain at the
/// [`head`](Entries::head) is valid at every instant and never has an empty block. The head is set
/// when the first block is published, and becomes null when the last entry is removed. If the head
/// is stored elsewhere, store it again then.
///
/// A set keeps the value it gets as its memory: pass a reference, or an [`Arc`](alloc::sync::Arc)
/// if one struct should hold both the memory and its sets. Once the sets are handed over,
/// `Arc::into_inner` returns the memory.
///
/// ```
/// use bytemuck::{Pod, Zeroable};
/// use kho_block::{BlockSet, Entry, HeapMemory};
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct MemorySlot { guest: u64, host: u64, len: u64, flags: u64 }
///
/// let memory = HeapMemory::new();
/// let mut set = BlockSet::new_in(&memory);
/// set.try_reserve(2)?; // may fail, and then nothing has changed
///
/// let mut writer = set.writer();
/// writer.push_within_capacity(MemorySlot { guest: 0, host: 0x7000, len: 0xa0000, flags: 0 })?;
/// writer.push_within_capacity(MemorySlot { guest: 0x100000, host: 0, len: 0x8000000, flags: 1 })?;
/// drop(writer); // published
///
/// let head = set.hand_over(); // plain data; the blocks wait in the memory
///
/// let set = BlockSet::restore(&memory, head)?;
/// assert_eq!(set.len(), 2);
/// assert_eq!(set.iter().map(|slot| slot.len).sum::<u64>(), 0x80a0000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "kho_block_set")]
#[doc(alias = "kho_block_set_destroy")]
pub struct BlockSet<T: Entry, M: BlockMemory> {
    chain: OwnedChain<T, M>,
    limit: usize,
}

impl<T: Entry, M: BlockMemory> BlockSet<T, M> {
    /// Number of entries that fit in a block of the memory.
    ///
    /// A set of entries that do not fit, or are aligned to more than 16 bytes, does not compile:
    ///
    /// ```compile_fail,E0080
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// #[repr(C)]
    /// struct TooLarge([u64; 511]); // 4088 bytes; 4080 fit
    ///
    /// let memory = HeapMemory::new();
    /// let set = BlockSet::<TooLarge, _>::new_in(&memory);
    /// ```
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// #[repr(C)]
    /// struct JustFits([u64; 510]);
    ///
    /// let memory = HeapMemory::new();
    /// let set = BlockSet::<JustFits, _>::new_in(&memory);
    /// ```
    ///
    /// The derive macro rejects too large an alignment at the declaration. If the trait is
    /// implemented by hand, the error appears where a set is made:
    ///
    /// ```compile_fail,E0080
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, EntryLayout, HeapMemory};
    /// #[derive(Clone, Copy, Pod, Zeroable)]
    /// #[repr(C, align(32))]
    /// struct Vector([u64; 4]);
    ///
    /// impl Entry for Vector {
    ///     const NAME: &'static str = "vector";
    ///     const VERSION: u32 = 1;
    ///     const LAYOUT: &'static EntryLayout = panic!();
    /// }
    ///
    /// let memory = HeapMemory::new();
    /// let set = BlockSet::<Vector, _>::new_in(&memory);
    /// ```
    #[doc(alias = "count_per_block")]
    pub const COUNT_PER_BLOCK: usize = checked_count_of::<T>(M::BLOCK_SIZE);

    /// Returns an empty set. Allocates nothing.
    #[doc(alias = "kho_block_set_init")]
    #[must_use]
    pub const fn new_in(memory: M) -> Self {
        let () = BlockTable::<T, M>::FITS; // here too, for an error that points to the caller
        Self { chain: OwnedChain::new(memory), limit: DEFAULT_BLOCK_LIMIT }
    }

    /// Returns an empty set with room for `capacity` entries.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// let set = BlockSet::<Slot, _>::try_with_capacity_in(HeapMemory::new(), 1000)?;
    /// assert!(set.is_empty() && set.capacity() >= 1000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the memory has too few blocks, or if `capacity` exceeds the limit of
    /// 10,000 blocks. A memory that was passed by value is dropped: pass a reference to keep it.
    pub fn try_with_capacity_in(memory: M, capacity: usize) -> Result<Self, ReserveError> {
        let mut set = Self::new_in(memory);
        set.try_reserve(capacity)?;
        Ok(set)
    }

    /// Restores the set at `head` by claiming its chain of at most 10,000 blocks, the kernel's
    /// limit.
    ///
    /// The memory is locked during one walk along the chain: a few hundred microseconds for 10,000
    /// blocks. So no other thread sees blocks of an invalid chain as claimed.
    ///
    /// # Errors
    /// Returns an error if the chain is not valid, or if one of its blocks is not preserved in
    /// `memory`. The error names the block, and no block is claimed. A memory that was passed by
    /// value is dropped: pass a reference to keep it.
    #[doc(alias = "kho_block_set_restore")]
    pub fn restore(memory: M, head: SetHead<T>) -> Result<Self, RestoreError> {
        Self::restore_with_limit(memory, head, DEFAULT_BLOCK_LIMIT)
    }

    /// Restores the set at `head` by claiming its chain of at most `limit` blocks.
    ///
    /// `limit` also becomes the [limit](Self::block_limit) of the set. With [`usize::MAX`], only
    /// the number of blocks preserved in `memory` bounds the chain.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`restore`](Self::restore).
    pub fn restore_with_limit(
        memory: M,
        head: SetHead<T>,
        limit: usize,
    ) -> Result<Self, RestoreError> {
        Ok(Self { chain: OwnedChain::claim(memory, head, limit)?, limit })
    }

    /// Hands the blocks over to a successor and returns the head, which leads to them.
    ///
    /// The blocks stay preserved in the memory until they are claimed. Reserved blocks that hold no
    /// entries are freed. Nothing is allocated. A memory that the set has by value is dropped, and
    /// the blocks with it: pass a reference to [`new_in`](Self::new_in) to keep it.
    ///
    /// Losing the head leaks the blocks. So hand over only after the last step that can fail, such
    /// as reserving room for the entry that will hold the head.
    #[doc(alias = "kho_block_set_head_pa")]
    #[must_use = "losing the head leaks the blocks"]
    pub fn hand_over(self) -> SetHead<T> {
        self.chain.hand_over()
    }

    /// Returns the largest number of blocks that the set may have, linked and reserved.
    ///
    /// The default is 10,000, the kernel's limit.
    #[must_use]
    pub const fn block_limit(&self) -> usize {
        self.limit
    }

    /// Sets the largest number of blocks that the set may have, linked and reserved. Existing
    /// blocks stay.
    pub const fn set_block_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Returns the memory that the blocks are in.
    #[must_use]
    pub fn memory(&self) -> &M {
        self.chain.memory()
    }

    /// Returns the number of entries that the set can hold without allocating, including those it
    /// has.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.chain.capacity()
    }

    /// Reserves all the blocks that `additional` more entries need, or none.
    ///
    /// If the system promises more memory than it has (`vm.overcommit_memory`), or if a cgroup is
    /// full, the kernel may kill a process instead of refusing it memory. See `MemfdMemory` for
    /// what to do about it.
    ///
    /// # Errors
    /// Returns an error if the memory has too few blocks, or if the set would exceed its limit. The
    /// set has not changed.
    ///
    /// # References
    /// [proc_sys_vm(5)](https://man7.org/linux/man-pages/man5/proc_sys_vm.5.html)
    #[doc(alias = "kho_block_set_grow")]
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), ReserveError> {
        self.chain.try_reserve(additional, self.limit)
    }

    /// Frees reserved blocks that hold no entries.
    #[doc(alias = "kho_block_set_shrink")]
    pub fn shrink_to_fit(&mut self) {
        self.chain.free_spare();
    }

    /// Returns a writer that appends entries to the set.
    ///
    /// Entries are published block by block, and the last ones when the writer is dropped.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let mut set = BlockSet::new_in(HeapMemory::new());
    /// let mut writer = set.writer();
    /// for value in 0..1000 {
    ///     writer.push(Slot { value })?;
    /// }
    /// drop(writer);
    /// assert_eq!((set.len(), set.block_count()), (1000, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn writer(&mut self) -> Writer<'_, T, M> {
        Writer::new(&mut self.chain, self.limit)
    }

    /// Appends an entry and publishes it. To append several entries, use the faster
    /// [`writer`](Self::writer).
    ///
    /// # Errors
    /// Returns an error if the set can't grow. The error gives the entry back, and the set has not
    /// changed.
    pub fn push(&mut self, entry: T) -> Result<(), PushError<T>> {
        self.writer().push(entry)
    }

    /// Appends an entry without allocating, and publishes it.
    ///
    /// # Errors
    /// Returns an error if the [capacity](Self::capacity) is used up. The error gives the entry
    /// back, and the set has not changed.
    pub fn push_within_capacity(&mut self, entry: T) -> Result<(), PushError<T>> {
        self.writer().push_within_capacity(entry)
    }

    /// Appends the entry that `make` returns, and publishes it. See [`Writer::push_with`].
    ///
    /// # Errors
    /// Returns an error if the set can't grow. `make` is not called then.
    pub fn push_with(&mut self, make: impl FnOnce() -> T) -> Result<(), ReserveError> {
        self.writer().push_with(make)
    }

    /// Appends all entries of a slice, or none if there is no room for all.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let mut set = BlockSet::new_in(HeapMemory::new());
    /// set.extend_from_slice(&[Slot { value: 1 }, Slot { value: 2 }])?;
    /// assert_eq!(set.last(), Some(&Slot { value: 2 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the set can't grow by as many entries. The set has not changed.
    pub fn extend_from_slice(&mut self, entries: &[T]) -> Result<(), ReserveError> {
        self.writer().extend_from_slice(entries)
    }

    /// Appends all entries of an iterator, or none if there is no room for all. See
    /// [`Writer::try_extend`].
    ///
    /// # Errors
    /// Returns an error if the set can't grow by as many entries. The set has the entries it had,
    /// and blocks that were added stay reserved.
    pub fn try_extend(&mut self, entries: impl IntoIterator<Item = T>) -> Result<(), ReserveError> {
        self.writer().try_extend(entries)
    }

    /// Returns a mutable reference to the entry at `index`, or `None` past the end.
    ///
    /// A crash may leave such a change half done. The guarantee of a prefix covers only pushing and
    /// removing entries.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let mut set = BlockSet::new_in(HeapMemory::new());
    /// set.push(Slot { value: 1 })?;
    /// if let Some(slot) = set.get_mut(0) {
    ///     slot.value += 1;
    /// }
    /// set[0].value += 1;
    /// assert_eq!(set[0].value, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chain.get_mut(index)
    }

    /// Returns an iterator over the entries block by block, each block as one mutable slice. As
    /// with [`get_mut`](Self::get_mut), a crash may leave a change half done.
    pub fn chunks_mut(&mut self) -> ChunksMut<'_, T, M> {
        self.chain.chunks_mut()
    }

    /// Returns an iterator over mutable references to all entries in order. As with
    /// [`get_mut`](Self::get_mut), a crash may leave a change half done.
    pub fn iter_mut(&mut self) -> IterMut<'_, T, M> {
        let len = self.len();
        IterMut::new(self.chunks_mut(), len)
    }

    /// Removes the last entry and returns it, or `None` if the set is empty.
    ///
    /// An emptied block stays reserved. Removing the only entry [clears](Self::clear) the set.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let mut set = BlockSet::new_in(HeapMemory::new());
    /// set.push(Slot { value: 7 })?;
    /// assert_eq!(set.pop().map(|slot| slot.value), Some(7));
    /// assert!(set.pop().is_none() && set.head().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pop(&mut self) -> Option<T> {
        let last = *self.last()?;
        self.truncate(self.len() - 1);
        Some(last)
    }

    /// Keeps the first `len` entries and removes the others.
    ///
    /// Emptied blocks stay reserved. A `len` of 0 [clears](Self::clear) the set.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let mut set = BlockSet::new_in(HeapMemory::new());
    /// set.try_extend((0..1000).map(|value| Slot { value }))?;
    /// set.truncate(10);
    /// assert_eq!((set.len(), set.block_count(), set.capacity()), (10, 1, 1020));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "kho_block_set_shrink")]
    pub fn truncate(&mut self, len: usize) {
        self.chain.truncate(len);
    }

    /// Removes all entries. The blocks stay reserved, and the head becomes null.
    ///
    /// If the head is stored elsewhere, store it again: the old one leads to a block without
    /// entries, which this crate and the kernel refuse.
    #[doc(alias = "kho_block_set_clear")]
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Keeps the entries for which `keep` returns `true`, in order, and removes the others.
    ///
    /// If `keep` panics, the entry it was called with stays, and so do all entries after it. A
    /// crash leaves a prefix of the old set or of the new one. If the first entry is removed, the
    /// set is empty for a moment, as after [`clear`](Self::clear).
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let mut set = BlockSet::new_in(HeapMemory::new());
    /// set.try_extend((0..10).map(|value| Slot { value }))?;
    /// set.retain(|slot| slot.value % 2 == 0);
    /// assert!(set.iter().map(|slot| slot.value).eq([0, 2, 4, 6, 8]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.chain.retain(keep);
    }
}

impl<T: Entry, M: BlockMemory> Deref for BlockSet<T, M> {
    type Target = Entries<T, M>;

    fn deref(&self) -> &Self::Target {
        Entries::of(&self.chain)
    }
}

impl<T: Entry, M: BlockMemory> core::ops::Index<usize> for BlockSet<T, M> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &(**self)[index]
    }
}

impl<T: Entry, M: BlockMemory> IndexMut<usize> for BlockSet<T, M> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        let len = self.len();
        match self.get_mut(index) {
            Some(entry) => entry,
            None => panic!("index {index} is past the end of a set of {len} entries"),
        }
    }
}

impl<T: Entry + fmt::Debug, M: BlockMemory> fmt::Debug for BlockSet<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<'a, T: Entry, M: BlockMemory> IntoIterator for &'a BlockSet<T, M> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T, M>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Entry, M: BlockMemory> IntoIterator for &'a mut BlockSet<T, M> {
    type Item = &'a mut T;
    type IntoIter = IterMut<'a, T, M>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
