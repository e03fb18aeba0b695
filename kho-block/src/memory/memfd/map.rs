//! Mappings of a file that are unmapped on drop.
//!
//! ```text
//!         aligned to a huge page            end of the file             largest length
//!         │                                 │                           │
//!         ┬─────────────────────────────────┬───────────────────────────┬
//!         │ the file                        │ for it to grow            │
//!         ┴─────────────────────────────────┴───────────────────────────┴
//!                                            not in a core dump
//! ```
//!
//! First one page of the file is mapped, without access. The page is unlocked, in case the process
//! locks all its memory (`mlockall`), and gets the advice that the whole mapping needs. Then the
//! mapping grows in place to its full length and stays unlocked and advised. Growing an unlocked
//! mapping locks nothing and needs no privilege to lock. No step replaces another mapping, so a
//! failure harms none.
//!
//! # References
//!
//! mmap(2), mremap(2), mprotect(2), munlock(2), madvise(2), getrlimit(2), core(5).

use core::ops::{Deref, Range};
use core::ptr::{self, NonNull};

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags, madvise, mmap, mmap_anonymous,
    mprotect, mremap, munlock, munmap,
};
use rustix::process::{Resource, getrlimit};

use super::error::MemfdError;
use super::fork;
use crate::memory::page_size::{huge_page_size, page_size};

/// Default length of a mapping in bytes: 64 GiB, or 1 GiB if addresses have 32 bits.
///
/// Reserved addresses take no memory, and a process has 128 TiB of them (or 3 GiB). So the length
/// is enough for any state, and leaves room for many memories.
const DEFAULT_MAX_LEN: usize = match 1_usize.checked_shl(36) {
    Some(len) => len,
    None => 1 << 30,
};
/// Smallest default length of a mapping in bytes, if the address space is limited.
const LEAST_MAX_LEN: usize = 1 << 20;
/// Divisor of a limit on address space: by default a mapping takes at most an eighth.
const SHARE_OF_LIMIT: u64 = 8;

/// Number of attempts to find a place before other threads take it.
const TRIES: usize = 8;

/// A mapping of a file from its start, aligned for huge pages unless it is smaller than one.
///
/// An offset in the file and the address it is mapped at differ by a multiple of a huge page's
/// size.
pub(super) struct Map(Mapped);

/// A range of mapped addresses that is unmapped on drop.
///
/// # Invariants
/// The `len` bytes from `start` on are mapped, and the rest of the last page. Nothing else unmaps
/// them.
struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

/// A shared mapping for reading and writing. Children of this process do not inherit it: it is in
/// the list of [`fork`].
pub(super) struct SharedMap(Map);

impl SharedMap {
    /// Maps the first `len` bytes of a file. No part of them is in core dumps until
    /// [`dump`](Map::dump) is called for it.
    pub(super) fn new(fd: BorrowedFd<'_>, len: usize) -> Result<Self, MemfdError> {
        let map = fork::exclude(|places| {
            places.try_reserve(1).map_err(|_| MemfdError::OutOfMemory)?;
            let map = Map::new(fd, len, MapFlags::SHARED, |page| {
                // Only dumps depend on the result.
                let _ = advise(page, page_size(), Advice::LinuxDontDump);
                advise(page, page_size(), Advice::LinuxDontFork)
            })?;
            places.push(map.place());
            Ok(Self(map))
        })?;
        let prot = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: this value has the whole range, and nothing points into it yet.
        unsafe { mprotect(map.base().as_ptr().cast(), map.len(), prot) }
            .map_err(MemfdError::system("mprotect"))?;
        // Only speed depends on the result.
        let _ = advise(map.base(), map.len(), Advice::LinuxHugepage);
        Ok(map)
    }

    /// Maps a file of `len` bytes with room to grow: up to [`DEFAULT_MAX_LEN`], or to twice its
    /// length if that is more, if there is enough address space.
    pub(super) fn with_room(fd: BorrowedFd<'_>, len: usize) -> Result<Self, MemfdError> {
        let limit =
            getrlimit(Resource::As).current.map_or(u64::MAX, |limit| limit / SHARE_OF_LIMIT);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let least = len.max(LEAST_MAX_LEN);
        let mut max_len = DEFAULT_MAX_LEN.min(limit).max(least.saturating_mul(2));
        loop {
            match Self::new(fd, max_len) {
                Err(MemfdError::AddressSpace { .. }) if max_len > least => {
                    max_len = (max_len / 2).max(least);
                }
                result => return result,
            }
        }
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
            self.0.0.unmap();
        });
    }
}

impl Map {
    /// Maps the first `len` bytes of a file for reading.
    ///
    /// The mapping is private, since kernels before 6.7 allow no shared mapping of a file that is
    /// sealed against writing.
    pub(super) fn read_only(fd: BorrowedFd<'_>, len: usize) -> Result<Self, MemfdError> {
        let map = Self::new(fd, len, MapFlags::PRIVATE, |_| Ok(()))?;
        // SAFETY: this value has the whole range, and nothing points into it yet.
        unsafe { mprotect(map.base().as_ptr().cast(), map.len(), MprotectFlags::READ) }
            .map_err(MemfdError::system("mprotect"))?;
        Ok(map)
    }

