//! Blocks on the heap of this process.

use alloc::alloc::{alloc, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use smallvec::SmallVec;

use super::ledger::{Ledger, Usage};
use super::lock::Lock;
#[cfg(all(feature = "std", target_os = "linux", not(miri)))]
use super::page_size::huge_page_size;
use super::{BlockMemory, ClaimVisitor, ReadMemory, claim_each};
use crate::abi::{DEFAULT_BLOCK_SIZE, MAX_BLOCK_SIZE, assert_block_size};
use crate::addr::PhysAddr;
use crate::error::{
    AllocError, AllocErrorKind, ClaimError, ClaimErrorKind, ReadError, ReadErrorKind,
};

/// Blocks on the heap: for tests, for benchmarks, and for state that is copied elsewhere later.
///
/// An address is the block's address in this process, so sets live as long as the process. Blocks
/// are placed in large extents, lowest address first; extents as large as a huge page ask for some.
/// Extents are given back when the memory is dropped.
///
/// `Send` and `Sync` with the feature `std`.
///
/// ```
/// use kho_block::HeapMemory;
///
/// let memory = HeapMemory::new(); // blocks of 4 KiB
/// let arm64 = HeapMemory::<65536>::new_with_block_size();
/// # let _ = (memory, arm64);
/// ```
pub struct HeapMemory<const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE> {
    blocks: Lock<Blocks<BLOCK_SIZE>>,
}

/// Nobody says what huge pages there are.
#[cfg(not(all(feature = "std", target_os = "linux", not(miri))))]
fn huge_page_size() -> Option<usize> {
    None
}

/// # Invariants
/// - Extents are allocated with their layout, hold whole blocks, and do not overlap.
/// - Block number n is in the extent whose `first` is the last one not after n; every number that
///   the ledger has is in an extent.
struct Blocks<const BLOCK_SIZE: usize> {
    ledger: Ledger,
    /// By `first`.
    extents: Vec<Extent>,
    /// The extent that was used last: the next block is most often in the same one.
    recent: usize,
}

struct Extent {
    base: NonNull<u8>,
    layout: Layout,
    /// Number of the extent's first block.
    first: usize,
}

/// Blocks that were taken and are to be zeroed, which is done without the lock.
type Batch = SmallVec<[NonNull<u8>; BATCH]>;
const BATCH: usize = 64;

/// The first extent, in blocks. Each further one is as large as all before it.
const FIRST_EXTENT: usize = 16;
const LARGEST_EXTENT: usize = 1 << 30;

impl HeapMemory {
    /// An empty memory with blocks of 4 KiB. Allocates nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self::new_with_block_size()
    }
}

impl<const BLOCK_SIZE: usize> HeapMemory<BLOCK_SIZE> {
    /// An empty memory with blocks of `BLOCK_SIZE` bytes. Allocates nothing yet.
    #[must_use]
    pub const fn new_with_block_size() -> Self {
        const { assert_block_size(BLOCK_SIZE) };
        let ledger = Ledger::new();
        Self { blocks: Lock::new(Blocks { ledger, extents: Vec::new(), recent: 0 }) }
    }

    /// How many blocks are free, owned and preserved.
    pub fn usage(&self) -> Usage {
        self.blocks.with(|blocks| blocks.ledger.usage())
    }

    /// Frees every block that was handed over and that nobody has claimed. Returns how many there were.
    pub fn free_preserved(&self) -> usize {
        self.blocks.with(|blocks| blocks.ledger.free_preserved())
    }

    /// A block that was just made owned, zeroed.
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
    /// Adds an extent for `wanted` blocks, or as large as all so far if that is more; or a smaller
    /// one if there is no such space.
    fn grow(&mut self, wanted: usize) -> Result<(), AllocErrorKind> {
        const { assert!(MAX_BLOCK_SIZE <= LARGEST_EXTENT / FIRST_EXTENT) };
        let out_of_memory = AllocErrorKind::OutOfMemory;
        self.extents.try_reserve(1).map_err(|_| out_of_memory)?;
        let blocks = self.ledger.len().max(wanted);
        let blocks = blocks.clamp(FIRST_EXTENT, LARGEST_EXTENT / BLOCK_SIZE);
        let mut size = blocks * BLOCK_SIZE;
        loop {
            let huge_page = huge_page_size().filter(|huge_page| size >= *huge_page);
            let align = huge_page.unwrap_or(BLOCK_SIZE).max(BLOCK_SIZE);
            let layout = Layout::from_size_align(size, align).map_err(|_| out_of_memory)?;
            // SAFETY: the size is not 0: it is at least one block.
            if let Some(base) = NonNull::new(unsafe { alloc(layout) }) {
                let extent = Extent { base, layout, first: self.ledger.len() };
                if let Err(kind) = self.ledger.grow(size / BLOCK_SIZE) {
                    drop(extent);
                    return Err(kind);
                }
                extent.advise_huge_pages();
                self.extents.push(extent);
                return Ok(());
            }
            if size == BLOCK_SIZE {
                return Err(out_of_memory);
            }
            size = (size / 2).next_multiple_of(BLOCK_SIZE);
        }
    }

