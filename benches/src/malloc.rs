//! What one contender leaves in the allocator must not serve the next.
#![allow(unsafe_code)]

/// From this size on an allocation comes fresh from the system, and goes back when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const FRESH_FROM: std::ffi::c_int = 1 << 20;

/// Makes every large allocation a new mapping.
///
/// glibc keeps up to 64 MiB of what was freed. A `Vec` that comes after a set would lie in pages
/// that are there already, and huge where the set had asked for such: it would be measured in the
/// memory of another. What was freed in many small pieces may still serve a large one.
///
/// # Panics
/// The allocator refuses the option, which no glibc does.
pub fn allocate_large_ones_afresh() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for option in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: the function takes any option and value; what is allocated stays as it is.
        let taken = unsafe { libc::mallopt(option, FRESH_FROM) };
        assert_eq!(taken, 1, "the allocator does not take the option");
    }
}
