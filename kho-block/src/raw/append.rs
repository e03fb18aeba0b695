//! Writing behind the published entries of an owned chain.

use core::ptr::NonNull;

use super::stream::{self, Stream};
use super::{Entries, OwnedChain};
use crate::entry::Entry;
use crate::error::{PushError, PushErrorKind};
use crate::memory::BlockMemory;

/// Where the next entry goes. Publishes a block when it begins the next one, and on drop.
///
/// # Invariants
/// - **A1** While a block is open, `first <= next <= end`, where `first` is the first slot of the
///   block at `position` and `end` is `COUNT_PER_BLOCK` slots behind it; the slots before `next` are
///   written. The block is the last linked one, or the spare one after it, so the slots from the
///   published count on are this value's to write.
/// - **A2** While none is open, `next == end`.
pub(crate) struct Appender<'s, T: Entry, M: BlockMemory> {
    next: NonNull<T>,
    end: NonNull<T>,
    /// `None` while no block is open.
    first: Option<NonNull<T>>,
    position: usize,
    chain: &'s mut OwnedChain<T, M>,
}

// SAFETY: the pointers go into blocks of the chain, which is borrowed exclusively and may go to
// another thread itself.
unsafe impl<T: Entry + Send + Sync, M: BlockMemory + Send> Send for Appender<'_, T, M> {}

impl<'s, T: Entry, M: BlockMemory> Appender<'s, T, M> {
    const PER_BLOCK: usize = Entries::<T, M>::COUNT_PER_BLOCK;

    /// How many entries are copied at a time: 1 KiB of them. From 2 KiB on glibc lets the processor
    /// copy bytes (`rep movsb`), and that is slow to where a cache line does not begin, as entries
    /// never do.
    const PIECE: usize = if size_of::<T>() < 1024 { 1024 / size_of::<T>() } else { 1 };

    /// Starts behind the last entry.
    #[inline]
    pub(crate) fn new(chain: &'s mut OwnedChain<T, M>) -> Self {
        let dangling = NonNull::dangling();
        let mut appender = Self { next: dangling, end: dangling, first: None, position: 0, chain };
        appender.open_last();
        appender
    }

    /// Writes an entry behind the last. Where no reserved block has room, the chain grows up to
    /// `limit` blocks, or not at all for `None`.
    #[inline]
    pub(crate) fn push(&mut self, entry: T, limit: Option<usize>) -> Result<(), PushError<T>> {
        if self.next == self.end {
            if let Err(kind) = self.open_next(limit) {
                return Err(PushError::new(entry, kind));
            }
        }
        self.write(entry);
        Ok(())
    }

    /// Writes an entry. There must be room.
    #[inline]
    fn write(&mut self, entry: T) {
        debug_assert!(self.next != self.end);
        // SAFETY: `next` is before `end`, so it is a slot that is this value's to write (A1).
        unsafe { self.next.write(entry) };
        // SAFETY: one slot further is at most `end` (A1).
        self.next = unsafe { self.next.add(1) };
    }

    /// Copies as many entries as the reserved blocks have room for; says how many.
    pub(crate) fn push_slice(&mut self, entries: &[T]) -> usize {
        let stream = (size_of_val(entries) >= stream::LARGE).then(Stream::begin);
        let most = if stream.is_some() { usize::MAX } else { Self::PIECE };
        let mut rest = entries;
        while !rest.is_empty() && (self.next != self.end || self.open_next(None).is_ok()) {
            let (now, later) = rest.split_at(rest.len().min(self.room()).min(most));
            let from = NonNull::from(now).cast();
            if let Some(stream) = &stream {
                // SAFETY: these bytes are those of as many slots from `next` on, which are this value's
                // to write (A1), so the entries, which are borrowed, are not among them.
                unsafe { stream.copy(from.cast(), self.next.cast(), size_of_val(now)) };
            } else {
                // SAFETY: this many slots from `next` on are this value's to write (A1), so the
                // entries, which are borrowed, are not among them.
                unsafe { from.copy_to_nonoverlapping(self.next, now.len()) };
            }
            // SAFETY: this many slots further is at most `end` (A1).
            self.next = unsafe { self.next.add(now.len()) };
            rest = later;
        }
        entries.len() - rest.len()
    }

