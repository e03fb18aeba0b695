//! A mapping of a file, unmapped on drop.
//!
//! ```text
//!         aligned to a huge page            end of the file             largest length
//!         │                                 │                           │
//! ┌ ─ ─ ─ ┬─────────────────────────────────┬───────────────────────────┬ ─ ─ ─ ┐
//!  slack  │ the file                        │ for it to grow            │ slack
//! └ ─ ─ ─ ┴─────────────────────────────────┴───────────────────────────┴ ─ ─ ─ ┘
//!                                            not in a core dump
//! ```
//!
//! Addresses are reserved first: a page that can't be accessed is mapped, unlocked if the process locks
//! all its memory (`mlockall`), then grown to its full length: growing is what locks nothing and asks
//! for no right to. The file gets there in the same way.

use core::mem;
use core::ops::{Deref, Range};
use core::ptr::{self, NonNull};

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags, madvise, mmap, mmap_anonymous,
    mprotect, mremap, mremap_fixed, munlock, munmap,
};

use super::error::MemfdError;
use super::fork;
use crate::memory::pages::{huge_page_size, page_size};

/// A mapping of a file from its start, aligned as huge pages need it: an offset in the file and the
/// address it is mapped at differ by a multiple of a huge page's size, unless the mapping is smaller.
///
/// # Invariants
/// - `base` is the start of a mapping of `len` bytes, and of the rest of their last page.
/// - The mapping is inside of `_reserved`, a range that nothing else unmaps.
pub(super) struct Map {
    base: NonNull<u8>,
    len: usize,
    reserved: Reserved,
}

/// A mapping for reading and writing, shared with the file and with no child of this process: the list
/// in [`fork`] has it.
pub(super) struct SharedMap(Map);

/// Addresses that are mapped, and unmapped on drop.
struct Reserved {
    start: NonNull<u8>,
    len: usize,
}

impl SharedMap {
    /// Maps the first `len` bytes of a file. What is mapped is not in core dumps until it is
    /// [`dumped`](Map::dump).
    pub(super) fn new(fd: BorrowedFd<'_>, len: usize) -> Result<Self, MemfdError> {
        let map = fork::exclude(|places| {
            let map = Map::new(fd, len, MapFlags::SHARED, |page| {
                // Nothing but a dump depends on the answer.
                let _ = advise(page, page_size(), Advice::LinuxDontDump);
                advise(page, page_size(), Advice::LinuxDontFork)
            })?;
            places.push(map.place());
            Ok(Self(map))
        })?;
        let prot = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: this value has the whole range, and nothing points into it yet.
        unsafe { mprotect(map.base.as_ptr().cast(), map.len, prot) }
            .map_err(MemfdError::system("mprotect"))?;
        // Only speed depends on the answer.
        let _ = advise(map.base, map.len, Advice::LinuxHugepage);
        Ok(map)
    }
}

impl Deref for SharedMap {
    type Target = Map;

    fn deref(&self) -> &Map {
        &self.0
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        let place = self.place();
        fork::exclude(|places| {
            places.retain(|other| *other != place);
            self.0.reserved.unmap();
        });
    }
}

impl Map {
    /// Maps the first `len` bytes of a file for reading. Private, since kernels before 6.7 allow no
    /// shared mapping of a file that is sealed against writing.
    pub(super) fn read_only(fd: BorrowedFd<'_>, len: usize) -> Result<Self, MemfdError> {
        let map = Self::new(fd, len, MapFlags::PRIVATE, |_| Ok(()))?;
        // SAFETY: this value has the whole range, and nothing points into it yet.
        unsafe { mprotect(map.base.as_ptr().cast(), map.len, MprotectFlags::READ) }
            .map_err(MemfdError::system("mprotect"))?;
        Ok(map)
    }

