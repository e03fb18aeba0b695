//! Appending to an owned chain.

use core::ptr::NonNull;
use core::slice;

use super::copy::Copying;
use super::owned::OwnedChain;
use super::table::BlockTable;
use crate::entry::Entry;
use crate::error::{PushError, PushErrorKind, ReserveError};
use crate::memory::BlockMemory;

/// A block limit that lets no chain grow.
const NO_GROWTH: usize = 0;

/// Appends entries to a chain. Publishes a block when it begins the next one, and on drop.
///
/// # Invariants
/// - **A1** While a block is open, `first <= next <= end`, where `first` is the first slot of the
///   block at `position` and `end` is `COUNT_PER_BLOCK` slots after it; the slots before `next` are
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
    const PER_BLOCK: usize = BlockTable::<T, M>::COUNT_PER_BLOCK;

    /// Returns an appender that starts after the last entry.
    #[inline]
    pub(crate) fn new(chain: &'s mut OwnedChain<T, M>) -> Self {
        let dangling = NonNull::dangling();
        let mut appender = Self { next: dangling, end: dangling, first: None, position: 0, chain };
        appender.open_last();
        appender
    }

    /// Writes `entry` after the last entry. If no reserved block has room, the chain grows up to
    /// `limit` blocks.
    #[inline]
    pub(crate) fn push(&mut self, entry: T, limit: usize) -> Result<(), PushError<T>> {
        match self.find_room(limit) {
            Ok(()) => {
                self.write(|| entry);
                Ok(())
            }
            Err(error) => Err(PushError::new(entry, PushErrorKind::Reserve(error))),
        }
    }

    /// Writes `entry` after the last entry, if a reserved block has room.
    #[inline]
    pub(crate) fn push_within_capacity(&mut self, entry: T) -> Result<(), PushError<T>> {
        match self.find_room(NO_GROWTH) {
            Ok(()) => {
                self.write(|| entry);
                Ok(())
            }
            Err(_) => Err(PushError::new(entry, PushErrorKind::CapacityUsed)),
        }
    }

    /// Finds room for an entry, then writes the one that `make` returns after the last entry. If no
    /// reserved block has room, the chain grows up to `limit` blocks.
    #[inline]
    pub(crate) fn push_with(
        &mut self,
        make: impl FnOnce() -> T,
        limit: usize,
    ) -> Result<(), ReserveError> {
        self.find_room(limit)?;
        self.write(make);
        Ok(())
    }

    /// Opens the next block if the open one is full, so that there is a slot to write.
    #[inline]
    fn find_room(&mut self, limit: usize) -> Result<(), ReserveError> {
        if self.next == self.end { self.open_next(limit) } else { Ok(()) }
    }

    /// Writes the entry that `make` returns to the next slot, which must exist.
    // The slot is known before the entry is made, so if `make` is inlined, the entry is made in the
    // slot.
    #[inline(always)]
    fn write(&mut self, make: impl FnOnce() -> T) {
        debug_assert!(self.next != self.end);
        let slot = self.next;
        // SAFETY: `next` is before `end`, so it is a slot that is this value's to write (A1).
        unsafe { slot.write(make()) };
        // SAFETY: one slot further is at most `end` (A1).
        self.next = unsafe { slot.add(1) };
    }

    /// Copies as many entries as the reserved blocks have room for. Returns their number.
    pub(crate) fn push_slice(&mut self, entries: &[T]) -> usize {
        let copying = Copying::begin(size_of_val(entries));
        let mut rest = entries;
        while !rest.is_empty() && self.find_room(NO_GROWTH).is_ok() {
            let (now, later) = rest.split_at(rest.len().min(self.room()));
            copying.copy_into(self.take_slots(now.len()), now);
            rest = later;
        }
        entries.len() - rest.len()
    }

    /// Returns the number of entries that still fit in the open block.
    fn room(&self) -> usize {
        // SAFETY: both point into the open block, `next` not after `end` (A1).
        unsafe { self.end.offset_from(self.next) }.unsigned_abs()
    }

    /// Returns the next `count` slots of the open block, which the caller writes. They hold entries
    /// of any value.
    fn take_slots(&mut self, count: usize) -> &mut [T] {
        assert!(count <= self.room(), "the open block has no room");
        let slots = self.next;
        // SAFETY: this many slots further is at most `end` (A1).
        self.next = unsafe { slots.add(count) };
        // SAFETY: these slots are this value's to write (A1), in a block whose bytes are
        // initialised (G1), and whatever value they have is a `T` (I5).
        unsafe { slice::from_raw_parts_mut(slots.as_ptr(), count) }
    }

    /// Publishes the open block and opens the first spare one, allocating one if there is none and
    /// the chain may grow. If it returns `Ok`, there is room.
    #[inline]
    fn open_next(&mut self, limit: usize) -> Result<(), ReserveError> {
        let first = publish_and_find_spare(self.chain, self.position, self.written(), limit)?;
        // INVARIANT (A1): the spare block after the last linked one, nothing in it published.
        self.open(self.chain.linked(), first, 0);
        Ok(())
    }

    /// Opens the last linked block, if there is one, after its entries.
    #[inline]
    pub(super) fn open_last(&mut self) {
        let table = &self.chain.table;
        if let Some(last) = table.linked().checked_sub(1) {
            // INVARIANT (A1): the last linked block, with its published entries written.
            self.open(last, table.first_slot(last), table.count(last));
        }
    }

    /// Opens the block at `position`, whose first slot is `first`, after the first `written` slots.
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

    /// Makes all written entries part of the chain.
    #[inline]
    pub(crate) fn publish(&mut self) {
        let written = self.written();
        if written > 0 {
            self.chain.publish(self.position, written);
        }
    }

    /// Returns the number of written slots in the open block.
    #[inline]
    fn written(&self) -> usize {
        let Some(first) = self.first else { return 0 };
        // SAFETY: both point into the open block, `next` not before `first` (A1).
        unsafe { self.next.offset_from(first) }.unsigned_abs()
    }

    /// Returns the number of entries in the chain once all are published.
    pub(crate) fn len(&self) -> usize {
        match self.first {
            Some(_) => self.chain.start(self.position) + self.written(),
            None => self.chain.len(),
        }
    }

    /// Drops the unpublished entries, then removes all entries from index `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.close();
        self.chain.truncate(len);
        self.open_last();
    }

    /// Drops the unpublished entries.
    pub(super) fn close(&mut self) {
        // INVARIANT (A2): no block is open.
        self.first = None;
        self.end = self.next;
    }

    /// Returns the chain, which has only the published entries.
    pub(crate) fn chain(&mut self) -> &mut OwnedChain<T, M> {
        self.chain
    }
}

/// Publishes `written` entries, if any, of the block at `position`. Returns the first slot of the
/// first spare block, allocating one if there is none and the chain may grow.
// Out of line, since it is rare. Not a method of the appender, whose fields stay in registers only
// as long as no reference to it leaves the loop around `push`.
#[cold]
#[inline(never)]
fn publish_and_find_spare<T: Entry, M: BlockMemory>(
    chain: &mut OwnedChain<T, M>,
    position: usize,
    written: usize,
    limit: usize,
) -> Result<NonNull<T>, ReserveError> {
    if written > 0 {
        chain.publish(position, written);
    }
    let spare = chain.linked();
    if spare == chain.table.block_count() {
        chain.try_reserve(1, limit)?;
    }
    Ok(chain.first_slot(spare))
}

impl<T: Entry, M: BlockMemory> Drop for Appender<'_, T, M> {
    // Inlined into unwinding code too: a call there would be another reference that leaves the
    // loop.
    #[inline(always)]
    fn drop(&mut self) {
        self.publish();
    }
}
