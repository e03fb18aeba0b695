//! A mapped file that grows.
//!
//! The range to add is planned first, and then gets its memory. H5: the success of an advisory call
//! proves nothing. Every byte of a block is allocated by fallocate(2), even after `MADV_COLLAPSE`
//! reports a huge page: the kernel also reports success if it did nothing.

use core::ops::Range;

use rustix::fd::OwnedFd;
use rustix::fs::ftruncate;
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{Advice, madvise};

use super::file;
use super::map::SharedMap;
use crate::error::AllocErrorKind;
use crate::memory::page_size::huge_page_size;

/// The smallest step that a file grows by, in bytes.
const LEAST_GROWTH: usize = 64 << 10;

/// A large file grows to a multiple of this number of bytes if there are no huge pages.
const STEP_WITHOUT_HUGE_PAGES: usize = 2 << 20;

/// A file is large if it is longer than a huge page divided by this: longer than 256 KiB for huge
/// pages of 2 MiB.
const LARGE_FROM: usize = 8;

/// The advice to make a huge page (Linux 6.1, `include/uapi/asm-generic/mman-common.h`). The number
/// is the same on every architecture.
const MADV_COLLAPSE: libc::c_int = 25;

/// A file of whole blocks that is mapped with room to grow.
pub(super) struct GrowingFile<const BLOCK_SIZE: usize> {
    map: SharedMap,
    fd: OwnedFd,
}

impl<const BLOCK_SIZE: usize> GrowingFile<BLOCK_SIZE> {
    pub(super) const fn new(fd: OwnedFd, map: SharedMap) -> Self {
        Self { map, fd }
    }

    pub(super) const fn map(&self) -> &SharedMap {
        &self.map
    }

    /// Unmaps the file and returns its descriptor.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Allocates memory for these bytes of the file, unless they have it.
    pub(super) fn fill(&self, bytes: Range<usize>) -> Result<(), AllocErrorKind> {
        file::allocate(&self.fd, bytes.start as u64..bytes.end as u64).map_err(why_not)
    }

    /// Returns the number of blocks of a hole to fill at once if `wanted` blocks are needed.
    pub(super) fn plan_fill(wanted: usize) -> usize {
        wanted.clamp(LEAST_GROWTH / BLOCK_SIZE, STEP_WITHOUT_HUGE_PAGES / BLOCK_SIZE).max(1)
    }

    /// Returns the bytes to add to a file of `len` bytes that needs `wanted` more blocks.
    ///
    /// # Errors
    /// Returns an error if there is no room for a block in the mapping, or if the process's limit
    /// allows none.
    pub(super) fn plan_growth(
        &self,
        len: usize,
        wanted: usize,
    ) -> Result<Range<usize>, AllocErrorKind> {
        let limit = usize::try_from(file::len_limit()).unwrap_or(usize::MAX);
        let step = huge_page_size().unwrap_or(STEP_WITHOUT_HUGE_PAGES).max(BLOCK_SIZE);
        let largest = self.map.len().min(limit) / BLOCK_SIZE * BLOCK_SIZE;
        let end = planned_end(len, wanted.saturating_mul(BLOCK_SIZE), step).min(largest);
        if end > len {
            Ok(len..end)
        } else if self.map.len() - len < BLOCK_SIZE {
            Err(AllocErrorKind::Full)
        } else {
            Err(AllocErrorKind::FileSizeLimit)
        }
    }

    /// Adds the planned bytes to the file, or fewer if the system is short of memory. Returns the
    /// range that was added.
    pub(super) fn grow(&self, planned: Range<usize>) -> Result<Range<usize>, AllocErrorKind> {
        let has_huge_page = self.collapse(planned.end);
        let (start, mut len) = (planned.start, planned.end - planned.start);
        while let Err(errno) = file::allocate(&self.fd, start as u64..(start + len) as u64) {
            if len == BLOCK_SIZE || !matches!(errno, Errno::NOMEM | Errno::NOSPC) {
                return Err(why_not(errno));
            }
            len = (len / 2).next_multiple_of(BLOCK_SIZE);
        }
        if !has_huge_page {
            let address = self.map.at(start).as_ptr().cast();
            // SAFETY: the range is inside the mapping and the file; populating changes no byte.
            // Only speed depends on the result.
            let _ = unsafe { madvise(address, len, Advice::LinuxPopulateWrite) };
        }
        let added = start..start + len;
        self.map.dump(added.clone());
        Ok(added)
    }

    /// Grows the file to `end` and asks for a huge page just before it. Returns whether the system
    /// reports one. There can't be one if `end` is not the end of a huge page.
    fn collapse(&self, end: usize) -> bool {
        let Some(size) = huge_page_size() else { return false };
        if end % size != 0 || BLOCK_SIZE > size {
            return false;
        }
        let start = end - size;
        // The kernel makes a huge page of small ones, and needs at least one.
        let one = self.fill(start..start + BLOCK_SIZE);
        if one.is_err() || retry_on_intr(|| ftruncate(&self.fd, end as u64)).is_err() {
            return false;
        }
        // SAFETY: the range is inside the mapping and the file; collapsing changes no byte.
        unsafe { libc::madvise(self.map.at(start).as_ptr().cast(), size, MADV_COLLAPSE) == 0 }
    }
}

/// Returns the length to which a file of `len` bytes that needs `wanted` more should grow.
///
/// A small file doubles, or grows by `wanted` if that is more. A large one grows to the next
/// multiple of `step`.
fn planned_end(len: usize, wanted: usize, step: usize) -> usize {
    let doubled = len.saturating_add(len.max(wanted).max(LEAST_GROWTH));
    if doubled <= step / LARGE_FROM { doubled } else { (len / step + 1).saturating_mul(step) }
}

/// Converts the error number of fallocate(2) to the reason that memory could not be allocated.
fn why_not(errno: Errno) -> AllocErrorKind {
    match errno {
        Errno::PERM => AllocErrorKind::Sealed,
        Errno::FBIG => AllocErrorKind::FileSizeLimit,
        _ => AllocErrorKind::OutOfMemory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;

    #[test]
    fn small_files_double_and_large_ones_take_huge_pages() {
        for (len, wanted, end) in [
            (4 * KIB, 4 * KIB, 68 * KIB),
            (68 * KIB, 4 * KIB, 136 * KIB),
            (4 * KIB, 200 * KIB, 204 * KIB),
            (128 * KIB, 4 * KIB, 256 * KIB),
            (136 * KIB, 4 * KIB, 2 * MIB),
            (4 * KIB, 300 * KIB, 2 * MIB),
            (2 * MIB, 4 * KIB, 4 * MIB),
            (2 * MIB, usize::MAX, 4 * MIB),
            (3 * MIB, 4 * KIB, 4 * MIB),
        ] {
            assert_eq!(planned_end(len, wanted, 2 * MIB), end, "{len} bytes, {wanted} wanted");
        }
        // Blocks as large as the step are added one by one.
        assert_eq!(planned_end(64 * MIB, 64 * MIB, 64 * MIB), 128 * MIB);
        assert_eq!(planned_end(usize::MAX - 100, 1, 2 * MIB), usize::MAX);
    }
}
