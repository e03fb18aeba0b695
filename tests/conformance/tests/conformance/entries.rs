//! Entries of many sizes, filled from a seed.

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

/// Returns an entry made from a seed. None of its bytes is 0, so a byte that was not written shows.
pub(crate) fn sample<T: Pod>(seed: u64) -> T {
    let mut entry = T::zeroed();
    fill(seed, bytemuck::bytes_of_mut(&mut entry));
    entry
}

/// Returns `len` bytes made from a seed, none of them 0.
pub(crate) fn fill(seed: u64, bytes: &mut [u8]) {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for word in bytes.chunks_mut(8) {
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let filled = state.rotate_left(17) | 0x0101_0101_0101_0101;
        word.copy_from_slice(&filled.to_ne_bytes()[..word.len()]);
    }
}

/// Calls a generic function with one of many types of entries, which the first argument selects. Their
/// sizes are around divisors of 4080, 64 and 80 as in the kernel, and 1 and 4080.
macro_rules! with_entry {
    ($pick:expr, $function:ident($($arg:expr),*)) => {
        with_entry!(@match $pick, $function($($arg),*):
            Bytes<1>, Bytes<2>, Bytes<3>, Bytes<5>, Bytes<8>, Bytes<17>, Bytes<31>, Bytes<33>,
            Bytes<48>, Bytes<64>, Bytes<65>, Bytes<80>, Bytes<127>, Bytes<255>, Bytes<408>, Bytes<511>,
            Bytes<680>, Bytes<1019>, Bytes<1020>, Bytes<1021>, Bytes<1361>, Bytes<2039>, Bytes<2040>,
            Bytes<2041>, Bytes<4079>, Bytes<4080>, Words<1>, Words<4>, Words<10>, Words<510>, Wide)
    };
    (@match $pick:expr, $function:ident($($arg:expr),*): $($ty:ty),+) => {{
        let functions = [$($function::<$ty>),+];
        let pick: usize = $pick;
        functions[pick % functions.len()]($($arg),*)
    }};
}
pub(crate) use with_entry;
