//! Code that the fuzz targets share: an entry, small blocks, and input that is read piece by piece.

use bytemuck::{Pod, Zeroable};
use kho_block::Entry;

/// Size of a block. Blocks are small, so that short inputs make long chains.
pub const BLOCK: usize = 128;
/// Number of entries of 16 bytes that fit in a block.
pub const PER_BLOCK: usize = 7;

/// An entry of two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
pub struct Item {
    /// Number of the entry.
    pub id: u64,
    /// A hash of the number.
    pub check: u64,
}

impl Item {
    /// Creates the entry with this number.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { id, check: id.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }
}

/// The fuzzer's bytes, which are taken from the front. After the end there are zeros.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// Takes the next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Takes the next byte, as an index below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// Takes the next eight bytes.
    pub fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// Returns whether all bytes have been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
