//! A dump of physical memory.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use core::fmt;

use thiserror::Error;

use super::read::{ReadMemory, StableMemory};
use crate::abi::{DEFAULT_BLOCK_SIZE, assert_block_size};
use crate::addr::PhysAddr;
use crate::error::{ReadError, ReadErrorKind, readable_debug};

/// A dump of physical memory: byte ranges, called pieces, each with its address.
///
/// Pieces may be borrowed or owned, have any length, and are added in any order. A
/// [`SetView`](crate::SetView) needs each block in one piece that is aligned for the entries. A
/// [`ForeignSet`](crate::ForeignSet) reads blocks across pieces, at any alignment.
///
/// ```
/// use kho_block::{DumpMemory, PhysAddr, ReadMemory};
///
/// let page = [7; 4096];
/// let mut dump = DumpMemory::new();
/// dump.insert(PhysAddr::new(0x1000), &page[..])?;
///
/// let mut bytes = [0; 2];
/// dump.read(PhysAddr::new(0x1ffe), &mut bytes)?;
/// assert_eq!(bytes, [7, 7]);
/// assert!(dump.read(PhysAddr::new(0x1fff), &mut bytes).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DumpMemory<'a, const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE> {
    /// The pieces by address. They do not overlap, none is empty, and none passes the end of the
    /// address space.
    pieces: BTreeMap<u64, Cow<'a, [u8]>>,
}

/// The error returned when a piece can't be added to a [`DumpMemory`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The dump already has some of the piece's bytes.
    #[error("the piece at {addr} overlaps another")]
    Overlap {
        /// Address of the piece.
        addr: PhysAddr,
    },
    /// The piece would pass the end of the address space.
    #[error("the piece at {addr} passes the end of the address space")]
    PastEnd {
        /// Address of the piece.
        addr: PhysAddr,
    },
}

readable_debug!(DumpError);

impl<'a> DumpMemory<'a> {
    /// Returns an empty dump with blocks of 4 KiB.
    #[must_use]
    pub const fn new() -> Self {
        Self::new_with_block_size()
    }
}

impl<'a, const BLOCK_SIZE: usize> DumpMemory<'a, BLOCK_SIZE> {
    /// Returns an empty dump with blocks of `BLOCK_SIZE` bytes.
    #[must_use]
    pub const fn new_with_block_size() -> Self {
        const { assert_block_size(BLOCK_SIZE) };
        Self { pieces: BTreeMap::new() }
    }

    /// Adds a piece of the dump, which begins at `addr`.
    ///
    /// # Errors
    /// Returns an error if the piece overlaps another, or passes the end of the address space. The
    /// dump stays as it is.
    pub fn insert(
        &mut self,
        addr: PhysAddr,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Result<(), DumpError> {
        let (start, bytes) = (addr.get(), bytes.into());
        let Some(distance) = (bytes.len() as u64).checked_sub(1) else { return Ok(()) };
        let last = start.checked_add(distance).ok_or(DumpError::PastEnd { addr })?;
        // Of the pieces that start before the end of this one, only the last can overlap it.
        if let Some((before, held)) = self.pieces.range(..=last).next_back() {
            if before + (held.len() as u64 - 1) >= start {
                return Err(DumpError::Overlap { addr });
            }
        }
        self.pieces.insert(start, bytes);
        Ok(())
    }

    /// Returns an iterator over the pieces and their addresses, lowest address first.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = (PhysAddr, &[u8])> {
        self.pieces.iter().map(|(start, bytes)| (PhysAddr::new(*start), &**bytes))
    }

    /// Returns the bytes from `addr` to the end of its piece, which are none if `addr` is right
    /// after one.
    fn rest_of_piece(&self, addr: u64) -> Option<&[u8]> {
        let (start, bytes) = self.pieces.range(..=addr).next_back()?;
        bytes.get(usize::try_from(addr - start).ok()?..)
    }
}

impl<const BLOCK_SIZE: usize> Default for DumpMemory<'_, BLOCK_SIZE> {
    fn default() -> Self {
        Self::new_with_block_size()
    }
}

// Without the bytes, since there may be many.
impl<const BLOCK_SIZE: usize> fmt::Debug for DumpMemory<'_, BLOCK_SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len: usize = self.pieces.values().map(|bytes| bytes.len()).sum();
        f.debug_struct("DumpMemory").field("pieces", &self.pieces.len()).field("len", &len).finish()
    }
}

impl<const BLOCK_SIZE: usize> ReadMemory for DumpMemory<'_, BLOCK_SIZE> {
    const BLOCK_SIZE: usize = BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let outside = ReadError::new(addr, ReadErrorKind::Outside);
        let mut filled = 0;
        while filled < buf.len() {
            let bytes = addr
                .checked_add(filled as u64)
                .and_then(|addr| self.rest_of_piece(addr.get()))
                .filter(|bytes| !bytes.is_empty())
                .ok_or(outside)?;
            let len = bytes.len().min(buf.len() - filled);
            buf[filled..][..len].copy_from_slice(&bytes[..len]);
            filled += len;
        }
        Ok(())
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        if self.rest_of_piece(addr.get()).is_some_and(|bytes| !bytes.is_empty()) {
            return Some(addr);
        }
        let (start, _) = self.pieces.range(addr.get()..).next()?;
        Some(PhysAddr::new(*start))
    }
}

impl<const BLOCK_SIZE: usize> StableMemory for DumpMemory<'_, BLOCK_SIZE> {
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError> {
        self.rest_of_piece(addr.get())
            .and_then(|bytes| bytes.get(..len))
            .ok_or(ReadError::new(addr, ReadErrorKind::Outside))
    }
}
