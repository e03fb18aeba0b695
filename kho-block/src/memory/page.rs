//! A memory of pages that the caller lends.

use alloc::collections::{BTreeMap, VecDeque};
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use super::block::BlockMemory;
use super::claim::{ClaimVisitor, claim_each};
use super::ledger::Usage;
use super::lock::Lock;
use super::read::ReadMemory;
use crate::abi::{DEFAULT_BLOCK_SIZE, MAX_ENTRY_ALIGN, assert_block_size};
use crate::addr::PhysAddr;
use crate::error::{
    AllocError, AllocErrorKind, ClaimError, ClaimErrorKind, ReadError, ReadErrorKind,
};

mod error;
mod split;

pub use error::{PageError, PageErrorKind};
pub use split::split_pages;

/// A memory of pages that the caller lends, at addresses that the caller chooses.
///
/// Use it to write a chain at given addresses, such as in the memory of a paused guest.
/// [`split_pages`] splits single pages off such memory.
///
/// Pages are allocated in the order in which they were [added as free](Self::add_free). A page that
/// is freed goes to the end of the queue. Pages that were [added as preserved](Self::add_preserved)
/// can be read, claimed and rewritten. Dropping the memory ends the loan. The pages keep what was
/// written to them.
///
/// `Send` and `Sync` with the feature `std`.
///
/// ```
/// use kho_block::bytemuck::{self, Pod, Zeroable};
/// use kho_block::{BlockSet, Entry, PageMemory, PhysAddr};
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct Slot {
///     start: u64,
///     len: u64,
/// }
///
/// let mut page = [0_u128; 256]; // blocks are aligned to 16
/// let memory = PageMemory::new();
/// memory.add_free(PhysAddr::new(0x69_f000), bytemuck::bytes_of_mut(&mut page))?;
///
/// let mut slots = BlockSet::new_in(&memory);
/// slots.push(Slot { start: 0x1000, len: 0x2000 })?;
/// assert_eq!(slots.hand_over().addr(), PhysAddr::new(0x69_f000));
///
/// drop(memory);
/// assert_eq!(bytemuck::bytes_of(&page)[8..16], 1_u64.to_ne_bytes()); // one entry
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A page must outlive the memory that it is lent to:
///
/// ```compile_fail,E0597
/// use kho_block::{PageMemory, PhysAddr};
///
/// let memory = PageMemory::new();
/// fn add<'a>(memory: &PageMemory<'a>, page: &'a mut [u8]) {
///     let _ = memory.add_free(PhysAddr::new(4096), page);
/// }
/// {
///     let mut page = [0; 4096];
///     add(&memory, &mut page); // does not live long enough
/// }
/// drop(memory);
/// ```
pub struct PageMemory<'a, const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE> {
    pages: Lock<Pages>,
    /// Pages are added through `&self`, so a memory must not be taken for one with a shorter
    /// lifetime.
    loans: PhantomData<Invariant<'a>>,
}

/// A function type that makes the lifetime invariant.
type Invariant<'a> = fn(&'a mut [u8]) -> &'a mut [u8];

/// # Invariants
/// Both maps have every page. `free` has the free ones, and capacity for all.
struct Pages {
    by_addr: BTreeMap<PhysAddr, Page>,
    by_pointer: BTreeMap<NonZeroUsize, PhysAddr>,
    /// The free pages, in the order in which they are allocated.
    free: VecDeque<PhysAddr>,
}

/// A page that was lent.
///
/// # Invariants
/// The pointer came from a `&mut [u8]` of a block's length, aligned to 16 and borrowed for as long
/// as the memory lives. No other page came from the same slice.
#[derive(Clone, Copy)]
struct Page {
    base: NonNull<u8>,
    state: State,
}

// SAFETY: a page stands for the `&mut [u8]` that it came from, which may go to another thread.
unsafe impl Send for Page {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Owned,
    Preserved,
}

impl PageMemory<'_> {
    /// Returns a memory without pages, for blocks of 4 KiB.
    #[must_use]
    pub const fn new() -> Self {
        Self::new_with_block_size()
    }
}

