//! The traits of memories that can be read: by copying, or in place.

use crate::abi::DEFAULT_BLOCK_SIZE;
use crate::addr::PhysAddr;
use crate::error::ReadError;

/// Memory whose bytes can be copied out, which is enough to walk along a chain.
///
/// The trait is safe: if an implementation returns wrong bytes, or other bytes each time, its
/// readers stay sound. So it can read a live guest, or a file that others write.
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
    /// It is a power of two from 32 to [`MAX_BLOCK_SIZE`](crate::abi::MAX_BLOCK_SIZE). A chain or
    /// set with any other value does not compile.
    const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE;

    /// Fills `buf` with the bytes at `addr`.
    ///
    /// # Errors
    /// Returns an error if some of the bytes are not in the memory, or can't be read. The contents
    /// of `buf` are then unspecified.
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Returns the first address at or after `addr` whose byte may be readable, or `None` if there
    /// is none.
    ///
    /// Searches use it to skip gaps, whatever their size. By default every address may be readable.
    /// A wrong answer hides bytes from searches and does no other harm.
    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        Some(addr)
    }
}

/// Memory whose bytes do not change while they are borrowed, such as a dump or a sealed memfd.
///
/// The trait is safe to implement, since any `&[u8]` guarantees what readers rely on. The code that
/// makes a slice of a mapping is unsafe, and must guarantee that nobody else changes the bytes.
#[diagnostic::on_unimplemented(
    message = "the bytes of `{Self}` may change while they are borrowed",
    note = "seal a `MemfdMemory` first, claim the set with `BlockSet::restore`, or copy entries out \
            with `ForeignSet::restore`"
)]
pub trait StableMemory: ReadMemory {
    /// Borrows the `len` bytes at `addr`.
    ///
    /// # Errors
    /// Returns an error if some of the bytes are not in the memory, or if they are not in one
    /// piece.
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError>;
}
