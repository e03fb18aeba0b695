//! Sizes of the machine's pages, asked for and not assumed.

use std::fs;
use std::sync::OnceLock;

use rustix::param::page_size;

/// The largest huge page that is worth placing memory for: that of pages of 64 KiB.
const MOST: usize = 512 << 20;

/// Returns the size in bytes of the huge pages that the kernel makes of small ones, or `None` where it
/// makes none: 2 MiB where pages have 4 KiB, 32 MiB for 16 KiB, 512 MiB for 64 KiB.
///
/// Source: Linux, `Documentation/admin-guide/mm/transhuge.rst`.
pub(super) fn huge_page_size() -> Option<usize> {
    static SIZE: OnceLock<Option<usize>> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?;
        let size: usize = text.trim().parse().ok()?;
        (size.is_power_of_two() && size > page_size() && size <= MOST).then_some(size)
    })
}
