//! Access to the header of a block.

use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use crate::abi::BlockHeader;

/// The header of an owned block. Each word is stored atomically: a reader sees the old value or the
/// new one (I3).
#[repr(C)]
pub(super) struct AtomicHeader {
    pub(super) next: AtomicU64,
    pub(super) count: AtomicU64,
}

const _: () = {
    assert!(size_of::<AtomicHeader>() == size_of::<BlockHeader>());
    assert!(offset_of!(AtomicHeader, next) == offset_of!(BlockHeader, next));
    assert!(offset_of!(AtomicHeader, count) == offset_of!(BlockHeader, count));
};

/// Returns a copy of a block's header.
///
/// # Safety
/// The block must be valid for reads.
#[inline]
pub(super) unsafe fn read_header(block: NonNull<u8>) -> BlockHeader {
    // SAFETY: a block starts with 16 bytes of header, which the caller promises may be read.
    // Unaligned, since a lent block is aligned for its entries only; every bit pattern is a header
    // (I5).
    unsafe { block.cast::<BlockHeader>().read_unaligned() }
}
