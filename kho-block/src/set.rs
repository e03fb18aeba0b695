//! Owning a set: grow, shrink, change, hand over, claim.

use core::fmt;
use core::mem;
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
mod writer;

pub use iter_mut::IterMut;
pub use writer::Writer;

/// A set of entries in linked blocks, in order, owned.
///
/// Reads like a slice, by the methods of [`Entries`]; grows like a `Vec`, by a [`Writer`]; and
/// crosses to a successor by [`hand_over`](Self::hand_over) and [`restore`](Self::restore). Dropping
/// it frees its blocks.
///
/// Blocks are reserved ahead, and linked when they hold something: the chain that others may find
/// at the [`head`](Entries::head) is valid at every instant and never has an empty block. The head
/// changes when the first entry comes or the last one goes; whoever stored it stores it again.
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
    /// How many entries fit in a block.
    ///
    /// An entry that does not fit, or is aligned over 16 bytes, does not compile:
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
    /// The derive macro refuses the alignment where it is declared; one that was declared by hand
    /// gets as far as here:
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

    /// An empty set. Allocates nothing; its head is null.
    #[doc(alias = "kho_block_set_init")]
    #[must_use]
    pub const fn new_in(memory: M) -> Self {
        let () = BlockTable::<T, M>::FITS; // asked here too, for an error that points to the caller
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
    /// The memory has too few blocks, or `capacity` exceeds the limit of 10,000 blocks. Memory that
    /// was passed by value is dropped: pass a reference to keep it.
    pub fn try_with_capacity_in(memory: M, capacity: usize) -> Result<Self, ReserveError> {
        let mut set = Self::new_in(memory);
        set.try_reserve(capacity)?;
        Ok(set)
    }

    /// Claims the chain at `head`, up to the kernel's limit of 10,000 blocks.
    ///
    /// The memory is locked meanwhile, so that nobody else meets blocks of a chain that turns out to be
    /// invalid: for one walk along the chain, some hundred microseconds at 10,000 blocks.
    ///
    /// # Errors
    /// The chain is not valid, or some of its blocks are not preserved in `memory`. The error names
    /// the block; nothing was claimed. A memory that was passed by value is dropped then: pass a
    /// reference to keep it.
    #[doc(alias = "kho_block_set_restore")]
    pub fn restore(memory: M, head: SetHead<T>) -> Result<Self, RestoreError> {
        Self::restore_with_limit(memory, head, DEFAULT_BLOCK_LIMIT)
    }

    /// The same with another limit of blocks, which the set keeps. With [`usize::MAX`] a chain may have
    /// as many blocks as `memory` has preserved.
    ///
    /// # Errors
    /// As for [`restore`](Self::restore).
    pub fn restore_with_limit(
        memory: M,
        head: SetHead<T>,
        limit: usize,
    ) -> Result<Self, RestoreError> {
        Ok(Self { chain: OwnedChain::claim(memory, head, limit)?, limit })
    }

    /// Gives the blocks to the successor, who finds them by the head that is returned. They stay in
    /// the memory until they are claimed. Reserved blocks that hold nothing are freed.
    ///
    /// Do it after the last step that may fail: a head that gets lost, since the entry it was to be
    /// nested in could not be written, leaves blocks that nobody finds.
    #[doc(alias = "kho_block_set_head_pa")]
    #[must_use = "without the head nobody finds the blocks"]
    pub fn hand_over(self) -> SetHead<T> {
        self.chain.hand_over()
    }

    /// The most blocks the set may have: 10,000, as the kernel follows, unless it was set.
    #[must_use]
    pub const fn block_limit(&self) -> usize {
        self.limit
    }

    /// Sets the most blocks the set may have, linked and reserved. What it has, it keeps.
    pub const fn set_block_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The memory the blocks are in.
    #[must_use]
    pub fn memory(&self) -> &M {
        self.chain.memory()
    }

    /// How many entries fit in the blocks that the set has.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.chain.capacity()
    }

    /// Reserves blocks until `additional` more entries fit: all that are missing, or none.
    ///
    /// Where the system promises more memory than it has (`vm.overcommit_memory`), or a cgroup is full,
    /// the kernel may kill a process instead of refusing it memory: proc_sys_vm(5). The documentation of
    /// `MemfdMemory` says what to do about it.
    ///
    /// # Errors
    /// The memory has too few blocks, or the set would pass its limit. The set is as it was.
    #[doc(alias = "kho_block_set_grow")]
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), ReserveError> {
        self.chain.try_reserve(additional, self.limit)
    }

    /// Frees the reserved blocks that hold nothing.
    #[doc(alias = "kho_block_set_shrink")]
    pub fn shrink_to_fit(&mut self) {
        self.chain.free_spare();
    }

    /// Starts writing behind the last entry. What is written is published block by block, and when
    /// the writer is dropped.
    pub fn writer(&mut self) -> Writer<'_, T, M> {
        Writer::new(&mut self.chain, self.limit)
    }

    /// Writes one entry and publishes it. For several, a [`writer`](Self::writer) is faster.
    ///
    /// # Errors
    /// The set can't grow; the entry is given back.
    pub fn push(&mut self, entry: T) -> Result<(), PushError<T>> {
        self.writer().push(entry)
    }

    /// Appends the entry that `make` returns, and publishes it. See [`Writer::push_with`].
    ///
    /// # Errors
    /// The set can't grow; `make` is not called.
    pub fn push_with(&mut self, make: impl FnOnce() -> T) -> Result<(), ReserveError> {
        self.writer().push_with(make)
    }

    /// Appends all entries of a slice, or none.
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
    /// The set can't grow by as many entries; it has not changed.
    pub fn extend_from_slice(&mut self, entries: &[T]) -> Result<(), ReserveError> {
        self.writer().extend_from_slice(entries)
    }

    /// Appends all entries of an iterator, or none. See [`Writer::try_extend`].
    ///
    /// # Errors
    /// The set can't grow by as many entries; it has the entries that it had. Blocks that were added
    /// stay reserved.
    pub fn try_extend(&mut self, entries: impl IntoIterator<Item = T>) -> Result<(), ReserveError> {
        self.writer().try_extend(entries)
    }

    /// Lets `write` push entries, all or none: if it returns an error or panics, what it pushed is
    /// undone, and the blocks reserved for it stay with the set.
    ///
    /// All or nothing within this process. On a set that was empty the head comes with the first
    /// block that is full, and goes again if that is undone. After a crash the successor sees some prefix of what was
    /// pushed; whoever publishes the head decides when it is to be seen.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory, PushError};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let memory = HeapMemory::new();
    /// # let mut set = BlockSet::<Slot, _>::new_in(&memory);
    /// let result = set.transaction(|writer| {
    ///     writer.push(Slot { value: 1 }).map_err(|_| "no memory")?;
    ///     Err::<(), _>("the device refuses to stop")
    /// });
    /// assert_eq!(result, Err("the device refuses to stop"));
    /// assert!(set.is_empty());
    /// ```
    ///
    /// # Errors
    /// Those of `write`.
    pub fn transaction<R, E>(
        &mut self,
        write: impl for<'w, 's> FnOnce(&'w mut Writer<'s, T, M>) -> Result<R, E>,
    ) -> Result<R, E> {
        let len = self.len();
        let undo = Undo { set: self, len };
        let result = write(&mut undo.set.writer())?;
        mem::forget(undo);
        Ok(result)
    }

    /// The entry at `index`, to change it in place.
    ///
    /// A change in place is not covered by the promise that a crash leaves a true prefix: it may
    /// be half done.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chain.get_mut(index)
    }

    /// The entries block by block, to change them in place. See [`get_mut`](Self::get_mut).
    pub fn chunks_mut(&mut self) -> ChunksMut<'_, T, M> {
        self.chain.chunks_mut()
    }

    /// The entries in order, to change them in place. See [`get_mut`](Self::get_mut).
    pub fn iter_mut(&mut self) -> IterMut<'_, T, M> {
        let len = self.len();
        IterMut::new(self.chunks_mut(), len)
    }

    /// Takes the last entry off. Its block stays with the set. With the only entry the head goes,
    /// as by [`clear`](Self::clear).
    pub fn pop(&mut self) -> Option<T> {
        let last = *self.last()?;
        self.truncate(self.len() - 1);
        Some(last)
    }

    /// Keeps the first `len` entries, all if there are fewer. The blocks stay with the set. At 0 the
    /// head goes, as by [`clear`](Self::clear).
    #[doc(alias = "kho_block_set_shrink")]
    pub fn truncate(&mut self, len: usize) {
        self.chain.truncate(len);
    }

    /// Removes all entries. The blocks stay with the set, and the head becomes null.
    ///
    /// A head that was stored before now leads to a block that says it has no entries, which is
    /// refused, here and by the kernel: store the new head.
    #[doc(alias = "kho_block_set_clear")]
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Keeps the entries for which `keep` holds, in their order. If `keep` panics, the entry it was
    /// asked about stays, and so do those after it.
    ///
    /// A crash meanwhile leaves a prefix of what the set was, or of what it becomes. If the first
    /// entry goes, the set is empty in between, as after [`clear`](Self::clear).
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.chain.retain(keep);
    }
}

/// Undoes what a transaction wrote, unless it is forgotten.
struct Undo<'s, T: Entry, M: BlockMemory> {
    set: &'s mut BlockSet<T, M>,
    len: usize,
}

impl<T: Entry, M: BlockMemory> Drop for Undo<'_, T, M> {
    fn drop(&mut self) {
        self.set.truncate(self.len);
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
