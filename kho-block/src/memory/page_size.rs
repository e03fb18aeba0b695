//! The sizes of the machine's pages.

use core::ops::RangeInclusive;
use std::fs;
use std::sync::OnceLock;

/// Sizes of huge pages that a file may grow by, in bytes. If pages have 64 KiB, a huge page has 512
/// MiB, which is too much.
const USABLE: RangeInclusive<usize> = 64 << 10..=32 << 20;

/// Returns the size in bytes of the kernel's transparent huge pages: 2 MiB if pages have 4 KiB, 32
/// MiB if they have 16 KiB.
///
/// Returns `None` if the kernel has none, or if they are too large for a file to grow by.
///
/// # References
///
/// Linux, `Documentation/admin-guide/mm/transhuge.rst`.
pub(super) fn huge_page_size() -> Option<usize> {
    static SIZE: OnceLock<Option<usize>> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?;
        let size: usize = text.trim().parse().ok()?;
        (size.is_power_of_two() && USABLE.contains(&size)).then_some(size)
    })
}

/// Returns the size of the machine's pages in bytes: sysconf(3).
// Not by rustix, which reads the auxiliary vector: valgrind hides it.
#[cfg(feature = "memfd")]
pub(super) fn page_size() -> usize {
    // SAFETY: the call reads a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("pages have a size")
}