    /// Maps `len` bytes without access. `set_up` is called while one page is mapped, and what it does to
    /// that page holds for all.
    fn new(
        fd: BorrowedFd<'_>,
        len: usize,
        flags: MapFlags,
        set_up: impl FnOnce(NonNull<u8>) -> Result<(), Errno>,
    ) -> Result<Self, MemfdError> {
        let too_long = MemfdError::AddressSpace { len };
        let align = huge_page_size().filter(|size| len >= *size).unwrap_or(page_size());
        let slack = align - page_size();
        let failed = |call| {
            move |errno| match errno {
                Errno::NOMEM => too_long,
                errno => MemfdError::system(call)(errno),
            }
        };
        let reserved_len = len.checked_add(slack).ok_or(too_long)?;
        let reserved = Reserved::new(reserved_len).map_err(|errno| match errno {
            // So many addresses no process has.
            Errno::INVAL => too_long,
            errno => failed("mmap")(errno),
        })?;
        let start = reserved.start.as_ptr();
        let aligned = start.wrapping_add(start.align_offset(align));

        let page = page_size();
        // SAFETY: without a fixed address the kernel maps where nothing else is.
        let first = retry_on_intr(|| unsafe {
            mmap(ptr::null_mut(), page, ProtFlags::empty(), flags, fd, 0)
        })
        .map_err(failed("mmap"))?;
        let first = Reserved::from_raw(first.cast(), page).map_err(failed("mmap"))?;
        unlock(first.start).map_err(MemfdError::system("munlock"))?;
        set_up(first.start).map_err(MemfdError::system("madvise"))?;
        let (old, new) = (first.start.as_ptr().cast(), aligned.cast());
        // SAFETY: the old range is `first`, whose page nothing points to, and the new one is inside
        // `reserved`, which is this function's alone and unused: up to the next multiple of `align`
        // there are at most `slack` bytes.
        let base = match unsafe { mremap_fixed(old, page, len, MremapFlags::MAYMOVE, new) } {
            Ok(base) => base,
            Err(errno) => {
                // The kernel may have unmapped the new range already, and another thread have got
                // addresses of it: they are not ours to unmap any more.
                mem::forget(reserved);
                return Err(failed("mremap")(errno));
            }
        };
        // It is there no more.
        mem::forget(first);
        let base = NonNull::new(base.cast()).ok_or(too_long)?;
        // INVARIANT: mapped just now, inside of the reserved range.
        Ok(Self { base, len, reserved })
    }

    /// Lets a core dump have these bytes, if it has shared memory at all: core(5).
    pub(super) fn dump(&self, bytes: Range<usize>) {
        let start = bytes.start / page_size() * page_size();
        let len = bytes.end.min(self.len).saturating_sub(start);
        if len > 0 {
            // Nothing but a dump depends on the answer.
            let _ = advise(self.at(start), len, Advice::LinuxDoDump);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the mapping starts.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Pointer to the byte at `offset`.
    ///
    /// # Panics
    /// The offset is not inside the mapping.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len, "offset outside the mapping");
        // SAFETY: the offset is inside the mapping, which `base` is the start of.
        unsafe { self.base.add(offset) }
    }

    fn place(&self) -> fork::Place {
        (self.base.as_ptr().expose_provenance(), self.len)
    }
}

impl Reserved {
    /// Reserves `len` bytes of address space.
    fn new(len: usize) -> Result<Self, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let (null, page) = (ptr::null_mut(), page_size());
        // SAFETY: without a fixed address the kernel maps where nothing else is.
        let first = unsafe { mmap_anonymous(null, page, ProtFlags::empty(), flags) }?;
        let mut reserved = Self::from_raw(first.cast(), page)?;
        unlock(reserved.start)?;
        // Growing it keeps it out of dumps, and no page of it is ever touched.
        let _ = advise(reserved.start, page, Advice::LinuxDontDump);
        let first = reserved.start.as_ptr().cast();
        // SAFETY: the page is this function's alone, and nothing points to it.
        let start = unsafe { mremap(first, page, len, MremapFlags::MAYMOVE) }?;
        reserved.start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        reserved.len = len;
        Ok(reserved)
    }

    /// What was mapped just now.
    fn from_raw(start: *mut u8, len: usize) -> Result<Self, Errno> {
        Ok(Self { start: NonNull::new(start).ok_or(Errno::NOMEM)?, len })
    }

    fn unmap(&mut self) {
        if self.len > 0 {
            // SAFETY: nothing else unmaps the range; whoever has a pointer into it keeps the memory
            // that owns this value. It can't fail: the range is mapped as a whole.
            let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
            self.len = 0;
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.unmap();
    }
}

/// Unlocks a page that was mapped just now, which a process may have asked to be locked.
fn unlock(page: NonNull<u8>) -> Result<(), Errno> {
    // SAFETY: the page is mapped; whether it is locked changes no byte.
    unsafe { munlock(page.as_ptr().cast(), page_size()) }
}

/// Gives advice that changes no byte and ends no mapping.
fn advise(start: NonNull<u8>, len: usize, advice: Advice) -> Result<(), Errno> {
    // SAFETY: the range is mapped, and the advice is one of those that this module gives: none changes
    // a byte that this process sees, or unmaps it.
    unsafe { madvise(start.as_ptr().cast(), len, advice) }
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Map {}

// SAFETY: a shared reference gives pointers only; using them is the business of unsafe code.
unsafe impl Sync for Map {}
