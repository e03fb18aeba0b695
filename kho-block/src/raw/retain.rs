//! Removing entries from the middle of an owned chain.
//!
//! What follows the first entry that goes is taken out of the chain, then those that stay are
//! appended again, in place: I3, whoever looks sees a prefix of what the chain was, or becomes.

use super::{Appender, Entries, OwnedChain};
use crate::entry::Entry;
use crate::memory::BlockMemory;

impl<T: Entry, M: BlockMemory> OwnedChain<T, M> {
    /// Keeps the entries for which `keep` holds. If it panics, the entry it was asked about stays,
    /// and so do those after it.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let Some(first_gone) = self.iter().position(|entry| !keep(entry)) else { return };
        let mut tail = Tail::new(self, first_gone);
        tail.skip();
        while let Some(entry) = tail.peek() {
            if keep(&entry) {
                tail.keep(entry);
            } else {
                tail.skip();
            }
        }
    }
}

/// The entries behind a point at which the chain was cut, read one by one while those that stay
/// are appended. On drop the rest stays.
///
/// # Invariants
/// The entry to be read is at `offset` in the block at `position`, and `left` entries remain from
/// there on. At most as many entries were appended since the cut as lie before that one, so the slot
/// to be written is never behind it, and the headers of later blocks are as they were.
struct Tail<'s, T: Entry, M: BlockMemory> {
    appender: Appender<'s, T, M>,
    position: usize,
    offset: usize,
    /// How many entries the block at `position` held before the cut.
    count: usize,
    left: usize,
}

impl<'s, T: Entry, M: BlockMemory> Tail<'s, T, M> {
    /// Cuts the chain before entry `index`.
    fn new(chain: &'s mut OwnedChain<T, M>, index: usize) -> Self {
        let (position, offset) = chain.locate(index);
        let count = chain.entries.count(position);
        let left = chain.len() - index;
        chain.truncate(index);
        Self { appender: Appender::new(chain), position, offset, count, left }
    }

    /// Copy of the next entry of the tail.
    fn peek(&mut self) -> Option<T> {
        if self.left == 0 {
            return None;
        }
        let entries = &self.appender.chain().entries;
        if self.offset == self.count {
            self.position += 1;
            self.offset = 0;
            let count = usize::try_from(entries.header(self.position).count);
            self.count = count.unwrap_or(usize::MAX);
        }
        assert!(self.offset < self.count.min(Entries::<T, M>::COUNT_PER_BLOCK));
        let first = entries.entries(self.position);
        // SAFETY: the offset is less than `COUNT_PER_BLOCK`, and that many entries fit in a block.
        let slot = unsafe { first.add(self.offset) };
        // SAFETY: the block is in the table, so it is owned (I2) and all its bytes are initialised
        // (G1); every bit pattern is a `T` (I5).
        Some(unsafe { slot.read() })
    }

    /// Leaves the next entry out.
    fn skip(&mut self) {
        self.left -= 1;
        self.offset += 1;
    }

    /// Appends `entry`, which is the next one.
    fn keep(&mut self, entry: T) {
        self.skip();
        let kept = self.appender.push(entry, None);
        debug_assert!(kept.is_ok(), "what was in the blocks before fits again");
    }
}

impl<T: Entry, M: BlockMemory> Drop for Tail<'_, T, M> {
    fn drop(&mut self) {
        while let Some(entry) = self.peek() {
            self.keep(entry);
        }
    }
}
