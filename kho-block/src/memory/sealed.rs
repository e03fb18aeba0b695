//! A memfd that nobody can change any more.

use core::fmt;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{SealFlags, fcntl_add_seals, fcntl_get_seals};

use super::map::Map;
use super::memfd::{MemfdError, SealError, file_len};
use super::{ReadMemory, StableMemory};
use crate::abi::{DEFAULT_BLOCK_SIZE, assert_block_size};
use crate::addr::PhysAddr;
use crate::error::{ReadError, ReadErrorKind};

/// A memfd that the kernel has sealed against every change, from whomever it came: its sets are
/// viewed in place, not claimed.
///
/// An address is an offset in the file.
pub struct SealedMemfd<const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE> {
    /// `None` for an empty file, which can't be mapped.
    map: Option<Map>,
    fd: OwnedFd,
}

impl SealedMemfd {
    /// Opens a sealed memfd with blocks of 4 KiB.
    ///
    /// # Errors
    /// The descriptor is not a memfd, it lacks the seals `F_SEAL_WRITE` and `F_SEAL_SHRINK`, or it
    /// can't be mapped.
    pub fn open(fd: OwnedFd) -> Result<Self, MemfdError> {
        Self::with_block_size(fd)
    }
}

impl<const BLOCK_SIZE: usize> SealedMemfd<BLOCK_SIZE> {
    /// Opens a sealed memfd with blocks of `BLOCK_SIZE` bytes.
    ///
    /// # Errors
    /// As for [`open`](SealedMemfd::open).
    pub fn with_block_size(fd: OwnedFd) -> Result<Self, MemfdError> {
        Self::open_or_return(fd).map_err(|error| error.error)
    }

    /// Seals a memfd against every change, then opens it.
    ///
    /// # Errors
    /// Something has the file mapped for writing, or it can't be sealed or mapped for another
    /// reason. The error gives the descriptor back.
    pub fn seal(fd: OwnedFd) -> Result<Self, SealError> {
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        match fcntl_add_seals(&fd, seals) {
            Ok(()) => Self::open_or_return(fd),
            Err(errno) => Err(SealError { error: MemfdError::system("fcntl")(errno), fd }),
        }
    }

    fn open_or_return(fd: OwnedFd) -> Result<Self, SealError> {
        const { assert_block_size(BLOCK_SIZE) };
        match Self::map(&fd) {
            Ok(map) => Ok(Self { map, fd }),
            Err(error) => Err(SealError { error, fd }),
        }
    }

    fn map(fd: &OwnedFd) -> Result<Option<Map>, MemfdError> {
        // With these seals no writable mapping exists, none can be made, and no byte can be
        // written, punched out or cut off: invariant I4.
        let needed = SealFlags::WRITE | SealFlags::SHRINK;
        let seals = fcntl_get_seals(fd).map_err(MemfdError::system("fcntl"))?;
        if !seals.contains(needed) {
            return Err(MemfdError::NotSealed);
        }
        let len = file_len(fd)?;
        if len == 0 {
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| MemfdError::Length { len })?;
        Map::read_only(fd.as_fd(), len).map(Some).map_err(MemfdError::system("mmap"))
    }

    /// The whole file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let Some(map) = &self.map else { return &[] };
        let base = map.base().as_ptr().cast_const();
        // SAFETY: the file has at least as many bytes as the mapping and can't be changed (I4: the
        // memory is sealed by the kernel); the mapping lives as long as `self`.
        unsafe { core::slice::from_raw_parts(base, map.len()) }
    }

    /// Unmaps the file and gives out its descriptor.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl<const BLOCK_SIZE: usize> AsFd for SealedMemfd<BLOCK_SIZE> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<const BLOCK_SIZE: usize> fmt::Debug for SealedMemfd<BLOCK_SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedMemfd").field("len", &self.as_bytes().len()).finish_non_exhaustive()
    }
}

impl<const BLOCK_SIZE: usize> ReadMemory for SealedMemfd<BLOCK_SIZE> {
    const BLOCK_SIZE: usize = BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        buf.copy_from_slice(self.lend(addr, buf.len())?);
        Ok(())
    }
}

impl<const BLOCK_SIZE: usize> StableMemory for SealedMemfd<BLOCK_SIZE> {
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError> {
        usize::try_from(addr.get())
            .ok()
            .and_then(|start| self.as_bytes().get(start..start.checked_add(len)?))
            .ok_or(ReadError::new(addr, ReadErrorKind::Outside))
    }
}
