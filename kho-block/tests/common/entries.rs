//! Entries of any size, filled from a seed.

use kho_block::Entry;
use kho_block::bytemuck::{self, Pod, Zeroable};

/// An entry of `N` bytes, aligned to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(transparent)]
pub(crate) struct Bytes<const N: usize>([u8; N]);

/// An entry of `N` words of 64 bits, aligned to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(transparent)]
pub(crate) struct Words<const N: usize>([u64; N]);

/// An entry of 16 bytes, aligned to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C, align(16))]
pub(crate) struct Wide([u8; 16]);

/// Returns an entry whose bytes are derived from the seed. Different seeds give different entries,
/// if the entry has enough bytes.
pub(crate) fn sample<T: Pod>(seed: u64) -> T {
    let mut entry = T::zeroed();
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for word in bytemuck::bytes_of_mut(&mut entry).chunks_mut(8) {
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word.copy_from_slice(&state.rotate_left(17).to_ne_bytes()[..word.len()]);
    }
    entry
}

/// Returns `count` entries from successive seeds.
pub(crate) fn samples<T: Pod>(seed: u64, count: usize) -> Vec<T> {
    (0..count as u64).map(|n| sample(seed.wrapping_add(n))).collect()
}

/// Returns the bytes of the entries in order.
pub(crate) fn bytes_of<T: Pod>(entries: &[T]) -> &[u8] {
    bytemuck::cast_slice(entries)
}
