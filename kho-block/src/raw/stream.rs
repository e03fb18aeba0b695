//! Copies that go past the caches, for more bytes than they hold.

use core::ptr::NonNull;

/// From so many bytes on a copy goes past the caches: it would push out whatever is in them, and
/// have each line of the target fetched only to be overwritten.
pub(super) const LARGE: usize = 16 << 20;

#[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
const CACHE_LINE: usize = 64;

/// Copies `len` bytes past the caches, where the processor can. What is stored after the call is seen
/// after the copy.
///
/// # Safety
/// `from` is valid for reads of `len` bytes, `to` for writes, and the two do not overlap.
pub(super) unsafe fn copy(from: NonNull<u8>, to: NonNull<u8>, len: usize) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
    {
        use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

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
        // A release store does not wait for such stores, this does (I3).
        // SAFETY: the build has the instruction.
        unsafe { _mm_sfence() };
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
                unsafe { copy(from, to, len) };
                assert_eq!(target[start..start + len], source[start * 3..start * 3 + len]);
                assert!(
                    target[..start].iter().chain(&target[start + len..]).all(|byte| *byte == 0)
                );
            }
        }
    }
}
