//! Extents: the allocations that a heap memory divides into blocks.

use alloc::alloc::{alloc, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use crate::abi::MAX_BLOCK_SIZE;
use crate::addr::PhysAddr;
#[cfg(all(feature = "std", target_os = "linux", not(miri)))]
use crate::memory::page_size::huge_page_size;

/// Returns `None`: without an operating system the size of huge pages is unknown.
#[cfg(not(all(feature = "std", target_os = "linux", not(miri))))]
fn huge_page_size() -> Option<usize> {
    None
}

/// The smallest number of blocks in an extent, unless memory is short.
const LEAST_BLOCKS: usize = 16;
/// The largest extent in bytes.
const LARGEST_EXTENT: usize = 1 << 30;

/// The extents of a heap memory, in the order of their blocks' numbers.
pub(super) struct Extents<const BLOCK_SIZE: usize> {
    list: Vec<Extent<BLOCK_SIZE>>,
    /// Index of the extent that was used last, which most often has the next block too.
    recent: usize,
}

/// A run of blocks in one allocation.
///
/// # Invariants
/// `base` was allocated with `layout`, which holds whole blocks and is aligned to one. Nothing else
/// deallocates it.
pub(super) struct Extent<const BLOCK_SIZE: usize> {
    base: NonNull<u8>,
    layout: Layout,
    /// Number of the first block.
    first: usize,
}

impl<const BLOCK_SIZE: usize> Extents<BLOCK_SIZE> {
    pub(super) const fn new() -> Self {
        Self { list: Vec::new(), recent: 0 }
    }

    /// Makes room for one more extent. Returns whether there was memory for it.
    pub(super) fn reserve_one(&mut self) -> bool {
        self.list.try_reserve(1).is_ok()
    }

    /// Adds an extent. The number of its first block must follow that of the last block.
    pub(super) fn push(&mut self, extent: Extent<BLOCK_SIZE>) {
        self.list.push(extent);
    }

    /// Returns a pointer to the block with this number, which must exist.
    pub(super) fn block(&mut self, number: usize) -> NonNull<u8> {
        self.recent = self.list.partition_point(|extent| extent.first <= number) - 1;
        let extent = &self.list[self.recent];
        extent.at((number - extent.first) * BLOCK_SIZE)
    }

    /// Finds the byte at an address. Returns its extent and its offset in the extent.
    #[inline]
    pub(super) fn find(&mut self, addr: usize) -> Option<(&Extent<BLOCK_SIZE>, usize)> {
        if self.list.get(self.recent)?.offset(addr).is_none() {
            self.recent = self.list.iter().position(|extent| extent.offset(addr).is_some())?;
        }
        let extent = self.list.get(self.recent)?;
        extent.offset(addr).map(|offset| (extent, offset))
    }

    /// Returns the lowest address at or after `addr` that is in an extent.
    pub(super) fn next_addr(&self, addr: PhysAddr) -> Option<PhysAddr> {
        let in_extent = |extent: &Extent<BLOCK_SIZE>| {
            let start = extent.base.addr().get() as u64;
            let last = start + (extent.layout.size() as u64 - 1);
            (addr.get() <= last).then(|| addr.max(PhysAddr::new(start)))
        };
        self.list.iter().filter_map(in_extent).min()
    }
}

impl<const BLOCK_SIZE: usize> Extent<BLOCK_SIZE> {
    /// Allocates an extent whose first block has the number `first`, the number of blocks so far.
    ///
    /// It is as large as `wanted` blocks, or as all extents so far if that is more, and smaller if
    /// the allocator has no such space. Its bytes are not initialised.
    pub(super) fn allocate(first: usize, wanted: usize) -> Option<Self> {
        const { assert!(MAX_BLOCK_SIZE <= LARGEST_EXTENT / LEAST_BLOCKS) };
        let blocks = first.max(wanted).clamp(LEAST_BLOCKS, LARGEST_EXTENT / BLOCK_SIZE);
        let mut size = blocks * BLOCK_SIZE;
        loop {
            let huge_page = huge_page_size().filter(|huge_page| size >= *huge_page);
            let align = huge_page.unwrap_or(BLOCK_SIZE).max(BLOCK_SIZE);
            let layout = Layout::from_size_align(size, align).ok()?;
            // SAFETY: the size is not 0: it is at least one block.
            if let Some(base) = NonNull::new(unsafe { alloc(layout) }) {
                // INVARIANT: just allocated, and nobody else knows of it.
                let extent = Self { base, layout, first };
                extent.advise_huge_pages();
                return Some(extent);
            }
            if size == BLOCK_SIZE {
                return None;
            }
            size = (size / 2).next_multiple_of(BLOCK_SIZE);
        }
    }

    /// Returns the number of blocks in the extent.
    pub(super) fn block_count(&self) -> usize {
        self.layout.size() / BLOCK_SIZE
    }

    /// Returns the number of the block that holds the byte at `offset`.
    #[inline]
    pub(super) fn number(&self, offset: usize) -> usize {
        self.first + offset / BLOCK_SIZE
    }

    /// Returns the offset of the byte at an address, if it is in this extent.
    #[inline]
    pub(super) fn offset(&self, addr: usize) -> Option<usize> {
        let offset = addr.wrapping_sub(self.base.addr().get());
        (offset < self.layout.size()).then_some(offset)
    }

    /// Returns a pointer to the byte at `offset`.
    ///
    /// # Panics
    /// Panics if the offset is not in the extent.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.layout.size());
        // SAFETY: the offset is inside the extent, which was allocated with this size.
        unsafe { self.base.add(offset) }
    }

    /// Asks for huge pages: madvise(2). Only speed depends on the result.
    fn advise_huge_pages(&self) {
        #[cfg(all(feature = "std", target_os = "linux", not(miri)))]
        if let Some(whole) = huge_page_size().map(|size| self.layout.size() / size * size) {
            let advice = rustix::mm::Advice::LinuxHugepage;
            // SAFETY: the range is inside this extent; the advice changes no byte of it.
            let _ = unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), whole, advice) };
        }
    }
}

impl<const BLOCK_SIZE: usize> Drop for Extent<BLOCK_SIZE> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the extent was allocated with this layout, and is deallocated
        // here only.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

// SAFETY: an extent is plain memory, allocated by a global allocator that any thread may call.
unsafe impl<const BLOCK_SIZE: usize> Send for Extent<BLOCK_SIZE> {}
