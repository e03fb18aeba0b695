//! Copies that go past the caches, for more bytes than they hold.

use core::ptr::NonNull;

/// From so many bytes on a copy goes past the caches: it would push out whatever is in them, and
/// have each line of the target fetched only to be overwritten.
pub(super) const LARGE: usize = 16 << 20;

#[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
const CACHE_LINE: usize = 64;

/// From so many bytes on glibc's `memcpy` and `memset` may go past the caches too, without a fence before
/// it (`minimum_non_temporal_threshold`, `sysdeps/x86/dl-cacheinfo.h`).
const LARGE_IN_LIBC: usize = 16 << 10;

/// Copies past the caches that others see in their place among all other stores (I3).
///
/// On x86-64 all stores are seen in the order of the program but these: they may be seen before an
/// older store, which cut off the very slots that they fill, and after a younger one, which publishes
/// those slots. So there is a fence before the first copy, and one after each.
pub(super) struct Stream(());

impl Stream {
    /// Starts copying: what was stored before the call is seen before all that is copied.
    pub(super) fn begin() -> Self {
        fence();
        Self(())
    }

    /// Copies `len` bytes past the caches, where the processor can. What is stored after the call is
    /// seen after the copy.
    ///
    /// # Safety
    /// `from` is valid for reads of `len` bytes, `to` for writes, and the two do not overlap.
    pub(super) unsafe fn copy(&self, from: NonNull<u8>, to: NonNull<u8>, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { copy(from, to, len) };
        fence();
    }
}

/// Does what [`Stream::begin`] does, for what the C library is asked to write in blocks of `block_size`
/// bytes: nothing, unless they are larger than x86-64 has pages.
#[inline]
pub(super) fn begin_in_libc(block_size: usize) {
    if block_size > LARGE_IN_LIBC {
        fence();
    }
}

/// Orders stores past the caches, for which a release store or fence does nothing, with all others.
#[inline]
fn fence() {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
    // SAFETY: the build has the instruction.
    unsafe {
        core::arch::x86_64::_mm_sfence();
    }
}

/// Copies `len` bytes.
///
/// # Safety
/// `from` is valid for reads of `len` bytes, `to` for writes, and the two do not overlap.
unsafe fn copy(from: NonNull<u8>, to: NonNull<u8>, len: usize) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
    {
        use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};

        // Whole cache lines: a part of one would have to be fetched after all.
        let head = to.align_offset(CACHE_LINE).min(len);
        let tail = (len - head) % CACHE_LINE;
        // SAFETY: the first `head` bytes of what the caller may have copied.
        unsafe { from.copy_to_nonoverlapping(to, head) };
        for offset in (head..len - tail).step_by(size_of::<__m128i>()) {
            // SAFETY: inside the bytes that are read.
            let word = unsafe { from.add(offset) }.cast::<__m128i>();
            // SAFETY: valid for reads of as many bytes; no alignment is needed.
            let word = unsafe { _mm_loadu_si128(word.as_ptr()) };
            // SAFETY: inside the bytes that are written.
            let place = unsafe { to.add(offset) }.cast::<__m128i>();
            // SAFETY: valid for writes of as many bytes, and aligned: `head` bytes behind `to` it is.
            unsafe { _mm_stream_si128(place.as_ptr(), word) };
        }
        // SAFETY: not behind the end of the bytes that are read.
        let from = unsafe { from.add(len - tail) };
        // SAFETY: not behind the end of the bytes that are written.
        let to = unsafe { to.add(len - tail) };
        // SAFETY: the last `tail` bytes of what the caller may have copied.
        unsafe { from.copy_to_nonoverlapping(to, tail) };
    }
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2", not(miri))))]
    {
        // SAFETY: the caller's promise.
        unsafe { from.copy_to_nonoverlapping(to, len) };
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn copies_from_and_to_any_place() {
        let source: Vec<u8> = (1..=255).cycle().take(1024).collect();
        for start in 0..65 {
            for len in 0..260 {
                let mut target = [0_u8; 384];
                let from = NonNull::from(&source[start * 3..]).cast();
                let to = NonNull::from(&mut target[start..start + len]).cast();
                // SAFETY: both are inside their slices, which are different ones.
                unsafe { Stream::begin().copy(from, to, len) };
                assert_eq!(target[start..start + len], source[start * 3..start * 3 + len]);
                assert!(
                    target[..start].iter().chain(&target[start + len..]).all(|byte| *byte == 0)
                );
            }
        }
    }
}