    /// Maps `len` bytes without access.
    ///
    /// `set_up` is called while a single page is mapped. The other pages inherit its effect.
    fn new(
        fd: BorrowedFd<'_>,
        len: usize,
        flags: MapFlags,
        set_up: impl Fn(NonNull<u8>) -> Result<(), Errno>,
    ) -> Result<Self, MemfdError> {
        let too_long = MemfdError::AddressSpace { len };
        let align = huge_page_size().filter(|size| len >= *size).unwrap_or(page_size());
        let place_len = len.checked_add(align - page_size()).ok_or(too_long)?;
        let failed = |call| {
            move |errno| match errno {
                Errno::NOMEM => too_long,
                errno => MemfdError::system(call)(errno),
            }
        };
        for _ in 0..TRIES {
            // The place is unmapped again at once, so another thread may take it.
            let place = Mapped::place(place_len).map(|place| place.start.as_ptr());
            let place = place.map_err(|errno| match errno {
                // No process has so many addresses.
                Errno::INVAL => too_long,
                errno => failed("mmap")(errno),
            })?;
            let aligned = place.wrapping_add(place.align_offset(align));
            let mut mapped = match Mapped::page(fd, aligned, flags) {
                Err(Errno::EXIST) => continue,
                page => page.map_err(failed("mmap"))?,
            };
            unlock(mapped.start).map_err(MemfdError::system("munlock"))?;
            set_up(mapped.start).map_err(MemfdError::system("madvise"))?;
            match mapped.grow(len) {
                Ok(()) => return Ok(Self(mapped)),
                Err(Errno::NOMEM) => {}
                Err(errno) => return Err(failed("mremap")(errno)),
            }
        }
        Err(too_long)
    }

    /// Includes these bytes in core dumps, if dumps contain shared memory at all: core(5).
    pub(super) fn dump(&self, bytes: Range<usize>) {
        let start = bytes.start / page_size() * page_size();
        let len = bytes.end.min(self.len()).saturating_sub(start);
        if len > 0 {
            // Only dumps depend on the result.
            let _ = advise(self.at(start), len, Advice::LinuxDoDump);
        }
    }

    /// Returns the length of the mapping in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len
    }

    /// Returns a pointer to the first byte of the mapping.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.0.start
    }

    /// Returns a pointer to the byte at `offset`.
    ///
    /// # Panics
    /// Panics if the offset is not inside the mapping.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len(), "offset outside the mapping");
        // SAFETY: the offset is inside the mapping (the invariant of `Mapped`).
        unsafe { self.base().add(offset) }
    }

    fn place(&self) -> fork::Place {
        (self.base().as_ptr().expose_provenance(), self.len())
    }
}

impl Mapped {
    /// Finds `len` free bytes of address space by mapping them without access.
    fn place(len: usize) -> Result<Self, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: without a fixed address the kernel maps where nothing else is.
        let page =
            unsafe { mmap_anonymous(ptr::null_mut(), page_size(), ProtFlags::empty(), flags) }?;
        let mut mapped = Self::from_raw(page.cast())?;
        unlock(mapped.start)?;
        let page = mapped.start.as_ptr().cast();
        // SAFETY: the page is this function's alone, and nothing points to it.
        let start = unsafe { mremap(page, mapped.len, len, MremapFlags::MAYMOVE) }?;
        mapped.start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        mapped.len = len;
        Ok(mapped)
    }

    /// Maps the first page of a file at `address`, without access. Fails if something is mapped
    /// there.
    fn page(fd: BorrowedFd<'_>, address: *mut u8, flags: MapFlags) -> Result<Self, Errno> {
        let (address, flags) = (address.cast(), flags | MapFlags::FIXED_NOREPLACE);
        // SAFETY: the kernel maps where nothing else is. Before 4.17 it takes the address as a
        // hint.
        let map = || unsafe { mmap(address, page_size(), ProtFlags::empty(), flags, fd, 0) };
        Self::from_raw(retry_on_intr(map)?.cast())
    }

    /// Returns the mapping of a page that was just mapped.
    fn from_raw(start: *mut u8) -> Result<Self, Errno> {
        // INVARIANT: nobody else knows of the page.
        Ok(Self { start: NonNull::new(start).ok_or(Errno::NOMEM)?, len: page_size() })
    }

    /// Grows the mapping to `len` bytes in place.
    fn grow(&mut self, len: usize) -> Result<(), Errno> {
        let start = self.start.as_ptr().cast();
        // SAFETY: the mapping stays where it is, and the kernel adds only addresses that are free.
        unsafe { mremap(start, self.len, len, MremapFlags::empty()) }?;
        self.len = len;
        Ok(())
    }

    fn unmap(&mut self) {
        if self.len > 0 {
            // SAFETY: nothing else unmaps the range, and a pointer into it is used only while the
            // memory that owns this value lives. It can't fail, since the whole range is mapped.
            let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
            self.len = 0;
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.unmap();
    }
}

/// Unlocks a page that was just mapped. It is locked if the process called mlockall(2).
fn unlock(page: NonNull<u8>) -> Result<(), Errno> {
    // SAFETY: the page is mapped; whether it is locked changes no byte.
    unsafe { munlock(page.as_ptr().cast(), page_size()) }
}

/// Gives advice that changes no byte and ends no mapping.
fn advise(start: NonNull<u8>, len: usize, advice: Advice) -> Result<(), Errno> {
    // SAFETY: the range is mapped, and the advice is one of those that this module gives: none
    // changes a byte that this process sees, or unmaps it.
    unsafe { madvise(start.as_ptr().cast(), len, advice) }
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Map {}

// SAFETY: a shared reference gives out pointers only, and it takes unsafe code to use them.
unsafe impl Sync for Map {}
