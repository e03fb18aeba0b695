//! The entries that are measured: five sizes, whose words follow from a number.

use std::array;
use std::fmt::Debug;

use bytemuck::{Pod, Zeroable};
use kho_block::Entry;
use kho_block::abi::{DEFAULT_BLOCK_SIZE, count_per_block};

/// An entry that can be made from a number, and summed up.
pub trait Sample: Entry + Debug + PartialEq + Send + Sync {
    /// How many fit in a block of 4 KiB.
    const PER_BLOCK: usize = count_per_block(DEFAULT_BLOCK_SIZE, size_of::<Self>());

    /// The entry whose words follow from a number.
    fn numbered(number: u64) -> Self;

    /// The wrapping sum of all its words.
    fn digest(&self) -> u64;

    /// One of its words, which differs from number to number.
    fn tag(&self) -> u64;

    /// Whether an address is in what the entry stands for.
    fn holds(&self, address: u64) -> bool;
}

/// An entry of four `u64`; 127 fit in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
pub struct MemorySlot {
    /// Where the guest sees it.
    pub guest: u64,
    /// Where the host has it.
    pub host: u64,
    /// Its length.
    pub len: u64,
    /// Its flags.
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

macro_rules! words {
    ($($(#[$attr:meta])* $name:ident($words:literal);)+) => {$(
        $(#[$attr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
        #[repr(C)]
        pub struct $name {
            /// The words.
            pub words: [u64; $words],
        }

        impl Sample for $name {
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
    )+};
}

words! {
    /// An entry of 8 bytes; 510 fit in a block.
    Bytes8(1);
    /// An entry of 64 bytes, as LUO's files are; 63 fit in a block.
    Bytes64(8);
    /// An entry of 80 bytes, as LUO's sessions are; 51 fit in a block.
    Bytes80(10);
    /// An entry of 512 bytes; 7 fit in a block.
    Bytes512(64);
}

/// Every length that is special: none, one, and all around a full block and two of them.
#[cfg(test)]
pub(crate) fn special_lens<T: Sample>() -> [usize; 8] {
    let full = T::PER_BLOCK;
    [0, 1, full - 1, full, full + 1, 2 * full, 2 * full + 1, 3000]
}

/// Calls a function with each size of entry.
#[cfg(test)]
macro_rules! for_each_size {
    ($function:ident($($arg:expr),*)) => {
        $function::<$crate::Bytes8>($($arg),*);
        $function::<$crate::MemorySlot>($($arg),*);
        $function::<$crate::Bytes64>($($arg),*);
        $function::<$crate::Bytes80>($($arg),*);
        $function::<$crate::Bytes512>($($arg),*);
    };
}
#[cfg(test)]
pub(crate) use for_each_size;

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
        sums_all_words::<Bytes8>(8, 510);
        sums_all_words::<MemorySlot>(32, 127);
        sums_all_words::<Bytes64>(64, 63);
        sums_all_words::<Bytes80>(80, 51);
        sums_all_words::<Bytes512>(512, 7);
    }
}
