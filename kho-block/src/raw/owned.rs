//! A chain of blocks that this process owns: claim, link, unlink, free, hand over.

use core::iter;
use core::mem;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{AcqRel, Release};
use core::sync::atomic::{AtomicU64, fence};

use smallvec::CollectionAllocErr;

use super::{ChunksMut, Entries, prefetch, read_header, stream};
use crate::abi::{BlockHeader, countable_blocks};
use crate::addr::{PhysAddr, SetHead};
use crate::entry::Entry;
use crate::error::{
    ClaimError, ClaimErrorKind, ReserveError, ReserveErrorKind, RestoreError, RestoreErrorKind,
};
use crate::memory::{BlockMemory, ClaimVisitor};
use crate::walk::{ChainCheck, exact_error};

/// Entries whose blocks belong to this value, with the memory they came from.
///
/// # Invariants
/// Every block in the table, linked or spare, is owned by this value alone: it came from `memory`
/// by [`allocate`](BlockMemory::allocate) or a claim (G1, G2), and leaves the table when it is freed
/// or handed over (I2). So E1 and E3 hold while `self` is borrowed.
pub(crate) struct OwnedChain<T: Entry, M: BlockMemory> {
    pub(super) entries: Entries<T, M>,
    memory: M,
}

impl<T: Entry, M: BlockMemory> Deref for OwnedChain<T, M> {
    type Target = Entries<T, M>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<T: Entry, M: BlockMemory> OwnedChain<T, M> {
    /// A chain without blocks.
    pub(crate) const fn new(memory: M) -> Self {
        Self { entries: Entries::empty(), memory }
    }

    /// Claims every block of the chain, checking each; on an error claims none, and nobody sees that
    /// any was claimed.
    pub(crate) fn claim(memory: M, head: SetHead<T>, limit: usize) -> Result<Self, RestoreError> {
        let mut chain = Self::new(memory);
        let Self { entries, memory } = &mut chain;
        if head.is_empty() {
            return Ok(chain);
        }
        let mut claim = Claim {
            walk: ChainCheck::new(M::BLOCK_SIZE, Entries::<T, M>::COUNT_PER_BLOCK, limit),
            entries,
        };
        claim.entries.head = head.addr();
        claim.entries.prepare_claim(&mut claim.walk, head.addr())?;
        // SAFETY: a `Claim` gives back what is in the table, which is what it visited, and takes
        // it out.
        unsafe { memory.claim(head.addr(), &mut claim) }?;
        entries.trim_table();
        Ok(chain)
    }

    /// Makes every block preserved again, as it was before it was claimed.
    fn hand_back(&mut self) {
        let entries = mem::replace(&mut self.entries, Entries::empty());
        if entries.blocks.is_empty() {
            return;
        }
        // SAFETY: the blocks are owned by this chain (I2), and each leaves its table for good.
        unsafe { self.memory.hand_over(entries.blocks.into_iter()) };
    }

    /// The memory the blocks are in.
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// How many entries fit without allocating.
    pub(crate) fn capacity(&self) -> usize {
        let entries = &self.entries;
        let spare = entries.blocks.len() - entries.linked;
        let free_in_last = match entries.linked.checked_sub(1) {
            Some(last) => Self::PER_BLOCK - entries.count(last),
            None => 0,
        };
        entries.len + free_in_last + spare * Self::PER_BLOCK
    }

    const PER_BLOCK: usize = Entries::<T, M>::COUNT_PER_BLOCK;

    /// Adds spare blocks until `additional` more entries fit, or none at all.
    pub(crate) fn try_reserve(
        &mut self,
        additional: usize,
        limit: usize,
    ) -> Result<(), ReserveError> {
        let missing = additional.saturating_sub(self.capacity() - self.entries.len);
        let missing = missing.div_ceil(Self::PER_BLOCK);
        let before = self.entries.blocks.len();
        if missing == 0 {
            return Ok(());
        }
        let fail = |position, kind| Err(ReserveError { position, kind });
        if missing > limit.saturating_sub(before) {
            return fail(limit.max(before), ReserveErrorKind::TooLong { limit });
        }
        let Self { entries, memory } = self;
        let is_countable = missing <= countable_blocks(Self::PER_BLOCK) - before;
        // INVARIANT (E2): no more blocks than can be counted.
        if !is_countable || entries.reserve_table(missing).is_err() {
            return fail(before, ReserveErrorKind::OutOfMemory);
        }
        let allocated = memory.allocate(missing, |block| entries.blocks.push(block));
        if let Err(error) = allocated {
            let position = self.entries.blocks.len();
            self.free_after(before);
            return fail(position, error.kind.into());
        }
        Ok(())
    }

    /// Frees the spare blocks.
    pub(crate) fn free_spare(&mut self) {
        self.free_after(self.entries.linked);
    }

    /// Frees all blocks in the table but the first `keep`, last one first. The chain must not
    /// reach them.
    fn free_after(&mut self, keep: usize) {
        let Self { entries, memory } = self;
        let blocks = &mut entries.blocks;
        // Most often there are none, and the memory need not be asked.
        if blocks.len() <= keep {
            return;
        }
        let last_first = iter::from_fn(|| if blocks.len() > keep { blocks.pop() } else { None });
        // SAFETY: the blocks are owned by this chain (I2), and each just left its table.
        unsafe { memory.free(last_first) };
    }

    /// Keeps the first `len` entries; the blocks that gets empty become spare.
    ///
    /// The tail is unlinked first, then the last count is lowered: I3, whoever looks sees a prefix.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.entries.len {
            return;
        }
        let Some(last) = len.checked_sub(1) else {
            self.unlink_all();
            return;
        };
        let (last, offset) = self.entries.locate(last);
        let unlink = last + 1 < self.entries.linked;
        let lower = offset + 1 < self.entries.count(last);
        self.entries.linked = last + 1;
        self.entries.len = len;
        self.entries.starts.truncate(last + 1, Self::PER_BLOCK);
        if unlink {
            self.next_of(last).store(PhysAddr::NULL.get(), Release);
            self.memory.published();
        }
        if lower {
            self.count_of(last).store(offset as u64 + 1, Release);
            self.memory.published();
        }
        keep_behind_unlinking(M::BLOCK_SIZE);
    }

    /// Makes all blocks spare. The first one's header is cleared, so that a head from before leads
    /// to a block that is refused, not to entries that are about to be overwritten.
    fn unlink_all(&mut self) {
        self.count_of(0).store(0, Release);
        self.next_of(0).store(PhysAddr::NULL.get(), Release);
        self.entries.linked = 0;
        self.entries.len = 0;
        self.entries.head = PhysAddr::NULL;
        self.entries.starts.truncate(0, Self::PER_BLOCK);
        self.memory.published();
        keep_behind_unlinking(M::BLOCK_SIZE);
    }

    /// Makes `count` entries of the block at `position` part of the chain. The entries have been
    /// written; the block is the last linked one, or the spare one after it.
    pub(super) fn publish(&mut self, position: usize, count: usize) {
        debug_assert!((1..=Self::PER_BLOCK).contains(&count));
        let start = self.entries.start(position);
        if position == self.entries.linked {
            self.link(position, start, count);
        } else if start + count != self.entries.len {
            self.count_of(position).store(count as u64, Release);
        } else {
            return;
        }
        self.entries.len = start + count;
        self.memory.published();
    }

    /// Appends the first spare block to the chain: I3, it is filled in before the link that reaches
    /// it.
    fn link(&mut self, position: usize, start: usize, count: usize) {
        self.next_of(position).store(PhysAddr::NULL.get(), Release);
        self.count_of(position).store(count as u64, Release);
        let addr = self.memory.addr_of(self.entries.blocks[position]);
        match position.checked_sub(1) {
            None => self.entries.head = addr,
            Some(before) => self.next_of(before).store(addr.get(), Release),
        }
        self.entries.linked += 1;
        // Does not allocate: `try_reserve` made room for every block of the table.
        self.entries
            .starts
            .add_block(position, start, Self::PER_BLOCK)
            .expect("room for every block was reserved");
    }

    /// Gives the chain to its successor: linked blocks become preserved, spare ones free.
    pub(crate) fn hand_over(mut self) -> SetHead<T> {
        self.free_spare();
        let head = SetHead::new(self.entries.head);
        self.hand_back();
        head
    }

    /// The entry at `index`, to change it in place.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.entries.len {
            return None;
        }
        let mut entry = self.entries.slot(index);
        // SAFETY: `slot` points to a published entry, since the index is less than `len` (E2), in a
        // block that `self` owns and has borrowed exclusively (I2).
        Some(unsafe { entry.as_mut() })
    }

    /// The entries block by block, to change them in place.
    pub(crate) fn chunks_mut(&mut self) -> ChunksMut<'_, T, M> {
        ChunksMut::new(&mut self.entries)
    }

    /// The `next` of the block at `position`.
    fn next_of(&self, position: usize) -> &AtomicU64 {
        self.header_word(position, mem::offset_of!(BlockHeader, next))
    }

    /// The `count` of the block at `position`.
    fn count_of(&self, position: usize) -> &AtomicU64 {
        self.header_word(position, mem::offset_of!(BlockHeader, count))
    }

    fn header_word(&self, position: usize, offset: usize) -> &AtomicU64 {
        assert!(offset <= size_of::<u64>(), "a header has two words");
        let block = self.entries.blocks[position];
        // SAFETY: a block starts with a header of two words (G1).
        let word = unsafe { block.add(offset) }.cast();
        // SAFETY: the word is initialised and aligned, since blocks are aligned to 16 (G1), and
        // in a block that this chain owns (I2), whose headers it accesses by these functions and,
        // while it is borrowed, by copies.
        unsafe { AtomicU64::from_ptr(word.as_ptr()) }
    }
}

