//! Blocks on the heap of this process.

use core::fmt;
use core::ptr::NonNull;

use smallvec::SmallVec;

use super::block::BlockMemory;
use super::claim::{ClaimVisitor, claim_each};
use super::ledger::{Ledger, Usage};
use super::lock::Lock;
use super::read::ReadMemory;
use crate::abi::{DEFAULT_BLOCK_SIZE, assert_block_size};
use crate::addr::PhysAddr;
use crate::error::{
    AllocError, AllocErrorKind, ClaimError, ClaimErrorKind, ReadError, ReadErrorKind,
};

mod extents;

use extents::{Extent, Extents};

/// A memory on the heap, for tests, benchmarks and state that is copied elsewhere later.
///
/// A block's address is its address in this process, so sets do not outlive the process. Blocks are
/// allocated in large extents, lowest address first; an extent at least as large as a huge page
/// asks for huge pages. Extents are freed when the memory is dropped.
///
/// `Send` and `Sync` with the feature `std`.
///
/// ```
/// use kho_block::bytemuck::{Pod, Zeroable};
/// use kho_block::{BlockSet, Entry, HeapMemory};
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct Counter {
///     value: u64,
/// }
///
/// let memory = HeapMemory::new();
/// let mut set = BlockSet::new_in(&memory);
/// set.push(Counter { value: 7 })?;
/// let head = set.hand_over();
/// assert_eq!(memory.usage().preserved, 1);
///
/// let set = BlockSet::restore(&memory, head)?;
/// assert_eq!(set[0].value, 7);
/// assert_eq!(memory.usage().owned, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HeapMemory<const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE> {
    blocks: Lock<Blocks<BLOCK_SIZE>>,
}

/// # Invariants
/// The extents have every block of the ledger and no other.
struct Blocks<const BLOCK_SIZE: usize> {
    ledger: Ledger,
    extents: Extents<BLOCK_SIZE>,
}

/// Blocks that were just made owned. They are zeroed without the lock.
type Batch = SmallVec<[NonNull<u8>; BATCH]>;
const BATCH: usize = 64;

impl HeapMemory {
    /// Returns an empty memory with blocks of 4 KiB. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self::new_with_block_size()
    }
}

impl<const BLOCK_SIZE: usize> HeapMemory<BLOCK_SIZE> {
    /// Returns an empty memory with blocks of `BLOCK_SIZE` bytes. Allocates nothing.
    ///
    /// ```
    /// use kho_block::HeapMemory;
    ///
    /// let arm64 = HeapMemory::<65536>::new_with_block_size();
    /// # let _ = arm64;
    /// ```
    #[must_use]
    pub const fn new_with_block_size() -> Self {
        const { assert_block_size(BLOCK_SIZE) };
        Self { blocks: Lock::new(Blocks { ledger: Ledger::new(), extents: Extents::new() }) }
    }

    /// Returns the number of blocks that are free, owned and preserved.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.blocks.with(|blocks| blocks.ledger.usage())
    }

    /// Frees every preserved block and returns their number.
    ///
    /// Call it after claiming every set that you want to keep.
    pub fn free_preserved(&self) -> usize {
        self.blocks.with(|blocks| blocks.ledger.free_preserved())
    }

    /// Zeroes a block that was just made owned.
    fn zeroed(block: NonNull<u8>) -> NonNull<u8> {
        // SAFETY: the ledger has just made the block this caller's alone, so nobody else uses it.
        unsafe { block.write_bytes(0, BLOCK_SIZE) };
        block
    }
}

impl<const BLOCK_SIZE: usize> Default for HeapMemory<BLOCK_SIZE> {
    fn default() -> Self {
        Self::new_with_block_size()
    }
}