    /// Puts up to `wanted` free blocks in `batch`, which owns them; if there is none, grows for as many.
    fn take_free(&mut self, batch: &mut Batch, wanted: usize) -> Result<(), AllocError> {
        while batch.is_empty() {
            while batch.len() < wanted.min(BATCH) {
                let Some((number, _)) = self.ledger.allocate() else { break };
                batch.push(self.block(number));
            }
            if batch.is_empty() {
                self.grow(wanted).map_err(AllocError::new)?;
            }
        }
        Ok(())
    }

    /// Pointer to the block with a number that the ledger has.
    fn block(&mut self, number: usize) -> NonNull<u8> {
        self.recent = self.extents.partition_point(|extent| extent.first <= number) - 1;
        let extent = &self.extents[self.recent];
        let offset = (number - extent.first) * BLOCK_SIZE;
        assert!(offset < extent.layout.size());
        // SAFETY: the offset is inside the extent, which was allocated with this size.
        unsafe { extent.base.add(offset) }
    }

    /// The extent that holds the byte at `addr`, and the byte's offset in it.
    #[inline]
    fn locate(&mut self, addr: usize) -> Option<(&Extent, usize)> {
        if !self.extents.get(self.recent)?.contains(addr) {
            self.recent = self.extents.iter().position(|extent| extent.contains(addr))?;
        }
        let extent = self.extents.get(self.recent)?;
        Some((extent, addr - extent.base.addr().get()))
    }

    /// Number of the block that holds the byte at `addr`.
    #[inline]
    fn number(&mut self, addr: usize) -> Option<usize> {
        self.locate(addr).map(|(extent, offset)| extent.first + offset / BLOCK_SIZE)
    }

    /// Number of an owned block.
    #[inline]
    fn number_of_owned(&mut self, block: NonNull<u8>) -> usize {
        self.number(block.addr().get()).expect("an owned block is in an extent")
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
        let (extent, offset) = self.locate(addr).ok_or(error(ClaimErrorKind::Outside))?;
        let number = extent.first + offset / BLOCK_SIZE;
        // SAFETY: `locate` found the address in this extent, so the offset is inside it; both are
        // aligned to a block, so a whole one is.
        let block = unsafe { extent.base.add(offset) };
        self.ledger.claim(number).map_err(error)?;
        Ok(block)
    }

    /// Pointer to `len` bytes at `addr`, all of them in preserved blocks of one extent.
    fn preserved(&mut self, addr: PhysAddr, len: usize) -> Result<NonNull<u8>, ReadErrorKind> {
        let outside = ReadErrorKind::Outside;
        let start = usize::try_from(addr.get()).map_err(|_| outside)?;
        let last = start.checked_add(len.saturating_sub(1)).ok_or(outside)?;
        let first_block = self.number(start).ok_or(outside)?;
        let extent = &self.extents[self.recent];
        if !extent.contains(last) {
            return Err(outside);
        }
        let offset = start - extent.base.addr().get();
        let last_block = extent.first + (last - extent.base.addr().get()) / BLOCK_SIZE;
        // SAFETY: `number` found the first byte in this extent, so the offset is inside it.
        let pointer = unsafe { extent.base.add(offset) };
        if !self.ledger.all_preserved(first_block..=last_block) {
            return Err(ReadErrorKind::NotPreserved);
        }
        Ok(pointer)
    }
}

impl Extent {
    fn contains(&self, addr: usize) -> bool {
        addr.wrapping_sub(self.base.addr().get()) < self.layout.size()
    }

    /// Asks for huge pages; only speed depends on the answer.
    fn advise_huge_pages(&self) {
        #[cfg(all(feature = "std", target_os = "linux", not(miri)))]
        if let Some(whole) = huge_page_size().map(|size| self.layout.size() / size * size) {
            let advice = rustix::mm::Advice::LinuxHugepage;
            // SAFETY: the range is inside this extent; the advice changes no byte of it.
            let _ = unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), whole, advice) };
        }
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        // SAFETY: by the invariant of `Blocks` the extent was allocated with this layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

// SAFETY: an extent is plain memory, allocated by a global allocator that any thread may call.
unsafe impl Send for Extent {}

impl<const BLOCK_SIZE: usize> ReadMemory for HeapMemory<BLOCK_SIZE> {
    const BLOCK_SIZE: usize = BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.blocks.with(|blocks| {
            let len = buf.len();
            let to = NonNull::from(buf).cast();
            let from = blocks.preserved(addr, len).map_err(|kind| ReadError::new(addr, kind))?;
            // SAFETY: the bytes are in preserved blocks, initialised when they were allocated (G1),
            // and can't be claimed while this closure has the lock (G2), so nobody writes them.
            unsafe { from.copy_to_nonoverlapping(to, len) };
            Ok(())
        })
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        self.blocks.with(|blocks| {
            let in_extent = |extent: &Extent| {
                let start = extent.base.addr().get() as u64;
                let last = start + (extent.layout.size() as u64 - 1);
                (addr.get() <= last).then(|| addr.max(PhysAddr::new(start)))
            };
            blocks.extents.iter().filter_map(in_extent).min()
        })
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
