//! A memfd that is sealed against every change.

use core::fmt;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::SealFlags;

use super::error::{FromFdError, MemfdError};
use super::file::{self, Access};
use super::map::Map;
use crate::abi::{DEFAULT_BLOCK_SIZE, assert_block_size};
use crate::addr::PhysAddr;
use crate::error::{ReadError, ReadErrorKind};
use crate::memory::read::{ReadMemory, StableMemory};

/// The seals that keep every byte of the file as it is (I4): no writable mapping exists or can be
/// created, and nothing can be written, punched out or cut off.
const STABLE: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK);

/// A memfd that the kernel has sealed against every change, so that its sets can be viewed in
/// place.
///
/// It does not matter who wrote the file: its seals are checked and can't be removed. A block's
/// address is its offset in the file. Holes in the file read as zeros, and a page of a hole takes
/// memory once it is read.
///
/// ```
/// use kho_block::{BlockSet, Entry, MemfdMemory, SealedMemfd, SetView};
///
/// let memory = MemfdMemory::new("counters")?;
/// let mut set = BlockSet::<Counter, _>::new_in(&memory);
/// set.push(Counter { value: 42 })?;
/// let head = set.hand_over();
/// let fd = memory.seal()?.into_fd(); // goes to another process
///
/// let sealed = SealedMemfd::open(fd)?;
/// assert_eq!(SetView::restore(&sealed, head)?[0].value, 42);
/// # use kho_block::bytemuck::{Pod, Zeroable};
/// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// # #[repr(C)]
/// # struct Counter { value: u64 }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
///
/// fcntl(2), section "File Sealing"; memfd_create(2).
pub struct SealedMemfd<const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE> {
    /// `None` if the file is empty, since it can't be mapped then.
    map: Option<Map>,
    fd: OwnedFd,
}

impl SealedMemfd {
    /// Opens a sealed memfd with blocks of 4 KiB.
    ///
    /// # Errors
    /// Returns an error if the descriptor does not refer to a memfd on tmpfs or is not open for
    /// reading, or if the file lacks the seal `F_SEAL_WRITE` or `F_SEAL_SHRINK` or can't be mapped.
    /// The error gives the descriptor back.
    pub fn open(fd: OwnedFd) -> Result<Self, FromFdError> {
        Self::open_with_block_size(fd)
    }

    /// Seals a memfd against every change, unless it is sealed already, and opens it with blocks of
    /// 4 KiB.
    ///
    /// # Errors
    /// Returns an error if the file is mapped for writing elsewhere ([`MemfdError::InUse`]), if the
    /// descriptor does not refer to a memfd on tmpfs or is not open for reading and writing, or if
    /// the file can't be sealed or mapped. The error gives the descriptor back.
    pub fn seal(fd: OwnedFd) -> Result<Self, FromFdError> {
        Self::seal_with_block_size(fd)
    }
}

impl<const BLOCK_SIZE: usize> SealedMemfd<BLOCK_SIZE> {
    /// Opens a sealed memfd with blocks of `BLOCK_SIZE` bytes.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`open`](SealedMemfd::open).
    pub fn open_with_block_size(fd: OwnedFd) -> Result<Self, FromFdError> {
        const { assert_block_size(BLOCK_SIZE) };
        match Self::map(fd.as_fd()) {
            Ok(map) => Ok(Self { map, fd }),
            Err(error) => Err(FromFdError { error, fd }),
        }
    }

    /// Seals a memfd against every change, unless it is sealed already, and opens it with blocks of
    /// `BLOCK_SIZE` bytes.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`seal`](SealedMemfd::seal).
    pub fn seal_with_block_size(fd: OwnedFd) -> Result<Self, FromFdError> {
        match Self::add_seals(fd.as_fd()) {
            Ok(()) => Self::open_with_block_size(fd),
            Err(error) => Err(FromFdError { error, fd }),
        }
    }

    fn add_seals(fd: BorrowedFd<'_>) -> Result<(), MemfdError> {
        let found = file::check(fd, Access::Read)?;
        if found.contains(STABLE | SealFlags::SEAL) {
            return Ok(());
        }
        file::check(fd, Access::ReadWrite)?;
        file::add_seals(fd, found, STABLE | SealFlags::GROW | SealFlags::SEAL)
    }

    /// Maps the file once its kind, seals and length are known to fit (H4). Returns `None` if the
    /// file is empty.
    fn map(fd: BorrowedFd<'_>) -> Result<Option<Map>, MemfdError> {
        if !file::check(fd, Access::Read)?.contains(STABLE) {
            return Err(MemfdError::NotSealed);
        }
        // The file may still grow, but not shrink.
        let len = file::len(fd)?;
        if len == 0 {
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| MemfdError::Length { len })?;
        Map::read_only(fd, len).map(Some)
    }

    /// Returns the bytes of the whole file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let Some(map) = &self.map else { return &[] };
        let base = map.base().as_ptr().cast_const();
        // SAFETY: the file has at least as many bytes as the mapping and can't be changed (I4: the
        // memory is sealed by the kernel); the mapping lives as long as `self`.
        unsafe { core::slice::from_raw_parts(base, map.len()) }
    }

    /// Unmaps the file and returns its descriptor.
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

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        self.lend(addr, 1).is_ok().then_some(addr)
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
