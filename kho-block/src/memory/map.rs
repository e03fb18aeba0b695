//! A mapping of a file, unmapped on drop.

use core::ptr::{self, NonNull};

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// # Invariants
/// `base` is the start of a mapping of `len` bytes that nothing else unmaps.
pub(super) struct Map {
    base: NonNull<u8>,
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
        // SAFETY: without a fixed address the kernel maps where nothing else is.
        let base = unsafe { mmap(ptr::null_mut(), len, prot, flags, fd, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { base, len })
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

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: by the invariant nothing else unmaps it; whoever has a pointer into the mapping
        // keeps the memory that owns this value. It can't fail: base and length are the mapping's.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Map {}

// SAFETY: a shared reference gives pointers only; using them is the business of unsafe code.
unsafe impl Sync for Map {}