/// I3: entries that are written where others were cut off stay behind the stores that cut them off,
/// for the compiler and for the processor. A release store orders only what comes before it.
#[inline]
fn keep_behind_unlinking(block_size: usize) {
    fence(AcqRel);
    stream::begin_in_libc(block_size);
}

impl<T: Entry, M: BlockMemory> Drop for OwnedChain<T, M> {
    fn drop(&mut self) {
        self.free_after(0);
    }
}

/// How many blocks further on a claim expects a header that it will need soon. Memories give blocks
/// out in the order of their addresses, and a set links them in that order.
const BLOCKS_AHEAD: usize = 16;

/// How many blocks there is room for at least once a table is allocated while claiming.
const SMALLEST_TABLE: usize = 64;

impl<T: Entry, M: BlockMemory> Entries<T, M> {
    /// Makes room in the tables for `additional` more blocks, and at most a 16th for later.
    fn reserve_table(&mut self, additional: usize) -> Result<(), ReserveErrorKind> {
        let blocks = &mut self.blocks;
        let out_of_memory = ReserveErrorKind::OutOfMemory;
        if blocks.capacity() - blocks.len() < additional {
            let additional = additional.max(blocks.len() / 16);
            blocks.try_reserve_exact(additional).map_err(|_| out_of_memory)?;
        }
        self.starts.reserve(blocks.len() + additional).map_err(|_| out_of_memory)
    }

