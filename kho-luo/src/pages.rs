//! Blocks in pages that the caller chooses.
#![allow(unsafe_code)]

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kho_block::abi::{DEFAULT_BLOCK_SIZE, is_block_size};
use kho_block::{
    AllocError, AllocErrorKind, BlockMemory, ClaimError, ClaimErrorKind, ClaimVisitor, PhysAddr,
    ReadError, ReadErrorKind, ReadMemory, claim_each,
};
use thiserror::Error;

/// Blocks in given pages at given addresses, given out in the order in which they were added: to
/// write a chain where something else expects it, such as in the memory of a paused guest.
///
/// Pages are added [free](Self::add_free), to be allocated, or [preserved](Self::add_preserved),
/// to be read, claimed and rewritten. A page that is freed is allocated again after all others.
/// When the memory is dropped the pages are the caller's again, with what was written in them.
///
/// ```
/// use kho_block::{BlockSet, PhysAddr};
/// use kho_luo::{CompatibleName, LuoFile, PageMemory};
///
/// let mut page = [0_u128; 256]; // blocks are aligned to 16
/// let memory = PageMemory::new();
/// memory.add_free(PhysAddr::new(0x69_f000), bytemuck::bytes_of_mut(&mut page))?;
///
/// let mut files = BlockSet::new_in(&memory);
/// files.push(LuoFile::new(CompatibleName::new("memfd-v2")?, 0x6a_0000, 7))?;
/// assert_eq!(files.hand_over().addr(), PhysAddr::new(0x69_f000));
///
/// drop(memory);
/// assert_eq!(bytemuck::bytes_of(&page)[8..16], 1_u64.to_ne_bytes()); // one entry
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A page lives as long as the memory it was added to:
///
/// ```compile_fail,E0597
/// use kho_block::PhysAddr;
/// use kho_luo::PageMemory;
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
    pages: Mutex<Pages>,
    /// The bytes of the pages. Invariant: pages are added through `&self`, so a memory must not pass
    /// for one of a shorter life.
    bytes: PhantomData<Invariant<'a>>,
}

/// Takes the bytes of a page and gives them back.
type Invariant<'a> = fn(&'a mut [u8]) -> &'a mut [u8];

#[derive(Default)]
struct Pages {
    by_addr: BTreeMap<PhysAddr, Page>,
    by_pointer: HashMap<NonZeroAddr, PhysAddr>,
    /// The free pages, first to be allocated first.
    free: VecDeque<PhysAddr>,
}

/// Where a page is in this process.
type NonZeroAddr = core::num::NonZeroUsize;

/// A page.
///
/// # Invariants
/// The pointer came from a `&mut [u8]` of a block's length, borrowed for as long as the memory
/// lives, and no other page came from the same one.
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

/// A page could not be added to a [`PageMemory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("can't add the page at {addr}: {kind}")]
#[non_exhaustive]
pub struct PageError {
    /// Address of the page.
    pub addr: PhysAddr,
    /// Why it could not be added.
    pub kind: PageErrorKind,
}

/// Why a page could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PageErrorKind {
    /// The address is null.
    #[error("the address is null")]
    Null,
    /// The address is not a multiple of the block size.
    #[error("the address is not aligned to a block")]
    Misaligned,
    /// The bytes are not as many as a block has.
    #[error("it has {len} bytes, and is not a block")]
    Length {
        /// How many bytes there are.
        len: usize,
    },
    /// The bytes are not aligned to 16 in this process.
    #[error("its bytes are not aligned to 16")]
    BytesMisaligned,
    /// The memory has a page at this address.
    #[error("there is a page at this address")]
    Duplicate,
    /// The page is not in the memory that it was to be taken from.
    #[error("it is outside the memory")]
    Outside,
}

impl PageMemory<'_> {
    /// A memory without pages, with blocks of 4 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self::new_with_block_size()
    }
}

impl<'a, const BLOCK_SIZE: usize> PageMemory<'a, BLOCK_SIZE> {
    /// A memory without pages, with blocks of `BLOCK_SIZE` bytes: of 128 MiB, it does not compile.
    ///
    /// ```compile_fail,E0080
    /// let memory = kho_luo::PageMemory::<{ 128 << 20 }>::new_with_block_size();
    /// ```
    #[must_use]
    pub fn new_with_block_size() -> Self {
        const { assert!(is_block_size(BLOCK_SIZE), "not a block size") };
        Self { pages: Mutex::default(), bytes: PhantomData }
    }

