//! The bytes the kernel defines: header, sizes, limits.
//!
//! Source: Linux 7.2, `include/linux/kho/abi/block.h` and `kernel/liveupdate/kho_block.c`.

use bytemuck::{Pod, Zeroable};

use crate::addr::PhysAddr;

/// The 16 bytes at the start of every block, in the byte order of the machine.
///
/// C: `struct kho_block_header_ser`.
#[doc(alias = "kho_block_header_ser")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BlockHeader {
    /// Address of the next block; [`PhysAddr::NULL`] in the last one.
    pub next: PhysAddr,
    /// How many entries follow.
    pub count: u64,
}

/// Size of [`BlockHeader`] in bytes. Entries start at this offset.
pub const HEADER_SIZE: usize = size_of::<BlockHeader>();

/// Size of a block in bytes where pages have 4 KiB: x86-64, and arm64 unless configured otherwise.
#[doc(alias = "KHO_BLOCK_SIZE")]
pub const DEFAULT_BLOCK_SIZE: usize = 4096;

/// The most blocks the kernel follows in one chain (`KHO_MAX_BLOCKS`).
///
/// 10,000 blocks are 40 MiB, or 1.27 million entries of 32 bytes.
#[doc(alias = "KHO_MAX_BLOCKS")]
pub const DEFAULT_BLOCK_LIMIT: usize = 10_000;

/// The largest alignment of an entry in bytes: what follows a 16-byte header is aligned to 16.
pub const MAX_ENTRY_ALIGN: usize = HEADER_SIZE;

/// How many entries of `entry_size` bytes fit in a block of `block_size` bytes; 0 if none does
/// or `entry_size` is 0.
///
/// ```
/// use kho_block::abi::count_per_block;
///
/// assert_eq!(count_per_block(4096, 32), 127);
/// assert_eq!(count_per_block(4096, 80), 51);
/// assert_eq!(count_per_block(4096, 64), 63);
/// ```
#[must_use]
pub const fn count_per_block(block_size: usize, entry_size: usize) -> usize {
    if entry_size == 0 || block_size < HEADER_SIZE {
        0
    } else {
        (block_size - HEADER_SIZE) / entry_size
    }
}

/// [`count_per_block`] for `T`, refusing at compile time what can't be stored.
///
/// # Panics
/// In constant evaluation, so as a compile error: `T` has no size, does not fit in a block or is
/// aligned over [`MAX_ENTRY_ALIGN`]; or `block_size` is not a power of two.
#[cfg(feature = "alloc")]
pub(crate) const fn checked_count_per_block<T>(block_size: usize) -> usize {
    assert!(block_size.is_power_of_two(), "a block size is a power of two");
    assert!(block_size > HEADER_SIZE, "a block is larger than its header of 16 bytes");
    assert!(size_of::<T>() != 0, "an entry without size can't be stored in a block");
    assert!(align_of::<T>() <= MAX_ENTRY_ALIGN, "an entry is aligned to at most 16 bytes");
    let count = count_per_block(block_size, size_of::<T>());
    assert!(count != 0, "the entry does not fit in a block after its header of 16 bytes");
    count
}

const _: () = {
    assert!(HEADER_SIZE == 16);
    assert!(core::mem::offset_of!(BlockHeader, next) == 0);
    assert!(core::mem::offset_of!(BlockHeader, count) == 8);
    assert!(align_of::<BlockHeader>() == 8);
};
