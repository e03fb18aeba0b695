//! Appending entries to a set.

use core::fmt;

use crate::entry::Entry;
use crate::error::{PushError, ReserveError};
use crate::memory::BlockMemory;
use crate::raw::{Appender, OwnedChain};

/// A writer that appends entries to a borrowed [`BlockSet`](crate::BlockSet). Made by
/// [`BlockSet::writer`](crate::BlockSet::writer).
///
/// Entries become part of the chain block by block. They are *published* when the writer begins the
/// next block, by [`publish`](Self::publish), and when the writer is dropped, even while a panic
/// unwinds. Leaking a writer loses the entries that it has not published, at most one block of
/// them, but breaks nothing.
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

    /// Appends an entry. Allocates a block if the last one is full and none is reserved.
    ///
    /// # Errors
    /// Returns an error if the set can't grow. The error gives the entry back, and entries pushed
    /// before stay.
    #[inline]
    pub fn push(&mut self, entry: T) -> Result<(), PushError<T>> {
        self.appender.push(entry, self.limit)
    }

    /// Appends an entry without allocating.
    ///
    /// # Errors
    /// Returns an error if the reserved capacity is used up. The error gives the entry back, and
    /// entries pushed before stay.
    #[inline]
    pub fn push_within_capacity(&mut self, entry: T) -> Result<(), PushError<T>> {
        self.appender.push_within_capacity(entry)
    }

    /// Finds room for an entry, then appends the one that `make` returns.
    ///
    /// If the compiler inlines `make`, it writes the fields straight into the block. That saves a
    /// copy, which pays from about 64 bytes on. Allocates nothing while capacity is reserved.
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
    /// Returns an error if the set can't grow. `make` is not called then, and entries pushed before
    /// stay.
    #[inline]
    pub fn push_with(&mut self, make: impl FnOnce() -> T) -> Result<(), ReserveError> {
        self.appender.push_with(make, self.limit)
    }

    /// Appends all entries of a slice, or none if there is no room for all.
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
    /// Returns an error if the set can't grow by as many entries. Entries pushed before stay.
    pub fn extend_from_slice(&mut self, entries: &[T]) -> Result<(), ReserveError> {
        self.try_reserve(entries.len())?;
        let pushed = self.appender.push_slice(entries);
        debug_assert_eq!(pushed, entries.len(), "room for all was reserved");
        Ok(())
    }

    /// Appends all entries of an iterator, or none if there is no room for all.
    ///
    /// Room is first reserved for the lower bound of the iterator's `size_hint`. If the iterator
    /// panics, the entries it returned before stay.
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
    /// Returns an error if the set can't grow by as many entries. Entries pushed before stay, the
    /// entries of the iterator are removed, and blocks that were added for them stay reserved.
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

    /// Reserves all the blocks that `additional` more entries need, or none.
    ///
    /// # Errors
    /// Returns an error if the memory has too few blocks, or if the set would exceed its limit.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), ReserveError> {
        // The chain counts from what is published.
        let unpublished = self.appender.len() - self.appender.chain().len();
        let additional = additional.saturating_add(unpublished);
        self.appender.chain().try_reserve(additional, self.limit)
    }

    /// Publishes the entries that were pushed so far. The writer can still be used.
    pub fn publish(&mut self) {
        self.appender.publish();
    }

    /// Returns the number of entries that were pushed with this writer.
    #[must_use]
    pub fn pushed(&self) -> usize {
        self.appender.len() - self.start
    }

    /// Removes all entries that were pushed with this writer. Their blocks stay reserved.
    ///
    /// First the blocks it linked are unlinked, then the count of the block it began in is lowered,
    /// so a reader sees a prefix at every instant.
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
