//! A borrowed slice as a memory, which needs no allocator.

use core::fmt;

use super::read::{ReadMemory, StableMemory};
use crate::abi::{DEFAULT_BLOCK_SIZE, assert_block_size};
use crate::addr::PhysAddr;
use crate::error::{ReadError, ReadErrorKind};

/// A memory in one borrowed slice, such as a dump, a mapping, or a file that was read.
///
/// For several pieces, use [`DumpMemory`](crate::DumpMemory).
///
/// ```
/// use kho_block::{PhysAddr, ReadMemory, SliceMemory};
///
/// let bytes = [1, 2, 3, 4];
/// let memory = SliceMemory::new(PhysAddr::new(0x1000), &bytes);
/// let mut two = [0; 2];
/// memory.read(PhysAddr::new(0x1002), &mut two)?;
/// assert_eq!(two, [3, 4]);
/// # Ok::<(), kho_block::ReadError>(())
/// ```
#[derive(Clone, Copy)]
pub struct SliceMemory<'a, const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE> {
    base: PhysAddr,
    bytes: &'a [u8],
}

impl<'a> SliceMemory<'a> {
    /// Returns a memory with the contents `bytes` from address `base` on, and blocks of 4 KiB.
    #[must_use]
    pub const fn new(base: PhysAddr, bytes: &'a [u8]) -> Self {
        Self::new_with_block_size(base, bytes)
    }
}

impl<'a, const BLOCK_SIZE: usize> SliceMemory<'a, BLOCK_SIZE> {
    /// Returns a memory with the contents `bytes` from address `base` on, and blocks of
    /// `BLOCK_SIZE` bytes.
    #[must_use]
    pub const fn new_with_block_size(base: PhysAddr, bytes: &'a [u8]) -> Self {
        const { assert_block_size(BLOCK_SIZE) };
        Self { base, bytes }
    }
}

// Without the bytes, since there may be many.
impl<const BLOCK_SIZE: usize> fmt::Debug for SliceMemory<'_, BLOCK_SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SliceMemory")
            .field("base", &self.base)
            .field("len", &self.bytes.len())
            .finish()
    }
}

impl<const BLOCK_SIZE: usize> ReadMemory for SliceMemory<'_, BLOCK_SIZE> {
    const BLOCK_SIZE: usize = BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        buf.copy_from_slice(self.lend(addr, buf.len())?);
        Ok(())
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        let next = addr.max(self.base);
        self.lend(next, 1).is_ok().then_some(next)
    }
}

impl<const BLOCK_SIZE: usize> StableMemory for SliceMemory<'_, BLOCK_SIZE> {
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError> {
        addr.get()
            .checked_sub(self.base.get())
            .and_then(|start| usize::try_from(start).ok())
            .and_then(|start| self.bytes.get(start..start.checked_add(len)?))
            .ok_or(ReadError::new(addr, ReadErrorKind::Outside))
    }
}
