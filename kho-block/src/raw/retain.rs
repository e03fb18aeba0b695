//! Removing entries from the middle of an owned chain.
//!
//! Let k be the index of the first entry to remove. The chain is cut before it. Then two cursors go
//! over the entries that were cut off: one reads each entry, the other appends those that stay.
//!
//! ```text
//!  before:   0 … k-1 │ k   k+1   k+2   k+3   k+4
//!  during:   0 … k-1   k+1 │ write             ▲
//!            published     └ next slot         └ read: k+4 is next
//! ```
//!
//! Why a crash leaves a prefix (I3): the cut leaves entries 0 to k-1, a prefix of the old set and
//! of the new one. Then the entries that stay are appended in order, as by any writer, so each
//! state is a prefix of the new set.
//!
//! Why no entry is lost: the writer appends at most one entry for each one that was read, and
//! begins where the reader does. It fills every block, while the reader may go over blocks that are
//! not full. So it never writes a slot that is yet to be read. The same holds for headers: the
//! writer stores to the header of the block it is in, whose count the reader copied when it entered
//! that block.

use super::append::Appender;
use super::owned::OwnedChain;
use super::table::BlockTable;
use crate::entry::Entry;
use crate::memory::BlockMemory;

impl<T: Entry, M: BlockMemory> OwnedChain<T, M> {
    /// Keeps the entries for which `keep` returns `true`. If it panics, the entry it was called
    /// with stays, and so do all entries after it.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let Some(first_gone) = (0..self.linked()).find_map(|position| {
            let offset = self.chunk(position).iter().position(|entry| !keep(entry))?;
            Some(self.start(position) + offset)
        }) else {
            return;
        };
        let mut tail = Tail::cut(self, first_gone);
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

/// The entries after the point where a chain was cut. On drop, the unread entries are kept.
struct Tail<'s, T: Entry, M: BlockMemory> {
    read: ReadCursor,
    write: Appender<'s, T, M>,
}

/// The place of the next entry to read.
struct ReadCursor {
    /// Position of the block in the table.
    position: usize,
    /// Index of the entry in the block, or `count` if the next entry is in the next block.
    offset: usize,
    /// Number of entries in the block before the cut.
    count: usize,
    /// Number of entries left to read, including this one.
    left: usize,
}

impl<'s, T: Entry, M: BlockMemory> Tail<'s, T, M> {
    /// Cuts the chain before entry `index`.
    fn cut(chain: &'s mut OwnedChain<T, M>, index: usize) -> Self {
        let (position, offset) = chain.locate(index);
        let count = chain.table.count(position);
        let left = chain.len() - index;
        chain.truncate(index);
        Self { read: ReadCursor { position, offset, count, left }, write: Appender::new(chain) }
    }

    /// Returns a copy of the next entry.
    fn peek(&mut self) -> Option<T> {
        let Self { read, write } = self;
        if read.left == 0 {
            return None;
        }
        let table = &write.chain().table;
        if read.offset == read.count {
            read.position += 1;
            read.offset = 0;
            let count = usize::try_from(table.header(read.position).count);
            read.count = count.unwrap_or(usize::MAX);
        }
        assert!(read.offset < read.count.min(BlockTable::<T, M>::COUNT_PER_BLOCK));
        let first = table.first_slot(read.position);
        // SAFETY: the offset is less than `COUNT_PER_BLOCK`, and that many entries fit in a block.
        let slot = unsafe { first.add(read.offset) };
        // SAFETY: the block is in the table, so it is owned (I2) and all its bytes are initialised
        // (G1); every bit pattern is a `T` (I5).
        Some(unsafe { slot.read() })
    }

    /// Moves past the next entry, which is removed.
    fn skip(&mut self) {
        self.read.left -= 1;
        self.read.offset += 1;
    }

    /// Moves past the next entry, which is `entry`, and appends it.
    fn keep(&mut self, entry: T) {
        self.skip();
        let kept = self.write.push_within_capacity(entry);
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
