//! The kernel's definitions: the header of a block, sizes and limits.
//!
//! # References
//! Linux 7.2, `include/linux/kho/abi/block.h` and `kernel/liveupdate/kho_block.c`.

use bytemuck::{Pod, Zeroable};

use crate::addr::PhysAddr;

/// The header of a block: its first 16 bytes, in the byte order of the machine.
///
/// In C it is `struct kho_block_header_ser`.
#[doc(alias = "kho_block_header_ser")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct BlockHeader {
    /// Address of the next block, or [`PhysAddr::NULL`] in the last one.
    pub next: PhysAddr,
    /// Number of entries in the block.
    pub count: u64,
}

/// Size of a block's header in bytes, which is also the offset of the first entry.
pub const HEADER_SIZE: usize = size_of::<BlockHeader>();

/// Size of a block in bytes on machines with pages of 4 KiB: x86-64, and arm64 unless it is
/// configured otherwise.
#[doc(alias = "KHO_BLOCK_SIZE")]
pub const DEFAULT_BLOCK_SIZE: usize = 4096;

/// The largest size of a block in bytes: 64 MiB.
///
/// No page of Linux is larger than 256 KiB (`PAGE_SIZE_256KB`, `arch/Kconfig`), and no huge page of
/// a kernel with pages of 4 or 16 KiB is larger than 32 MiB. With this bound, sums and distances
/// over a few blocks can't overflow. Larger blocks do not compile:
///
/// ```compile_fail,E0080
/// # use kho_block::{ChainWalk, PhysAddr, ReadError, ReadMemory, abi::MAX_BLOCK_SIZE};
/// struct Memory;
///
/// impl ReadMemory for Memory {
///     const BLOCK_SIZE: usize = 2 * MAX_BLOCK_SIZE;
///     // …
/// #   fn read(&self, _: PhysAddr, _: &mut [u8]) -> Result<(), ReadError> { Ok(()) }
/// }
///
/// let chain = ChainWalk::new(&Memory, PhysAddr::NULL, 8);
/// ```
pub const MAX_BLOCK_SIZE: usize = 64 << 20;

/// Returns whether blocks can have this size in bytes: a power of two that is larger than the
/// header and not larger than [`MAX_BLOCK_SIZE`].
///
/// ```
/// use kho_block::abi::{MAX_BLOCK_SIZE, is_block_size};
///
/// assert!(is_block_size(4096) && is_block_size(32) && is_block_size(MAX_BLOCK_SIZE));
/// assert!(!is_block_size(0) && !is_block_size(16) && !is_block_size(4095));
/// assert!(!is_block_size(2 * MAX_BLOCK_SIZE));
/// ```
#[must_use]
pub const fn is_block_size(size: usize) -> bool {
    size.is_power_of_two() && size > HEADER_SIZE && size <= MAX_BLOCK_SIZE
}

/// The largest number of blocks that the kernel follows in one chain (`KHO_MAX_BLOCKS`).
///
/// 10,000 blocks are 40 MiB, or 1.27 million entries of 32 bytes.
#[doc(alias = "KHO_MAX_BLOCKS")]
pub const DEFAULT_BLOCK_LIMIT: usize = 10_000;

/// The largest alignment of an entry in bytes: 16, since entries follow a header of 16 bytes.
pub const MAX_ENTRY_ALIGN: usize = HEADER_SIZE;

/// Returns the number of entries of `entry_size` bytes that fit in a block of `block_size` bytes.
///
/// It is 0 if none fits, or if `entry_size` is 0.
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

/// Checks at compile time that blocks can [have this size](is_block_size).
///
/// # Panics
/// Panics if they can't. In constant evaluation that is a compile error.
pub(crate) const fn assert_block_size(block_size: usize) {
    assert!(is_block_size(block_size), "a block size is a power of two from 32 bytes to 64 MiB");
}

/// Returns the largest number of blocks, of up to `count_per_block` entries, whose entries a
/// `usize` can count.
///
/// Within this bound no sum of counts and no product of a position overflows. Only 32-bit machines
/// come near it.
pub(crate) const fn countable_blocks(count_per_block: usize) -> usize {
    match usize::MAX.checked_div(count_per_block) {
        Some(blocks) => blocks,
        None => usize::MAX,
    }
}

const _: () = {
    assert!(HEADER_SIZE == 16);
    assert!(core::mem::offset_of!(BlockHeader, next) == 0);
    assert!(core::mem::offset_of!(BlockHeader, count) == 8);
    // Only the offsets matter. The alignment is 4 on 32-bit x86, and 8 elsewhere.
    assert!(MAX_ENTRY_ALIGN % align_of::<BlockHeader>() == 0);
};