impl<const BLOCK_SIZE: usize> fmt::Debug for HeapMemory<BLOCK_SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapMemory").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl<const BLOCK_SIZE: usize> Blocks<BLOCK_SIZE> {
    /// Adds an extent for `wanted` blocks, or for as many as there is memory for, but at least one.
    fn grow(&mut self, wanted: usize) -> Result<(), AllocErrorKind> {
        if !self.extents.reserve_one() {
            return Err(AllocErrorKind::OutOfMemory);
        }
        let extent =
            Extent::allocate(self.ledger.len(), wanted).ok_or(AllocErrorKind::OutOfMemory)?;
        self.ledger.grow(extent.block_count())?;
        // INVARIANT: the extent has the blocks that the ledger just got.
        self.extents.push(extent);
        Ok(())
    }

    /// Makes up to `wanted` free blocks owned and puts them in `batch`. Grows if there is none.
    fn take_free(&mut self, batch: &mut Batch, wanted: usize) -> Result<(), AllocError> {
        while batch.is_empty() {
            while batch.len() < wanted.min(BATCH) {
                let Some((number, _)) = self.ledger.allocate() else { break };
                batch.push(self.extents.block(number));
            }
            if batch.is_empty() {
                self.grow(wanted).map_err(AllocError::new)?;
            }
        }
        Ok(())
    }

    /// Returns the number of an owned block.
    #[inline]
    fn number_of_owned(&mut self, block: NonNull<u8>) -> usize {
        let found = self.extents.find(block.addr().get());
        let (extent, offset) = found.expect("an owned block is in an extent");
        extent.number(offset)
    }

    #[inline]
    fn free(&mut self, block: NonNull<u8>) {
        let number = self.number_of_owned(block);
        self.ledger.free(number);
    }

    #[inline]
    fn hand_over(&mut self, block: NonNull<u8>) {
        let number = self.number_of_owned(block);
        self.ledger.hand_over(number);
    }

    #[inline]
    fn claim(&mut self, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError> {
        let error = |kind| ClaimError::new(addr, kind);
        if !addr.is_aligned_to(BLOCK_SIZE) {
            return Err(error(ClaimErrorKind::Misaligned));
        }
        let addr = usize::try_from(addr.get()).map_err(|_| error(ClaimErrorKind::Outside))?;
        let (extent, offset) = self.extents.find(addr).ok_or(error(ClaimErrorKind::Outside))?;
        let block = extent.at(offset);
        self.ledger.claim(extent.number(offset)).map_err(error)?;
        Ok(block)
    }

    /// Returns a pointer to `len` bytes at `addr`, all of them in preserved blocks of one extent.
    fn preserved(&mut self, addr: PhysAddr, len: usize) -> Result<NonNull<u8>, ReadErrorKind> {
        let outside = ReadErrorKind::Outside;
        let start = usize::try_from(addr.get()).map_err(|_| outside)?;
        let last = start.checked_add(len.saturating_sub(1)).ok_or(outside)?;
        let (extent, offset) = self.extents.find(start).ok_or(outside)?;
        let last_offset = extent.offset(last).ok_or(outside)?;
        if !self.ledger.all_preserved(extent.number(offset)..=extent.number(last_offset)) {
            return Err(ReadErrorKind::NotPreserved);
        }
        Ok(extent.at(offset))
    }
}

impl<const BLOCK_SIZE: usize> ReadMemory for HeapMemory<BLOCK_SIZE> {
    const BLOCK_SIZE: usize = BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.blocks.with(|blocks| {
            let len = buf.len();
            let to = NonNull::from(buf).cast();
            let from = blocks.preserved(addr, len).map_err(|kind| ReadError::new(addr, kind))?;
            // SAFETY: the bytes are in preserved blocks, initialised when they were allocated (G1),
            // and can't be claimed while this closure has the lock (G2), so nobody writes them. The
            // buffer is borrowed exclusively, so it is in none of these blocks.
            unsafe { from.copy_to_nonoverlapping(to, len) };
            Ok(())
        })
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        self.blocks.with(|blocks| blocks.extents.next_addr(addr))
    }
}

// SAFETY:
// G1: blocks lie in extents, which are allocated with an alignment of at least a block, which is at
//     least 32, never move and live as long as the memory; `allocate` initialises a block.
// G2, G5: the ledger changes under the lock; it gives a block out only when it is not owned.
// G3: `zeroed` zeroes the block.
// G4: the address is the pointer's; blocks do not overlap, and no block is at address 0.
// G6: the type is not `Clone`.
unsafe impl<const BLOCK_SIZE: usize> BlockMemory for HeapMemory<BLOCK_SIZE> {
    fn allocate<F>(&self, count: usize, mut visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        let mut left = count;
        let mut batch = Batch::new();
        while left > 0 {
            self.blocks.with(|blocks| blocks.take_free(&mut batch, left))?;
            left -= batch.len();
            for block in batch.drain(..) {
                visit(Self::zeroed(block));
            }
        }
        Ok(())
    }

    #[inline]
    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error> {
        self.blocks
            .with(|blocks| claim_each(blocks, first, visitor, Blocks::claim, Blocks::hand_over))
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        PhysAddr::new(block.addr().get() as u64)
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.blocks.with(|memory| blocks.for_each(|block| memory.free(block)));
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.blocks.with(|memory| blocks.for_each(|block| memory.hand_over(block)));
    }
}