impl<'a, const BLOCK_SIZE: usize> PageMemory<'a, BLOCK_SIZE> {
    /// Returns a memory without pages, for blocks of `BLOCK_SIZE` bytes.
    ///
    /// A size that is not a valid block size does not compile:
    ///
    /// ```compile_fail,E0080
    /// let memory = kho_block::PageMemory::<{ 128 << 20 }>::new_with_block_size();
    /// ```
    #[must_use]
    pub const fn new_with_block_size() -> Self {
        const { assert_block_size(BLOCK_SIZE) };
        let pages =
            Pages { by_addr: BTreeMap::new(), by_pointer: BTreeMap::new(), free: VecDeque::new() };
        Self { pages: Lock::new(pages), loans: PhantomData }
    }

    /// Adds a free page, which is allocated after all pages that are already free.
    ///
    /// Allocating the page overwrites its contents.
    ///
    /// # Errors
    /// Returns an error if no block can be at the address, if the memory already has a page there,
    /// or if the bytes do not have the length or the alignment of a block.
    pub fn add_free(&self, addr: PhysAddr, page: &'a mut [u8]) -> Result<(), PageError> {
        self.add(addr, page, State::Free)
    }

    /// Adds a preserved page, which holds a block to claim or bytes to read.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`add_free`](Self::add_free).
    pub fn add_preserved(&self, addr: PhysAddr, page: &'a mut [u8]) -> Result<(), PageError> {
        self.add(addr, page, State::Preserved)
    }

    fn add(&self, addr: PhysAddr, page: &'a mut [u8], state: State) -> Result<(), PageError> {
        let error = |kind| Err(PageError { addr, kind });
        if addr.is_null() {
            return error(PageErrorKind::Null);
        }
        if !addr.is_aligned_to(BLOCK_SIZE) {
            return error(PageErrorKind::Misaligned);
        }
        if page.len() != BLOCK_SIZE {
            return error(PageErrorKind::Length { len: page.len() });
        }
        let base = NonNull::from(page).cast::<u8>();
        if base.addr().get() % MAX_ENTRY_ALIGN != 0 {
            return error(PageErrorKind::BytesMisaligned);
        }
        self.pages.with(|pages| {
            if pages.by_addr.contains_key(&addr) {
                return error(PageErrorKind::Duplicate);
            }
            // INVARIANT (`Page`): the slice has the length and the alignment of a block, and its
            // borrow has moved in here.
            pages.by_addr.insert(addr, Page { base, state });
            pages.by_pointer.insert(base.addr(), addr);
            pages.free.reserve(pages.by_addr.len() - pages.free.len());
            if state == State::Free {
                pages.free.push_back(addr);
            }
            Ok(())
        })
    }

    /// Returns the number of pages that are free, owned and preserved.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.pages.with(|pages| {
            let mut usage = Usage::default();
            for page in pages.by_addr.values() {
                match page.state {
                    State::Free => usage.free += 1,
                    State::Owned => usage.owned += 1,
                    State::Preserved => usage.preserved += 1,
                }
            }
            usage
        })
    }
}

impl Pages {
    /// Makes the first free page owned.
    fn allocate(&mut self) -> Option<NonNull<u8>> {
        let addr = self.free.pop_front()?;
        let page = self.by_addr.get_mut(&addr).expect("a free page is one of the pages");
        page.state = State::Owned;
        Some(page.base)
    }

    /// Makes a preserved page owned.
    fn claim<const BLOCK_SIZE: usize>(
        &mut self,
        addr: PhysAddr,
    ) -> Result<NonNull<u8>, ClaimError> {
        let error = |kind| ClaimError::new(addr, kind);
        if !addr.is_aligned_to(BLOCK_SIZE) {
            return Err(error(ClaimErrorKind::Misaligned));
        }
        let page = self.by_addr.get_mut(&addr).ok_or(error(ClaimErrorKind::Outside))?;
        match page.state {
            State::Preserved => {
                page.state = State::Owned;
                Ok(page.base)
            }
            State::Free => Err(error(ClaimErrorKind::NotPreserved)),
            State::Owned => Err(error(ClaimErrorKind::Owned)),
        }
    }

    /// Makes an owned page free and puts it at the end of the queue.
    fn free(&mut self, block: NonNull<u8>) {
        let addr = self.release(block, State::Free);
        self.free.push_back(addr);
    }