    /// Adds a page to be allocated, after those that were added before. What is in it is lost when
    /// it is.
    ///
    /// # Errors
    /// The address can't be that of a block or is there already, or the bytes can't be a block.
    pub fn add_free(&self, addr: PhysAddr, page: &'a mut [u8]) -> Result<(), PageError> {
        self.add(addr, page, State::Free)
    }

    /// Adds a page that holds something: a block to be claimed, or only read.
    ///
    /// # Errors
    /// As for [`add_free`](Self::add_free).
    pub fn add_preserved(&self, addr: PhysAddr, page: &'a mut [u8]) -> Result<(), PageError> {
        self.add(addr, page, State::Preserved)
    }

    fn add(&self, addr: PhysAddr, page: &'a mut [u8], state: State) -> Result<(), PageError> {
        let error = |kind| Err(PageError { addr, kind });
        if addr.is_null() {
            return error(PageErrorKind::Null);
        }
        if !addr.get().is_multiple_of(BLOCK_SIZE as u64) {
            return error(PageErrorKind::Misaligned);
        }
        if page.len() != BLOCK_SIZE {
            return error(PageErrorKind::Length { len: page.len() });
        }
        let base = NonNull::from(page).cast::<u8>();
        if base.addr().get() % kho_block::abi::MAX_ENTRY_ALIGN != 0 {
            return error(PageErrorKind::BytesMisaligned);
        }
        let mut pages = self.lock();
        if pages.by_addr.contains_key(&addr) {
            return error(PageErrorKind::Duplicate);
        }
        // INVARIANT: the slice has a block's length, and its borrow has moved in here.
        pages.by_addr.insert(addr, Page { base, state });
        pages.by_pointer.insert(base.addr(), addr);
        if state == State::Free {
            pages.free.push_back(addr);
        }
        Ok(())
    }