/// Blocks that are too large do not compile, in any memory or set.
///
/// ```compile_fail,E0080
/// # use kho_block::{*, abi::MAX_BLOCK_SIZE, bytemuck::{Pod, Zeroable}};
/// # #[derive(Clone, Copy, Pod, Zeroable, Entry)] #[repr(C)] struct Byte(u8);
/// # struct Memory;
/// # impl ReadMemory for Memory {
/// #     const BLOCK_SIZE: usize = 2 * MAX_BLOCK_SIZE;
/// #     fn read(&self, _: PhysAddr, _: &mut [u8]) -> Result<(), ReadError> { Ok(()) }
/// # }
/// let set = ForeignSet::<Byte, _>::restore(&Memory, SetHead::EMPTY);
/// ```
///
/// ```compile_fail,E0080
/// # use kho_block::{*, abi::MAX_BLOCK_SIZE, bytemuck::{Pod, Zeroable}};
/// # #[derive(Clone, Copy, Pod, Zeroable, Entry)] #[repr(C)] struct Byte(u8);
/// # struct Memory;
/// # impl ReadMemory for Memory {
/// #     const BLOCK_SIZE: usize = 2 * MAX_BLOCK_SIZE;
/// #     fn read(&self, _: PhysAddr, _: &mut [u8]) -> Result<(), ReadError> { Ok(()) }
/// # }
/// # impl StableMemory for Memory {
/// #     fn lend(&self, _: PhysAddr, _: usize) -> Result<&[u8], ReadError> { Ok(&[]) }
/// # }
/// let view = SetView::<Byte, _>::restore(&Memory, SetHead::EMPTY);
/// ```
///
/// ```compile_fail,E0080
/// # use kho_block::{*, abi::MAX_BLOCK_SIZE};
/// let memory = HeapMemory::<{ 2 * MAX_BLOCK_SIZE }>::new_with_block_size();
/// ```
///
/// ```compile_fail,E0080
/// # use kho_block::{*, abi::MAX_BLOCK_SIZE};
/// let memory = DumpMemory::<{ 2 * MAX_BLOCK_SIZE }>::new_with_block_size();
/// ```
///
/// ```compile_fail,E0080
/// # use kho_block::{*, abi::MAX_BLOCK_SIZE};
/// let memory = SliceMemory::<{ 2 * MAX_BLOCK_SIZE }>::new_with_block_size(PhysAddr::NULL, &[]);
/// ```
///
/// ```compile_fail,E0080
/// # use kho_block::{*, abi::MAX_BLOCK_SIZE};
/// let memory = MemfdMemory::<{ 2 * MAX_BLOCK_SIZE }>::with_max_len("", 0);
/// ```
///
/// ```compile_fail,E0080
/// # use kho_block::{*, abi::MAX_BLOCK_SIZE};
/// # let fd = MemfdMemory::new("").unwrap().into_fd();
/// let memory = SealedMemfd::<{ 2 * MAX_BLOCK_SIZE }>::open_with_block_size(fd);
/// ```
///
/// The largest blocks compile:
///
/// ```
/// # use kho_block::{*, abi::MAX_BLOCK_SIZE, bytemuck::{Pod, Zeroable}};
/// # #[derive(Clone, Copy, Pod, Zeroable, Entry)] #[repr(C)] struct Byte(u8);
/// let memory = SliceMemory::<MAX_BLOCK_SIZE>::new_with_block_size(PhysAddr::NULL, &[]);
/// assert_eq!(ChainWalk::new(&memory, PhysAddr::NULL, 8).count(), 0);
/// assert!(ForeignSet::<Byte, _>::restore(&memory, SetHead::EMPTY).unwrap().is_empty());
/// assert!(SetView::<Byte, _>::restore(&memory, SetHead::EMPTY).unwrap().is_empty());
/// let memory = HeapMemory::<MAX_BLOCK_SIZE>::new_with_block_size();
/// assert_eq!(BlockSet::<Byte, _>::new_in(&memory).capacity(), 0);
/// let memory = DumpMemory::<MAX_BLOCK_SIZE>::new_with_block_size();
/// let memory = MemfdMemory::<MAX_BLOCK_SIZE>::with_max_len("", MAX_BLOCK_SIZE).unwrap();
/// let fd = memory.seal().unwrap().into_fd();
/// let memory = SealedMemfd::<MAX_BLOCK_SIZE>::open_with_block_size(fd);
/// ```
#[cfg(all(doctest, feature = "memfd", feature = "derive", target_os = "linux"))]
struct LargeBlocks;