    /// How many entries fit in the open block.
    fn room(&self) -> usize {
        // SAFETY: both point into the open block, `next` not behind `end` (A1).
        unsafe { self.end.offset_from(self.next) }.unsigned_abs()
    }

    /// Publishes the open block and opens the first spare one, which is a new one if there is none and
    /// the chain may grow. If it returns `Ok` there is room.
    #[inline]
    fn open_next(&mut self, limit: Option<usize>) -> Result<(), PushErrorKind> {
        let first = publish_and_find_spare(self.chain, self.position, self.written(), limit)?;
        // INVARIANT (A1): the spare block after the last linked one, nothing in it published.
        self.open(self.chain.entries.linked, first, 0);
        Ok(())
    }

    /// Opens the last linked block, if there is one, behind its entries.
    #[inline]
    pub(super) fn open_last(&mut self) {
        let entries = &self.chain.entries;
        if let Some(last) = entries.linked.checked_sub(1) {
            // INVARIANT (A1): the last linked block, with its published entries written.
            self.open(last, entries.entries(last), entries.count(last));
        }
    }

    /// Opens the block at `position`, whose first slot is `first`, and of which `written` slots are.
    #[inline]
    fn open(&mut self, position: usize, first: NonNull<T>, written: usize) {
        assert!(written <= Self::PER_BLOCK, "more entries than fit in a block");
        self.first = Some(first);
        self.position = position;
        // SAFETY: `COUNT_PER_BLOCK` slots fit in a block, and `written` is not more.
        self.next = unsafe { first.add(written) };
        // SAFETY: as before.
        self.end = unsafe { first.add(Self::PER_BLOCK) };
    }

    /// Makes all that was written part of the chain.
    #[inline]
    pub(crate) fn publish(&mut self) {
        let written = self.written();
        if written > 0 {
            self.chain.publish(self.position, written);
        }
    }

    /// How many slots of the open block are written.
    #[inline]
    fn written(&self) -> usize {
        let Some(first) = self.first else { return 0 };
        // SAFETY: both point into the open block, `next` not before `first` (A1).
        unsafe { self.next.offset_from(first) }.unsigned_abs()
    }

    /// How many entries the chain will have once all is published.
    pub(crate) fn len(&self) -> usize {
        match self.first {
            Some(_) => self.chain.entries.start(self.position) + self.written(),
            None => self.chain.entries.len,
        }
    }

    /// Forgets what was not published, then all entries from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.close();
        self.chain.truncate(len);
        self.open_last();
    }

    /// Forgets what was not published.
    pub(super) fn close(&mut self) {
        // INVARIANT (A2): no block is open.
        self.first = None;
        self.end = self.next;
    }

    /// The chain, with what was published.
    pub(crate) fn chain(&mut self) -> &mut OwnedChain<T, M> {
        self.chain
    }
}

/// Publishes `written` entries, if any, of the block at `position`; the first slot of the first spare
/// block, which is a new one if there is none and the chain may grow.
// Out of line, for it is rare; and not a method of the appender, whose fields stay in registers as
// long as no reference to it leaves the loop around `push`.
#[cold]
#[inline(never)]
fn publish_and_find_spare<T: Entry, M: BlockMemory>(
    chain: &mut OwnedChain<T, M>,
    position: usize,
    written: usize,
    limit: Option<usize>,
) -> Result<NonNull<T>, PushErrorKind> {
    if written > 0 {
        chain.publish(position, written);
    }
    let spare = chain.entries.linked;
    if spare == chain.entries.blocks.len() {
        let limit = limit.ok_or(PushErrorKind::CapacityUsed)?;
        chain.try_reserve(1, limit).map_err(PushErrorKind::Reserve)?;
    }
    Ok(chain.entries.entries(spare))
}

impl<T: Entry, M: BlockMemory> Drop for Appender<'_, T, M> {
    // Inlined also where a panic unwinds, which is another reference that would leave the loop.
    #[inline(always)]
    fn drop(&mut self) {
        self.publish();
    }
}
