//! The entries of the workloads: their words follow from a number.

use std::array;
use std::fmt::Debug;

use bytemuck::{Pod, Zeroable};
use kho_block::Entry;
use kho_block::abi::{DEFAULT_BLOCK_SIZE, count_per_block};

/// An entry that can be made from a number, and summed up.
pub trait Sample: Entry + Debug + PartialEq + Send + Sync {
    /// Number of entries that fit in a block of 4 KiB.
    const PER_BLOCK: usize = count_per_block(DEFAULT_BLOCK_SIZE, size_of::<Self>());

    /// Returns the entry whose words follow from a number.
    fn numbered(number: u64) -> Self;

    /// Returns the wrapping sum of all words.
    fn digest(&self) -> u64;

    /// Returns one of the words, which differs from number to number.
    fn tag(&self) -> u64;

    /// Returns whether an address is in the range that the entry describes.
    fn holds(&self, address: u64) -> bool;
}

/// An entry of four `u64`; 127 fit in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
pub struct MemorySlot {
    /// Address for the guest.
    pub guest: u64,
    /// Address on the host.
    pub host: u64,
    /// Length in bytes.
    pub len: u64,
    /// Flags, without a meaning here.
    pub flags: u64,
}

impl Sample for MemorySlot {
    #[inline]
    fn numbered(number: u64) -> Self {
        Self { guest: number << 21, host: !number, len: 1 << 21, flags: number & 3 }
    }

    #[inline]
    fn digest(&self) -> u64 {
        self.guest.wrapping_add(self.host).wrapping_add(self.len).wrapping_add(self.flags)
    }

    #[inline]
    fn tag(&self) -> u64 {
        self.host
    }

    #[inline]
    fn holds(&self, address: u64) -> bool {
        self.guest <= address && address - self.guest < self.len
    }
}

/// An entry of 80 bytes, as LUO's sessions have; 51 fit in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
pub struct Bytes80 {
    /// Consecutive numbers.
    pub words: [u64; 10],
}

impl Sample for Bytes80 {
    #[inline]
    fn numbered(number: u64) -> Self {
        Self { words: array::from_fn(|position| number.wrapping_add(position as u64)) }
    }

    #[inline]
    fn digest(&self) -> u64 {
        self.words.iter().fold(0, |sum, word| sum.wrapping_add(*word))
    }

    #[inline]
    fn tag(&self) -> u64 {
        self.words[0]
    }

    #[inline]
    fn holds(&self, address: u64) -> bool {
        self.words[0] == address
    }
}

/// Returns lengths at the edges: none, one, and those around one and two full blocks.
#[cfg(test)]
pub(crate) fn special_lens<T: Sample>() -> [usize; 8] {
    let full = T::PER_BLOCK;
    [0, 1, full - 1, full, full + 1, 2 * full, 2 * full + 1, 3000]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums_all_words<T: Sample>(size: usize, per_block: usize) {
        let mut entry = T::numbered(77);
        assert_eq!((size_of::<T>(), T::PER_BLOCK), (size, per_block));
        assert_ne!(entry.tag(), T::numbered(78).tag());
        let before = entry.digest();
        for word in bytemuck::cast_slice_mut::<_, u64>(bytemuck::bytes_of_mut(&mut entry)) {
            *word = word.wrapping_add(1);
        }
        assert_eq!(entry.digest().wrapping_sub(before), size as u64 / 8);
    }

    #[test]
    fn digests_have_a_part_of_every_word() {
        sums_all_words::<MemorySlot>(32, 127);
        sums_all_words::<Bytes80>(80, 51);
    }
}
