//! The memory that kho-block and the C code share.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::iter;
use std::ptr::NonNull;

use kho_block::{
    AllocError, AllocErrorKind, BlockMemory, ClaimError, ClaimErrorKind, ClaimVisitor, PhysAddr,
    ReadError, ReadErrorKind, ReadMemory, claim_each,
};

use crate::page::PAGE;

mod c_side;

/// Physical address of the first page frame.
const PHYS_BASE: u64 = 0x1_0000_0000;

/// Pages that kho-block and the C code share.
///
/// Physical addresses are scattered, with holes between them. Pages that are neighbours in the
/// process are not at neighbouring physical addresses, and pages are not allocated in the order of
/// addresses.
///
/// # Invariants
/// - **P1** `base` points to `pages + 1` initialised pages, allocated with `layout`. The last one
///   is never allocated, so that C may look past the end of any page.
/// - **P2** C reaches no page that kho-block owns: `virt` refuses its address, and C keeps no
///   pointer to one. So a page that C has had gets no other owner until [`reset`](Self::reset),
///   which no set outlives, unless the last C set that lists the page has handed it over.
pub struct Arena {
    base: NonNull<u8>,
    layout: Layout,
    /// The page in each frame from `PHYS_BASE` on.
    frames: Vec<Option<usize>>,
    /// The frame of each page.
    frame_of: Vec<usize>,
    inner: RefCell<Inner>,
}

struct Inner {
    states: Vec<State>,
    /// Number of C sets that list each page.
    holders: Vec<u32>,
    /// The free pages. The last one is allocated first.
    free: Vec<usize>,
    pages_left: usize,
    objects_left: usize,
    events: Events,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// Owned by kho-block.
    Rust,
    /// Allocated and preserved by the C code of this kernel.
    Allocated,
    /// Handed over, and not yet claimed or restored.
    Preserved,
    /// Preserved by the previous kernel, and in a C set of this one.
    Restored,
    /// In a C set, although it was not preserved.
    Stray,
    /// Freed by C.
    Freed,
}

/// Numbers of pages by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Owned by kho-block.
    pub rust: usize,
    /// In C sets, allocated or restored.
    pub c: usize,
    /// Handed over, and not yet claimed or restored.
    pub preserved: usize,
    /// In C sets, although they were not preserved.
    pub stray: usize,
    /// Freed by C.
    pub freed: usize,
}

/// Actions of the C code that a kernel would have noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Objects allocated and not yet freed.
    pub objects: usize,
    /// Calls of `WARN_ON` and `WARN_ON_ONCE` with a true condition.
    pub warnings: usize,
    /// Calls of `pr_err` and `pr_warn`.
    pub messages: usize,
    /// Attempts to free pages that are not the caller's. The kernel warns and does not free them.
    pub bad_frees: usize,
    /// The last address that would have led C out of the memory, or into a page that kho-block
    /// owns.
    pub wild: Option<u64>,
}

impl Arena {
    /// Makes a memory of `pages` pages, all free.
    #[must_use]
    #[allow(clippy::missing_panics_doc)]
    pub fn new(pages: usize) -> Self {
        let layout = Layout::from_size_align((pages + 1) * PAGE, PAGE).expect("a small arena");
        // SAFETY: the size is not 0.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).expect("memory for the arena");
        // An odd factor permutes the numbers below a power of two.
        let count = (2 * pages).next_power_of_two();
        let frame_of: Vec<usize> =
            (0..pages).map(|page| (page.wrapping_mul(0x9e37_79b1) + 5) % count).collect();
        let mut frames = vec![None; count];
        for (page, frame) in frame_of.iter().enumerate() {
            frames[*frame] = Some(page);
        }
        let inner = Inner {
            states: vec![State::Free; pages],
            holders: vec![0; pages],
            free: (0..pages).rev().collect(),
            pages_left: usize::MAX,
            objects_left: usize::MAX,
            events: Events::default(),
        };
        Self { base, layout, frames, frame_of, inner: RefCell::new(inner) }
    }

    /// Makes all pages free and forgets all events and limits.
    ///
    /// # Panics
    /// Panics if kho-block owns a page.
    pub fn reset(&mut self) {
        let inner = self.inner.get_mut();
        // A block may be owned by a pointer, which borrows nothing (G2).
        assert!(!inner.states.contains(&State::Rust), "a page is owned");
        inner.states.fill(State::Free);
        inner.holders.fill(0);
        inner.free.clear();
        inner.free.extend((0..self.frame_of.len()).rev());
        inner.pages_left = usize::MAX;
        inner.objects_left = usize::MAX;
        inner.events = Events::default();
    }

