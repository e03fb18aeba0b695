//! Writing behind the last entry of a set.

use core::fmt;

use crate::entry::Entry;
use crate::error::{PushError, ReserveError};
use crate::memory::BlockMemory;
use crate::raw::{Appender, OwnedChain};

/// Writes entries behind the last one of a [`BlockSet`](crate::BlockSet), which it borrows.
///
/// What was written is *published*, that is made part of the chain, block by block: a full one when
/// the next is begun, the last when the writer is dropped, also while a panic unwinds. A writer that
/// is leaked loses what it had not published, at most one block, and breaks nothing.
///
/// At every instant the chain is valid and a prefix of what was pushed.
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

    /// Writes an entry, growing the set by a block where it has to.
    ///
    /// # Errors
    /// The set can't grow. The entry is given back; what was pushed before stays.
    #[inline]
    pub fn push(&mut self, entry: T) -> Result<(), PushError<T>> {
        self.appender.push(entry, Some(self.limit))
    }

    /// Writes an entry in a block that the set has. Never allocates.
    ///
    /// # Errors
    /// The capacity is used up. The entry is given back; what was pushed before stays.
    #[inline]
    pub fn push_within_capacity(&mut self, entry: T) -> Result<(), PushError<T>> {
        self.appender.push(entry, None)
    }

    /// Writes all entries of a slice, or none.
    ///
    /// # Errors
    /// The set can't grow by as many; what was pushed before stays.
    pub fn extend_from_slice(&mut self, entries: &[T]) -> Result<(), ReserveError> {
        self.try_reserve(entries.len())?;
        let pushed = self.appender.push_slice(entries);
        debug_assert_eq!(pushed, entries.len(), "room for all was reserved");
        Ok(())
    }

    /// Reserves blocks until `additional` more entries fit: all that are missing, or none.
    ///
    /// # Errors
    /// The memory has too few blocks, or the set would pass its limit.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), ReserveError> {
        // The chain counts from what is published.
        let unpublished = self.appender.len() - self.appender.chain().len();
        let additional = additional.saturating_add(unpublished);
        self.appender.chain().try_reserve(additional, self.limit)
    }

    /// Makes what was pushed so far part of the chain, without ending.
    pub fn publish(&mut self) {
        self.appender.publish();
    }

    /// How many entries this writer has pushed.
    #[must_use]
    pub fn pushed(&self) -> usize {
        self.appender.len() - self.start
    }

    /// Undoes all that this writer has pushed: unlinks the blocks it linked, then lowers the count
    /// of the one it began with. The blocks stay with the set.
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