    /// Gives back what a table that grew on its own has too much.
    fn trim_table(&mut self) {
        let len = self.blocks.len();
        if self.blocks.spilled() && self.blocks.capacity() - len > len / 16 {
            // Where that fails the table is as it was.
            let _ = self.blocks.try_grow(len);
        }
    }

    /// What has to succeed before the block at `addr` is claimed, so that nothing can fail between
    /// the claim and the table.
    #[inline]
    fn prepare_claim(&mut self, walk: &mut ChainCheck, addr: PhysAddr) -> Result<(), RestoreError> {
        walk.enter(addr)?;
        if self.blocks.len() < self.blocks.capacity() {
            return Ok(());
        }
        self.grow_table().map_err(|_| walk.error(addr, RestoreErrorKind::OutOfMemory))
    }

    /// Makes room in the table of blocks while nobody knows how many there will be.
    #[cold]
    #[inline(never)]
    fn grow_table(&mut self) -> Result<(), CollectionAllocErr> {
        self.blocks.try_reserve_exact(self.blocks.len().max(SMALLEST_TABLE))
    }
}

/// The claim of a chain whose blocks go into a table.
struct Claim<'a, T, M> {
    entries: &'a mut Entries<T, M>,
    walk: ChainCheck,
}

impl<T: Entry, M: BlockMemory> Claim<'_, T, M> {
    /// Adds a block that was claimed to the table, then checks it. Returns the address of the next
    /// block, prepared for its claim, or null at the end.
    #[inline]
    fn check(&mut self, addr: PhysAddr, block: NonNull<u8>) -> Result<PhysAddr, RestoreError> {
        let Self { entries, walk, .. } = self;
        let position = walk.position();
        entries.blocks.push(block);
        prefetch(block.as_ptr().wrapping_add(BLOCKS_AHEAD * M::BLOCK_SIZE));
        // SAFETY: the block was just claimed, so it is owned by this chain and valid for reads (G1).
        // Not by way of the table: storing and loading the pointer would lengthen the chase.
        let header = unsafe { read_header(block) };
        let link = walk.leave(addr, header)?;
        let out_of_memory = RestoreError { addr, position, kind: RestoreErrorKind::OutOfMemory };
        entries
            .starts
            .add_block(position, entries.len, Entries::<T, M>::COUNT_PER_BLOCK)
            .map_err(|_| out_of_memory)?;
        entries.linked += 1;
        entries.len += link.count;
        if !link.next.is_null() {
            entries.prepare_claim(walk, link.next)?;
        }
        Ok(link.next)
    }

    /// Finds the block where the fault shows. As long as all blocks are owned, their links can be
    /// followed.
    #[inline]
    fn exact_error(&self, error: RestoreError) -> RestoreError {
        exact_error(error, self.entries.blocks())
    }
}

impl<T: Entry, M: BlockMemory> ClaimVisitor for Claim<'_, T, M> {
    type Error = RestoreError;

    #[inline]
    fn visit(
        &mut self,
        addr: PhysAddr,
        block: NonNull<u8>,
    ) -> Result<Option<PhysAddr>, RestoreError> {
        match self.check(addr, block) {
            Ok(PhysAddr::NULL) => Ok(None),
            Ok(next) => Ok(Some(next)),
            Err(error) => Err(self.exact_error(error)),
        }
    }

    #[cold]
    fn refuse(&mut self, error: ClaimError) -> RestoreError {
        let kind = match error.kind {
            ClaimErrorKind::Owned if self.entries.blocks().any(|block| block == error.addr) => {
                RestoreErrorKind::Cycle
            }
            kind => kind.into(),
        };
        self.exact_error(self.walk.error(error.addr, kind))
    }

    fn give_back(&mut self) -> Option<NonNull<u8>> {
        self.entries.blocks.pop()
    }
}