    /// Limits how many more pages may be allocated, by both sides together.
    pub fn limit_pages(&self, pages: usize) {
        self.inner.borrow_mut().pages_left = pages;
    }

    /// Limits how many more objects the C code may allocate.
    pub fn limit_objects(&self, objects: usize) {
        self.inner.borrow_mut().objects_left = objects;
    }

    /// Returns the numbers of pages by state.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for state in &self.inner.borrow().states {
            match state {
                State::Free => {}
                State::Rust => usage.rust += 1,
                State::Allocated | State::Restored => usage.c += 1,
                State::Preserved => usage.preserved += 1,
                State::Stray => usage.stray += 1,
                State::Freed => usage.freed += 1,
            }
        }
        usage
    }

    /// Returns the actions of the C code that a kernel would have noticed.
    pub fn events(&self) -> Events {
        self.inner.borrow().events
    }

    /// Returns an address in no page: in a hole, or past all memory.
    pub fn hole(&self, number: usize) -> PhysAddr {
        let count = self.frames.len();
        let start = number.wrapping_mul(7);
        let hole = (0..count).map(|i| (start + i) % count).find(|i| self.frames[*i].is_none());
        match hole {
            Some(frame) if number % 3 != 0 => address(frame),
            _ => PhysAddr::new(PHYS_BASE + ((count + number) * PAGE) as u64),
        }
    }

    /// Preserves a page with these bytes, and returns its address.
    ///
    /// # Panics
    /// Panics if no page is free, or the bytes are more than a page.
    pub fn preserve(&self, bytes: &[u8]) -> PhysAddr {
        let (page, addr) = self.new_page(bytes);
        // SAFETY: just allocated and not used again.
        unsafe { self.hand_over(iter::once(page)) };
        addr
    }

    /// Leaves these bytes in a free page until it is allocated, and returns its address.
    ///
    /// # Panics
    /// Panics in the same cases as [`preserve`](Self::preserve).
    pub fn leave(&self, bytes: &[u8]) -> PhysAddr {
        let (page, addr) = self.new_page(bytes);
        // SAFETY: just allocated and not used again.
        unsafe { self.free(iter::once(page)) };
        addr
    }

    fn new_page(&self, bytes: &[u8]) -> (NonNull<u8>, PhysAddr) {
        assert!(bytes.len() <= PAGE);
        let page = self.allocate_as(State::Rust).expect("a free page");
        let page = self.pointer(page, 0);
        // SAFETY: just allocated, of `PAGE` bytes, which nothing borrows.
        unsafe { page.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        (page, self.addr_of(page))
    }

    /// Overwrites bytes of a preserved page.
    ///
    /// # Panics
    /// Panics if the page is not preserved, or the bytes reach over its end.
    pub fn write(&self, addr: PhysAddr, bytes: &[u8]) {
        let (page, offset) = self.find(addr).expect("an address in memory");
        assert!(
            self.inner.borrow().states[page] == State::Preserved && offset + bytes.len() <= PAGE
        );
        let to = self.pointer(page, offset);
        // SAFETY: inside one page (P1) that nobody owns and nobody has a reference to.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    /// Returns the bytes of the page at `addr`, whoever owns it.
    ///
    /// # Safety
    /// Nobody has a `&mut` into the page.
    ///
    /// # Panics
    /// Panics if there is no such page.
    pub unsafe fn page(&self, addr: PhysAddr) -> Vec<u8> {
        let (page, offset) = self.find(addr).expect("an address in memory");
        assert!(offset == 0);
        let mut bytes = vec![0; PAGE];
        let from = self.pointer(page, 0);
        // SAFETY: a whole page, initialised (P1), that nobody may change meanwhile: this thread is
        // here, and the arena is not `Sync`.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut *bytes).cast(), PAGE) };
        bytes
    }

    /// Returns whether a page starts at `addr`.
    pub fn has_page(&self, addr: PhysAddr) -> bool {
        matches!(self.find(addr), Some((_, 0)))
    }

    /// Returns address and bytes of every preserved page.
    ///
    /// # Panics
    /// Never: what is preserved can be read.
    pub fn preserved(&self) -> Vec<(PhysAddr, Vec<u8>)> {
        let states = self.inner.borrow().states.clone();
        let pages = states.iter().enumerate().filter(|(_, state)| **state == State::Preserved);
        let copy = |(page, _)| {
            let addr = address(self.frame_of[page]);
            let mut bytes = vec![0; PAGE];
            self.read(addr, &mut bytes).expect("a preserved page");
            (addr, bytes)
        };
        pages.map(copy).collect()
    }

    /// Returns the page that has the byte at `addr`, and the byte's offset in it.
    fn find(&self, addr: PhysAddr) -> Option<(usize, usize)> {
        let offset = usize::try_from(addr.get().checked_sub(PHYS_BASE)?).ok()?;
        let page = *self.frames.get(offset / PAGE)?;
        Some((page?, offset % PAGE))
    }

    fn pointer(&self, page: usize, offset: usize) -> NonNull<u8> {
        assert!(page < self.frame_of.len() && offset < PAGE);
        // SAFETY: inside the arena, as was just asserted (P1).
        unsafe { self.base.add(page * PAGE + offset) }
    }

    /// Returns the page that a pointer leads to, and the offset in it.
    fn place(&self, pointer: NonNull<u8>) -> (usize, usize) {
        let offset = pointer.addr().get().wrapping_sub(self.base.addr().get());
        assert!(offset < self.frame_of.len() * PAGE, "a pointer that is not into the arena");
        (offset / PAGE, offset % PAGE)
    }

    fn allocate_as(&self, state: State) -> Option<usize> {
        let inner = &mut *self.inner.borrow_mut();
        let left = inner.pages_left.checked_sub(1)?;
        let page = inner.free.pop()?;
        if inner.pages_left != usize::MAX {
            inner.pages_left = left;
        }
        inner.states[page] = state;
        let pointer = self.pointer(page, 0);
        // SAFETY: a whole page (P1) that was free, so nobody has a reference into it.
        unsafe { pointer.write_bytes(0, PAGE) };
        Some(page)
    }
}

fn address(frame: usize) -> PhysAddr {
    PhysAddr::new(PHYS_BASE + (frame * PAGE) as u64)
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout (P1).
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

impl ReadMemory for Arena {
    const BLOCK_SIZE: usize = PAGE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let error = |kind| ReadError::new(addr, kind);
        let (page, offset) = self.find(addr).ok_or(error(ReadErrorKind::Outside))?;
        if offset + buf.len() > PAGE {
            return Err(error(ReadErrorKind::Outside));
        }
        if self.inner.borrow().states[page] != State::Preserved {
            return Err(error(ReadErrorKind::NotPreserved));
        }
        let from = self.pointer(page, offset);
        // SAFETY: inside one page, initialised (P1), that nobody owns; `buf` is borrowed, so it is
        // not in there.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut *buf).cast(), buf.len()) };
        Ok(())
    }
}

// SAFETY: G1: pages are aligned to their size, initialised, and live as long as the arena, which
// owns them by a pointer (P1). G2, G5: a page is given out when it is free or preserved, and is
// `Rust` from then on; C does not reach it (P2), and `page` is unsafe. G3: `allocate_as` zeroes the
// page. G4: each page has a page frame of its own, none at address 0. G6: the type is not `Clone`.
// It is not `Sync`, either.
unsafe impl BlockMemory for Arena {
    fn allocate<F>(&self, count: usize, mut visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        for _ in 0..count {
            let page = self.allocate_as(State::Rust);
            let page = page.ok_or(AllocError::new(AllocErrorKind::OutOfMemory))?;
            visit(self.pointer(page, 0));
        }
        Ok(())
    }

    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error> {
        let claim = |inner: &mut Inner, addr| {
            let error = |kind| ClaimError::new(addr, kind);
            let (page, offset) = self.find(addr).ok_or(error(ClaimErrorKind::Outside))?;
            if offset != 0 {
                return Err(error(ClaimErrorKind::Misaligned));
            }
            let state = &mut inner.states[page];
            match state {
                State::Preserved => *state = State::Rust,
                State::Free | State::Freed => return Err(error(ClaimErrorKind::NotPreserved)),
                _ => return Err(error(ClaimErrorKind::Owned)),
            }
            Ok(self.pointer(page, 0))
        };
        let hand_over = |inner: &mut Inner, block| {
            let (page, _) = self.place(block);
            inner.release(page, State::Preserved);
        };
        claim_each(&mut *self.inner.borrow_mut(), first, visitor, claim, hand_over)
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        PhysAddr::new(self.phys(block))
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        let inner = &mut *self.inner.borrow_mut();
        for block in blocks {
            let (page, _) = self.place(block);
            inner.release(page, State::Free);
            inner.free.push(page);
        }
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        let inner = &mut *self.inner.borrow_mut();
        for block in blocks {
            let (page, _) = self.place(block);
            inner.release(page, State::Preserved);
        }
    }
}

impl Inner {
    /// Changes the state of a page that kho-block owns.
    fn release(&mut self, page: usize, to: State) {
        assert_eq!(self.states[page], State::Rust);
        self.states[page] = to;
    }
}