    /// Makes an owned page preserved.
    fn hand_over(&mut self, block: NonNull<u8>) {
        self.release(block, State::Preserved);
    }

    /// Changes the state of an owned page. Returns its address.
    fn release(&mut self, block: NonNull<u8>, to: State) -> PhysAddr {
        let addr = self.addr_of(block);
        let page = self.by_addr.get_mut(&addr).expect("both maps have every page");
        debug_assert_eq!(page.state, State::Owned);
        page.state = to;
        addr
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        *self.by_pointer.get(&block.addr()).expect("an owned block is one of the pages")
    }
}

impl<const BLOCK_SIZE: usize> Default for PageMemory<'_, BLOCK_SIZE> {
    fn default() -> Self {
        Self::new_with_block_size()
    }
}

impl<const BLOCK_SIZE: usize> fmt::Debug for PageMemory<'_, BLOCK_SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageMemory").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl<const BLOCK_SIZE: usize> ReadMemory for PageMemory<'_, BLOCK_SIZE> {
    const BLOCK_SIZE: usize = BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let error = |kind| ReadError::new(addr, kind);
        self.pages.with(|pages| {
            let mut filled = 0;
            while filled < buf.len() {
                let at = addr.checked_add(filled as u64).ok_or(error(ReadErrorKind::Outside))?;
                #[allow(clippy::cast_possible_truncation)] // It is below the block size.
                let offset = (at.get() % BLOCK_SIZE as u64) as usize;
                let start = PhysAddr::new(at.get() - offset as u64);
                let page = pages.by_addr.get(&start).ok_or(error(ReadErrorKind::Outside))?;
                if page.state != State::Preserved {
                    return Err(error(ReadErrorKind::NotPreserved));
                }
                let len = (buf.len() - filled).min(BLOCK_SIZE - offset);
                let part = &mut buf[filled..][..len];
                // SAFETY: the offset is inside the page, which has a block's length (the invariant
                // of `Page`).
                let from = unsafe { page.base.add(offset) };
                // SAFETY: the bytes are inside the page. It is preserved and can't be claimed while
                // this closure has the lock (G2), so nobody writes it. `part` may be in a page that
                // a set owns, but not in this one, which would be borrowed twice.
                unsafe { from.copy_to_nonoverlapping(NonNull::from(part).cast(), len) };
                filled += len;
            }
            Ok(())
        })
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        let start = PhysAddr::new(addr.get() - addr.get() % BLOCK_SIZE as u64);
        self.pages.with(|pages| {
            let mut following = pages.by_addr.range(start..);
            let (page, _) = following.find(|(_, page)| page.state == State::Preserved)?;
            Some(addr.max(*page))
        })
    }
}

// SAFETY:
// G1: a page's bytes are borrowed mutably for as long as the memory lives, initialised, of a
//     block's length and aligned to 16, as `add` checks; they do not move.
// G2, G5: the states change under the lock; a page is given out only when it is free or preserved,
//     and is owned from then on. The borrow keeps everybody else away.
// G3: `allocate` zeroes the page.
// G4: the address is the one that the page was added with: not null, aligned, and no other's.
// G6: the type is not `Clone`.
unsafe impl<const BLOCK_SIZE: usize> BlockMemory for PageMemory<'_, BLOCK_SIZE> {
    fn allocate<F>(&self, count: usize, mut visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        for _ in 0..count {
            let block = self.pages.with(Pages::allocate);
            let block = block.ok_or(AllocError::new(AllocErrorKind::Full))?;
            // SAFETY: the page was free, so it is this caller's alone, and has a block's length
            // (the invariant of `Page`).
            unsafe { block.write_bytes(0, BLOCK_SIZE) };
            visit(block);
        }
        Ok(())
    }

    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error> {
        self.pages.with(|pages| {
            claim_each(pages, first, visitor, Pages::claim::<BLOCK_SIZE>, Pages::hand_over)
        })
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        self.pages.with(|pages| pages.addr_of(block))
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.pages.with(|pages| blocks.for_each(|block| pages.free(block)));
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.pages.with(|pages| blocks.for_each(|block| pages.hand_over(block)));
    }
}
