//! Memory that is read: by copy, or by loan.

use crate::abi::DEFAULT_BLOCK_SIZE;
use crate::addr::PhysAddr;
use crate::error::ReadError;

/// Memory whose bytes can be copied out, which is all that walking a chain needs.
///
/// The trait is safe. An implementation may return wrong bytes, or other bytes each time, and its
/// readers stay sound. So a live guest can be read, or a file that others write.
///
/// ```
/// use kho_block::{PhysAddr, ReadError, ReadErrorKind, ReadMemory};
///
/// /// A dump in pages of 4 KiB, compressed one by one.
/// struct Compressed;
///
/// impl ReadMemory for Compressed {
///     fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
///         # let decompress = |_: &mut [u8]| false;
///         if decompress(buf) {
///             Ok(())
///         } else {
///             Err(ReadError::new(addr, ReadErrorKind::Failed))
///         }
///     }
/// }
/// ```
pub trait ReadMemory {
    /// Size of this memory's blocks in bytes: the page size of the kernel that wrote them.
    ///
    /// It is a power of two, and at most [`MAX_BLOCK_SIZE`](crate::abi::MAX_BLOCK_SIZE). Another
    /// value does not compile once a chain or a set uses it.
    const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE;

    /// Fills `buf` with the bytes at `addr`.
    ///
    /// # Errors
    /// Some of the bytes are not there, or they could not be read. `buf` then holds any bytes.
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Returns the first address at or after `addr` whose byte may be readable, or `None` if there
    /// is none.
    ///
    /// Searches skip gaps with it, so they cost what there is to read, whatever lies between. By
    /// default every address may be readable. A wrong answer hides bytes from searches and does no
    /// other harm.
    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        Some(addr)
    }
}

/// Memory whose bytes do not change while they are borrowed, such as a dump or a sealed memfd.
///
/// The trait is safe to implement, since a `&[u8]` itself promises what readers rely on. The code
/// that makes the slice out of a mapping is unsafe, and promises that nobody else changes it.
pub trait StableMemory: ReadMemory {
    /// Lends the `len` bytes at `addr`.
    ///
    /// # Errors
    /// Some of the bytes are not there, or they are not in one piece.
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError>;
}
