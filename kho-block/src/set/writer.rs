//! Writing behind the last entry of a set.

use core::fmt;

use crate::entry::Entry;
use crate::error::{PushError, ReserveError};
use crate::memory::BlockMemory;
use crate::raw::{Appender, OwnedChain};

/// Appends entries to a [`BlockSet`](crate::BlockSet), which it borrows. Made by
/// [`BlockSet::writer`](crate::BlockSet::writer).
///
/// Entries become part of the chain block by block: they are *published* when their block is full
/// and the next one is begun, or when the writer is dropped, also while a panic unwinds. A writer
/// that is leaked loses the entries that it had not published, at most one block of them, and
/// breaks nothing.
///
/// At every instant the chain is valid and holds a prefix of what was pushed.
#[doc(alias = "kho_block_set_it_init")]
#[doc(alias = "kho_block_set_it_reserve_entry")]
pub struct Writer<'s, T: Entry, M: BlockMemory> {
    pub(crate) appender: Appender<'s, T, M>,
    /// Length of the set when writing started.
    start: usize,
    limit: usize,
}

impl<'s, T: Entry, M: BlockMemory> Writer<'s, T, M> {
    pub(crate) fn new(chain: &'s mut OwnedChain<T, M>, limit: usize) -> Self {
        let start = chain.len();
        Self { appender: Appender::new(chain), start, limit }
    }

    /// Appends an entry. Adds a block to the set if the last one is full and none is reserved.
    ///
    /// # Errors
    /// The set can't grow. The entry is given back; what was pushed before stays.
    #[inline]
    pub fn push(&mut self, entry: T) -> Result<(), PushError<T>> {
        self.appender.push(entry, self.limit)
    }

    /// Appends an entry without allocating.
    ///
    /// # Errors
    /// The reserved capacity is used up. The entry is given back; what was pushed before stays.
    #[inline]
    pub fn push_within_capacity(&mut self, entry: T) -> Result<(), PushError<T>> {
        self.appender.push_within_capacity(entry)
    }

    /// Appends the entry that `make` returns. Calls `make` after the room for the entry is found.
    ///
    /// An entry that is made in place is not copied, which pays from about 64 bytes on: the
    /// compiler writes its fields straight into the block, as far as it inlines `make`. Does not
    /// allocate where capacity was reserved.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// #[repr(C)]
    /// struct Page { number: u64, words: [u64; 63] }
    ///
    /// let mut set = BlockSet::new_in(HeapMemory::new());
    /// let mut writer = set.writer();
    /// for number in 0..100 {
    ///     writer.push_with(|| Page { number, words: [number * 3; 63] })?;
    /// }
    /// drop(writer);
    /// assert_eq!(set[99].words[62], 297);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The set can't grow; `make` is not called, and what was pushed before stays.
    #[inline]
    pub fn push_with(&mut self, make: impl FnOnce() -> T) -> Result<(), ReserveError> {
        self.appender.push_with(make, self.limit)
    }

    /// Appends all entries of a slice, or none.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let mut set = BlockSet::new_in(HeapMemory::new());
    /// let slots: Vec<Slot> = (0..1000).map(|value| Slot { value }).collect();
    /// let mut writer = set.writer();
    /// writer.extend_from_slice(&slots)?;
    /// writer.extend_from_slice(&slots[..10])?;
    /// drop(writer);
    /// assert_eq!((set.len(), set[1009].value), (1010, 9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The set can't grow by as many entries; what was pushed before stays.
    pub fn extend_from_slice(&mut self, entries: &[T]) -> Result<(), ReserveError> {
        self.try_reserve(entries.len())?;
        let pushed = self.appender.push_slice(entries);
        debug_assert_eq!(pushed, entries.len(), "room for all was reserved");
        Ok(())
    }

    /// Appends all entries of an iterator, or none.
    ///
    /// Room for as many entries as the iterator has at least is reserved first. If the iterator
    /// panics, what it returned before stays.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let mut set = BlockSet::new_in(HeapMemory::new());
    /// let mut writer = set.writer();
    /// writer.try_extend((0..1000).map(|value| Slot { value }))?;
    /// drop(writer);
    /// assert_eq!(set.len(), 1000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The set can't grow by as many entries. What was pushed before stays, what the iterator
    /// returned is removed again, and blocks that were added for it stay reserved.
    pub fn try_extend(&mut self, entries: impl IntoIterator<Item = T>) -> Result<(), ReserveError> {
        let entries = entries.into_iter();
        self.try_reserve(entries.size_hint().0)?;
        let before = self.appender.len();
        for entry in entries {
            if let Err(error) = self.push_with(|| entry) {
                self.appender.truncate(before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reserves blocks until `additional` more entries fit: all that are missing, or none.
    ///
    /// # Errors
    /// The memory has too few blocks, or the set would exceed its limit.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), ReserveError> {
        // The chain counts from what is published.
        let unpublished = self.appender.len() - self.appender.chain().len();
        let additional = additional.saturating_add(unpublished);
        self.appender.chain().try_reserve(additional, self.limit)
    }

    /// Publishes what was pushed so far. The writer can go on.
    pub fn publish(&mut self) {
        self.appender.publish();
    }

    /// Returns how many entries were pushed with this writer.
    #[must_use]
    pub fn pushed(&self) -> usize {
        self.appender.len() - self.start
    }

    /// Removes all entries that were pushed with this writer. The blocks stay reserved.
    ///
    /// The blocks that it linked are unlinked first, then the count of the block that it began with
    /// is lowered, so a reader sees a prefix at every instant.
    #[doc(alias = "kho_block_set_shrink")]
    pub fn rollback(mut self) {
        self.appender.truncate(self.start);
    }
}

impl<T: Entry, M: BlockMemory> fmt::Debug for Writer<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("pushed", &self.pushed()).finish_non_exhaustive()
    }
}
