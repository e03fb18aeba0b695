//! What the fuzz targets share: an entry, small blocks, and input that is read piece by piece.

use bytemuck::{Pod, Zeroable};
use kho_block::Entry;

/// Small blocks, so that short inputs make long chains.
pub const BLOCK: usize = 128;
/// How many entries of 16 bytes fit.
pub const PER_BLOCK: usize = 7;

/// An entry of two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
pub struct Item {
    /// Which entry it is.
    pub id: u64,
    /// The same, mixed.
    pub check: u64,
}

impl Item {
    /// The entry with this number.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { id, check: id.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }
}

/// The fuzzer's bytes, taken from the front; zeros behind the end.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next byte, as an index below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// The next eight bytes.
    pub fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// Whether all has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
