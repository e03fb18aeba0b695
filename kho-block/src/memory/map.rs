//! A mapping of a file, unmapped on drop.

use core::ptr::{self, NonNull};

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Size of a huge page in bytes, with pages of 4 KiB.
pub(super) const HUGE_PAGE: usize = 2 << 20;

/// A mapping of a file from its start, aligned as huge pages need it: an offset in the file and the
/// address it is mapped at differ by a multiple of [`HUGE_PAGE`].
///
/// # Invariants
/// - `base` is the start of a mapping of `len` bytes.
/// - The mapping is inside of `_reserved`, a range that nothing else unmaps.
pub(super) struct Map {
    base: NonNull<u8>,
    len: usize,
    _reserved: Range,
}

/// Addresses that are mapped, and unmapped on drop.
struct Range {
    start: NonNull<u8>,
    len: usize,
}

impl Map {
    /// Maps the first `len` bytes of a file for reading and writing, shared with the file.
    pub(super) fn shared(fd: BorrowedFd<'_>, len: usize) -> Result<Self, Errno> {
        Self::new(fd, len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
    }

    /// Maps the first `len` bytes of a file for reading. Private, since kernels before 6.7 allow no
    /// shared mapping of a file that is sealed against writing.
    pub(super) fn read_only(fd: BorrowedFd<'_>, len: usize) -> Result<Self, Errno> {
        Self::new(fd, len, ProtFlags::READ, MapFlags::PRIVATE)
    }

    fn new(
        fd: BorrowedFd<'_>,
        len: usize,
        prot: ProtFlags,
        flags: MapFlags,
    ) -> Result<Self, Errno> {
        // `mmap` itself aligns to huge pages only where it expects some.
        let slack = if len < HUGE_PAGE { 0 } else { HUGE_PAGE };
        let reserved = Range::reserve(len.checked_add(slack).ok_or(Errno::NOMEM)?)?;
        let start = reserved.start.as_ptr();
        let aligned = start.wrapping_add(start.align_offset(HUGE_PAGE).min(slack));
        // SAFETY: the range is inside `reserved`, which is this function's alone and unused: up to
        // the next multiple of a huge page there are at most `slack` bytes.
        let base = unsafe { mmap(aligned.cast(), len, prot, flags | MapFlags::FIXED, fd, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        // INVARIANT: mapped just now, inside of the reserved range.
        Ok(Self { base, len, _reserved: reserved })
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
}

impl Range {
    /// Reserves `len` bytes of address space.
    fn reserve(len: usize) -> Result<Self, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: without a fixed address the kernel maps where nothing else is.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), flags) }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, len })
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: nothing else unmaps the range; whoever has a pointer into it keeps the memory that
        // owns this value. It can't fail: the range is mapped as a whole.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Map {}

// SAFETY: a shared reference gives pointers only; using them is the business of unsafe code.
unsafe impl Sync for Map {}
