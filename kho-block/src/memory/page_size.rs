//! Sizes of the machine's pages, asked for and not assumed.

use std::fs;
use std::sync::OnceLock;

/// The largest huge page that is worth placing memory for. With pages of 64 KiB one has 512 MiB.
const MOST: usize = 32 << 20;
const LEAST: usize = 64 << 10;

/// Returns the size in bytes of the huge pages that the kernel makes of small ones: 2 MiB where pages
/// have 4 KiB, 32 MiB for 16 KiB. `None` where it makes none, or such as are too large to grow a file by.
///
/// Source: Linux, `Documentation/admin-guide/mm/transhuge.rst`.
pub(super) fn huge_page_size() -> Option<usize> {
    static SIZE: OnceLock<Option<usize>> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?;
        let size: usize = text.trim().parse().ok()?;
        (size.is_power_of_two() && (LEAST..=MOST).contains(&size)).then_some(size)
    })
}

/// Returns the size in bytes of the machine's pages.
// Not by rustix, which reads what valgrind hides.
#[cfg(feature = "memfd")]
pub(super) fn page_size() -> usize {
    // SAFETY: the call reads a constant of the system's.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("pages have a size")
}
