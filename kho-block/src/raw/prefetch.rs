//! Prefetching, a hint to the processor.

/// Prefetches the cache line at `pointer`, which need not be valid. Only speed depends on it.
#[inline(always)]
pub(super) fn prefetch(pointer: *const u8) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse", not(miri)))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and never faults, whatever the address; the build has
        // the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer.cast()) };
    }
    let _ = pointer;
}
