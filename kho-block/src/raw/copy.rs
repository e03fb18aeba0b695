//! Copying entries into slots, fast, and in its place among the stores around it.
//!
//! Up to [`LARGE`] bytes, entries are copied by `memcpy`, a [piece](PIECE) at a time. The pieces
//! are small since glibc hands copies of 2 KiB and more to the processor (`rep movsb`), which is
//! slow when the target does not begin a cache line, as entries never do.
//!
//! More bytes than that do not fit in the caches anyway, and a plain copy would push out whatever
//! is in them, and fetch each line of the target only to overwrite it. So they are *streamed*:
//! stored past the caches, whole lines at a time.
//!
//! ```text
//!  target:      ┌──────┬─────────────────────────────┬──────┐
//!               │ head │ whole cache lines           │ tail │
//!               └──────┴─────────────────────────────┴──────┘
//!                memcpy   16 bytes at a time, streamed memcpy
//! ```
//!
//! Streaming has a price in order. On x86-64 all stores are seen in the order of the program but
//! streamed ones: another process may see them before an older store, the one that cut off the very
//! slots that they fill, and after a younger one, the one that publishes those slots. Either would
//! break I3, and the release stores that keep plain stores in order do nothing for streamed ones. A
//! fence (`sfence`) does. So there is one before the first streamed copy and one after each:
//!
//! ```text
//!  unlink the slots;  sfence;  stream into the slots;  sfence;  publish the slots
//! ```

use crate::entry::Entry;

/// From this many bytes on, a copy is streamed.
const LARGE: usize = 16 << 20;

/// How many bytes are copied at a time if the copy is not streamed.
const PIECE: usize = 1024;

/// From this many bytes on, glibc's `memcpy` and `memset` may stream too, without a fence before it
/// (`minimum_non_temporal_threshold`, `sysdeps/x86/dl-cacheinfo.h`).
const LARGE_IN_LIBC: usize = 16 << 10;

/// The way in which slices are copied into slots.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Copying {
    InPieces,
    Streamed,
}

impl Copying {
    /// Chooses the way for `len` bytes in all. What was stored before the call is seen before what
    /// is copied after it.
    #[inline]
    pub(super) fn begin(len: usize) -> Self {
        if len < LARGE {
            return Self::InPieces;
        }
        fence();
        Self::Streamed
    }

    /// Copies entries to slots, of which there are as many. What is stored after the call is seen
    /// after the copy, if by a release store.
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

/// Orders what was stored before the call before what the C library stores after it, in blocks of
/// `block_size` bytes. Does nothing unless they are larger than pages of x86-64.
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

/// Copies bytes past the caches, where the processor can. There are as many in both slices.
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