    /// How many pages are free, owned and preserved.
    #[must_use]
    pub fn counts(&self) -> PageCounts {
        let pages = self.lock();
        let count = |state| pages.by_addr.values().filter(|page| page.state == state).count();
        PageCounts {
            free: count(State::Free),
            owned: count(State::Owned),
            preserved: count(State::Preserved),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // Nothing panics half way through a change.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many pages of a [`PageMemory`] are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageCounts {
    /// Pages that can be allocated.
    pub free: usize,
    /// Pages that a set owns.
    pub owned: usize,
    /// Pages that were handed over, or added as preserved.
    pub preserved: usize,
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
        if !addr.get().is_multiple_of(BLOCK_SIZE as u64) {
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

    /// Changes the state of an owned page.
    fn release(&mut self, block: NonNull<u8>, to: State) {
        let addr = self.by_pointer.get(&block.addr()).expect("an owned block is one of the pages");
        let page = self.by_addr.get_mut(addr).expect("both maps have every page");
        debug_assert_eq!(page.state, State::Owned);
        page.state = to;
        if to == State::Free {
            self.free.push_back(*addr);
        }
    }
}

impl Default for PageMemory<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BLOCK_SIZE: usize> fmt::Debug for PageMemory<'_, BLOCK_SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageMemory").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl<const BLOCK_SIZE: usize> ReadMemory for PageMemory<'_, BLOCK_SIZE> {
    const BLOCK_SIZE: usize = BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let outside = ReadError::new(addr, ReadErrorKind::Outside);
        let pages = self.lock();
        let mut next = addr.get();
        let mut rest = buf;
        while !rest.is_empty() {
            #[allow(clippy::cast_possible_truncation)] // It is below the block size.
            let offset = (next % BLOCK_SIZE as u64) as usize;
            let len = rest.len().min(BLOCK_SIZE - offset);
            let page = pages.by_addr.get(&PhysAddr::new(next - offset as u64)).ok_or(outside)?;
            if page.state != State::Preserved {
                return Err(ReadError::new(addr, ReadErrorKind::NotPreserved));
            }
            let (part, after) = rest.split_at_mut(len);
            // SAFETY: the offset is inside the page, which has a block's length (the invariant of
            // `Page`).
            let from = unsafe { page.base.add(offset) };
            // SAFETY: the bytes are inside the page. It is preserved and can't be claimed while the
            // lock is held (G2), so nobody writes it. `part` is the caller's, not in a page: that
            // would be borrowed twice.
            unsafe { from.copy_to_nonoverlapping(NonNull::from(part).cast(), len) };
            rest = after;
            // What follows the end of the address space is outside.
            match next.checked_add(len as u64) {
                Some(end) => next = end,
                None if rest.is_empty() => {}
                None => return Err(outside),
            }
        }
        Ok(())
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        let page = addr.get() - addr.get() % BLOCK_SIZE as u64;
        let pages = self.lock();
        let preserved = |at: &PhysAddr| pages.by_addr[at].state == State::Preserved;
        let mut following = pages.by_addr.range(PhysAddr::new(page)..).map(|(at, _)| *at);
        following.find(preserved).map(|at| at.max(addr))
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
            let block = self.lock().allocate().ok_or(AllocError::new(AllocErrorKind::Full))?;
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
        let hand_over = |pages: &mut Pages, block| pages.release(block, State::Preserved);
        claim_each(&mut *self.lock(), first, visitor, Pages::claim::<BLOCK_SIZE>, hand_over)
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        let pages = self.lock();
        *pages.by_pointer.get(&block.addr()).expect("an owned block is one of the pages")
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        let mut pages = self.lock();
        blocks.for_each(|block| pages.release(block, State::Free));
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        let mut pages = self.lock();
        blocks.for_each(|block| pages.release(block, State::Preserved));
    }
}

/// Takes pages out of memory that is mapped in one piece, such as a guest's: those at `addrs`, in
/// that order. `base` is the address of the first byte of `ram`.
///
/// # Errors
/// A page is not inside `ram`, not aligned, or there twice.
///
/// ```
/// use kho_block::PhysAddr;
/// use kho_luo::{PageMemory, pages_of};
///
/// let mut ram = vec![0_u128; 4 * 4096 / 16]; // aligned to 16
/// let ram = bytemuck::cast_slice_mut(&mut ram);
/// let memory = PageMemory::new();
/// let addrs = [0x3000, 0x1000].map(PhysAddr::new);
/// for (addr, page) in pages_of::<4096>(ram, PhysAddr::NULL, &addrs)? {
///     memory.add_free(addr, page)?;
/// }
/// # Ok::<(), kho_luo::PageError>(())
/// ```
pub fn pages_of<'a, const BLOCK_SIZE: usize>(
    ram: &'a mut [u8],
    base: PhysAddr,
    addrs: &[PhysAddr],
) -> Result<Vec<(PhysAddr, &'a mut [u8])>, PageError> {
    const { assert!(is_block_size(BLOCK_SIZE), "not a block size") };
    let mut order: Vec<usize> = (0..addrs.len()).collect();
    order.sort_unstable_by_key(|index| addrs[*index]);
    let mut pages: Vec<Option<&'a mut [u8]>> = Vec::new();
    pages.resize_with(addrs.len(), || None);
    let mut rest = ram;
    let mut rest_addr = base.get();
    let mut before = None;
    for index in order {
        let addr = addrs[index];
        let error = |kind| PageError { addr, kind };
        if before.replace(addr) == Some(addr) {
            return Err(error(PageErrorKind::Duplicate));
        }
        if !addr.get().is_multiple_of(BLOCK_SIZE as u64) {
            return Err(error(PageErrorKind::Misaligned));
        }
        let outside = || error(PageErrorKind::Outside);
        // Two different multiples of the block size are at least a block apart.
        let skip = addr.get().checked_sub(rest_addr).ok_or_else(outside)?;
        let skip = usize::try_from(skip).map_err(|_| outside())?;
        let (_, at) = core::mem::take(&mut rest).split_at_mut_checked(skip).ok_or_else(outside)?;
        let (page, after) = at.split_at_mut_checked(BLOCK_SIZE).ok_or_else(outside)?;
        pages[index] = Some(page);
        rest = after;
        rest_addr = addr.get().saturating_add(BLOCK_SIZE as u64);
    }
    Ok(addrs.iter().copied().zip(pages.into_iter().flatten()).collect())
}
