//! Copying entries into slots: fast, and ordered with the stores around it.
//!
//! Up to [`LARGE`] bytes, entries are copied by `memcpy`, a [piece](PIECE) at a time. The pieces
//! are small since glibc copies 2 KiB and more with `rep movsb`, which is slow if the target is not
//! aligned to a cache line, as entries never are.
//!
//! More bytes than that do not fit in the caches anyway. A plain copy would evict what is in them,
//! and would fetch each line of the target only to overwrite it. So they are *streamed*: stored
//! past the caches, a whole line at a time.
//!
//! ```text
//!  target:      ┌──────┬─────────────────────────────┬──────┐
//!               │ head │ whole cache lines           │ tail │
//!               └──────┴─────────────────────────────┴──────┘
//!                memcpy   16 bytes at a time, streamed memcpy
//! ```
//!
//! Streaming gives up order. On x86-64 all stores but streamed ones are seen in program order.
//! Another process may see a streamed store before an older store, such as the one that cut off the
//! slots it fills, or after a younger one, such as the one that publishes them. Either would break
//! I3. The release stores that keep plain stores in order do not order streamed ones, but a fence
//! (`sfence`) does. So there is one before the first streamed copy and one after each:
//!
//! ```text
//!  unlink the slots;  sfence;  stream into the slots;  sfence;  publish the slots
//! ```

use crate::entry::Entry;

/// From this many bytes on, a copy is streamed.
const LARGE: usize = 16 << 20;

/// Number of bytes copied at a time by a copy that is not streamed.
const PIECE: usize = 1024;

/// From this many bytes on, glibc's `memcpy` and `memset` may stream too, without a fence before it
/// (`minimum_non_temporal_threshold`, `sysdeps/x86/dl-cacheinfo.h`).
const LARGE_IN_LIBC: usize = 16 << 10;

/// How slices are copied into slots.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Copying {
    InPieces,
    Streamed,
}

impl Copying {
    /// Chooses how to copy `len` bytes in all. Earlier stores are seen before the bytes that are
    /// copied after this call.
    #[inline]
    pub(super) fn begin(len: usize) -> Self {
        if len < LARGE {
            return Self::InPieces;
        }
        fence();
        Self::Streamed
    }

    /// Copies entries to the same number of slots. A release store after the call is seen after the
    /// copy.
    #[inline]
    pub(super) fn copy_into<T: Entry>(self, slots: &mut [T], entries: &[T]) {
        match self {
            Self::InPieces => {
                let piece = const { max(PIECE / size_of::<T>(), 1) };
                for (slots, entries) in slots.chunks_mut(piece).zip(entries.chunks(piece)) {
                    slots.copy_from_slice(entries);
                }
            }
            Self::Streamed => {
                stream(bytemuck::cast_slice_mut(slots), bytemuck::cast_slice(entries));
                fence();
            }
        }
    }
}

const fn max(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

/// Orders earlier stores before later ones of the C library in blocks of `block_size` bytes. Does
/// nothing unless blocks are larger than the pages of x86-64.
#[inline]
pub(super) fn begin_in_libc(block_size: usize) {
    if block_size > LARGE_IN_LIBC {
        fence();
    }
}

/// Orders streamed stores with all others.
#[inline]
fn fence() {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
    // SAFETY: the build has the instruction.
    unsafe {
        core::arch::x86_64::_mm_sfence();
    }
}

/// Copies bytes past the caches. Both slices have the same length.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
fn stream(to: &mut [u8], from: &[u8]) {
    use core::arch::x86_64::{__m128i, _mm_stream_si128};

    const CACHE_LINE: usize = 64;
    const WORD: usize = size_of::<__m128i>();

    // Whole cache lines: a part of one would have to be fetched after all.
    let head = to.as_ptr().align_offset(CACHE_LINE).min(to.len());
    let lines = (to.len() - head) / CACHE_LINE * CACHE_LINE;
    let (to_head, to) = to.split_at_mut(head);
    let (from_head, from) = from.split_at(head);
    let (to_lines, to_tail) = to.split_at_mut(lines);
    let (from_lines, from_tail) = from.split_at(lines);
    to_head.copy_from_slice(from_head);
    for (to, from) in to_lines.chunks_exact_mut(WORD).zip(from_lines.chunks_exact(WORD)) {
        let word: __m128i = bytemuck::pod_read_unaligned(from);
        // SAFETY: the chunk is one word, borrowed exclusively, and aligned: the lines begin where a
        // cache line does.
        unsafe { _mm_stream_si128(to.as_mut_ptr().cast(), word) };
    }
    to_tail.copy_from_slice(from_tail);
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2", not(miri))))]
fn stream(to: &mut [u8], from: &[u8]) {
    to.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn streams_from_and_to_any_place() {
        let source: Vec<u8> = (1..=255).cycle().take(1024).collect();
        for start in 0..65 {
            for len in 0..260 {
                let mut target = [0_u8; 384];
                stream(&mut target[start..start + len], &source[start * 3..][..len]);
                assert_eq!(target[start..start + len], source[start * 3..start * 3 + len]);
                let mut around = target[..start].iter().chain(&target[start + len..]);
                assert!(around.all(|byte| *byte == 0));
            }
        }
    }
}
