//! Preserves and retrieves a memfd of blocks together with the head of a set in it.
//!
//! The head is stored in the first block of the file, which [`MemfdMemory`] never gives out: see
//! [`MemfdHead`].
#![allow(unsafe_code)]

use bytemuck::{Pod, Zeroable};
use kho_block::{
    Entry, FromFdError, MemfdError, MemfdMemory, PhysAddr, SealedMemfd, SetHead, text,
};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use thiserror::Error;

use super::error::LiveUpdateError;
use super::session::Session;
use crate::report::readable_debug;

/// The head of a set, as [`store_head`] stores it at the start of a memfd's first block.
///
/// ```text
/// offset  0          8          12           16      24            32              64
///         ┌──────────┬──────────┬────────────┬───────┬─────────────┬───────────────┬───────────────┐
///         │ magic    │ version  │ block_size │ head  │ fingerprint │ entry_name    │ zero          │
///         └──────────┴──────────┴────────────┴───────┴─────────────┴───────────────┴───────────────┘
///                                                                                         block_size
/// ```
///
/// Numbers are in the byte order of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct MemfdHead {
    /// The magic number: [`MemfdHead::MAGIC`].
    pub magic: [u8; 8],
    /// The version of this structure: [`MemfdHead::VERSION`].
    pub version: u32,
    /// The size of the file's blocks in bytes.
    pub block_size: u32,
    /// The offset of the set's first block in the file. 0 if the set is empty.
    pub head: PhysAddr,
    /// The [fingerprint](kho_block::EntryLayout::fingerprint) of the set's entries.
    pub fingerprint: u64,
    /// The name of the entries, for messages only: truncated to 32 bytes, padded with zeros.
    pub entry_name: [u8; 32],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<MemfdHead>() == 64);
    assert!(offset_of!(MemfdHead, magic) == 0);
    assert!(offset_of!(MemfdHead, version) == 8);
    assert!(offset_of!(MemfdHead, block_size) == 12);
    assert!(offset_of!(MemfdHead, head) == 16);
    assert!(offset_of!(MemfdHead, fingerprint) == 24);
    assert!(offset_of!(MemfdHead, entry_name) == 32);
};

impl MemfdHead {
    /// The first bytes of the structure.
    pub const MAGIC: [u8; 8] = *b"kho-head";

    /// The version that is written, and the only one that can be read.
    pub const VERSION: u32 = 1;

    /// Creates the structure for a set in a memfd with blocks of `block_size` bytes.
    fn new<T: Entry>(head: SetHead<T>, block_size: u32) -> Self {
        Self {
            magic: Self::MAGIC,
            version: Self::VERSION,
            block_size,
            head: head.addr(),
            fingerprint: T::LAYOUT.fingerprint,
            entry_name: text::to_field_truncated(T::NAME),
        }
    }

    /// Returns the head, after checking that the set's entries are `T`.
    fn typed<T: Entry>(&self, block_size: u32) -> Result<SetHead<T>, HeadError> {
        if self.magic != Self::MAGIC {
            return Err(HeadError::NoHead);
        }
        if self.version != Self::VERSION {
            return Err(HeadError::Version { found: self.version });
        }
        if self.block_size != block_size {
            return Err(HeadError::BlockSize { found: self.block_size, expected: block_size });
        }
        if self.fingerprint != T::LAYOUT.fingerprint {
            let found = String::from_utf8_lossy(&self.entry_name);
            let found = found.trim_end_matches('\0').escape_debug().to_string();
            return Err(HeadError::Entries { found, expected: T::NAME });
        }
        Ok(SetHead::new(self.head))
    }
}

/// The error of storing the head of a set in the first block of a memfd, or of loading it.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The file can't be read or written, or is not a memfd of blocks.
    #[error(transparent)]
    Memfd(#[from] MemfdError),
    /// The file is too short for a head.
    #[error("the file has {len} bytes, too few for the head of a set")]
    TooShort {
        /// The number of bytes that could be read.
        len: usize,
    },
    /// The file does not begin with a head.
    #[error("the file does not begin with the head of a set")]
    NoHead,
    /// The version of the head is not supported.
    #[error("the head has version {found}, but this crate supports {}", MemfdHead::VERSION)]
    Version {
        /// The version that was found.
        found: u32,
    },
    /// The blocks of the file do not have the expected size.
    #[error("the file has blocks of {found} bytes, but {expected} were expected")]
    BlockSize {
        /// The size in the head.
        found: u32,
        /// The expected size.
        expected: u32,
    },
    /// The entries of the set do not have the expected layout.
    #[error(
        "the entries in the file, {found:?}, do not have the layout of {expected:?} in this program"
    )]
    Entries {
        /// The name of the entries in the file.
        found: String,
        /// The name of the expected entries.
        expected: &'static str,
    },
}

/// The error of preserving a memfd of blocks. It gives the file back, so nothing is lost.
#[derive(Error)]
#[error("the memfd is not preserved: {kind}")]
#[non_exhaustive]
pub struct PreserveMemfdError {
    /// Why the memfd could not be preserved.
    pub kind: PreserveMemfdErrorKind,
    /// The file, no longer mapped. Its head may have been stored, and it may have been sealed.
    pub fd: OwnedFd,
}

/// Why a memfd of blocks could not be preserved.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PreserveMemfdErrorKind {
    /// The head can't be stored.
    #[error("can't store the head: {0}")]
    Head(HeadError),
    /// The file can't be sealed.
    #[error("can't seal the file: {0}")]
    Seal(MemfdError),
    /// The session does not accept the file.
    #[error("{0}")]
    Preserve(LiveUpdateError),
}

/// The error of retrieving a memfd of blocks.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RetrieveMemfdError {
    /// The file can't be retrieved from the session.
    #[error(transparent)]
    Retrieve(#[from] LiveUpdateError),
    /// The file does not begin with the head of a set of the expected entries.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The file can't be opened as a memory of blocks.
    #[error(transparent)]
    Memfd(#[from] MemfdError),
}

readable_debug!(HeadError, PreserveMemfdError, PreserveMemfdErrorKind, RetrieveMemfdError);

impl From<FromFdError> for RetrieveMemfdError {
    /// Drops the descriptor. The file can be retrieved again until the session is finished.
    fn from(error: FromFdError) -> Self {
        Self::Memfd(error.error)
    }
}

/// Stores the head of a set in the first block of the memfd in which the set was handed over.
///
/// Returns the file, no longer mapped, to be sealed, preserved or passed to another process.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use kho_block::{BlockSet, MemfdMemory};
/// use kho_luo::{LuoFile, load_head, store_head};
///
/// let memory = MemfdMemory::new("files")?;
/// let mut set = BlockSet::new_in(&memory);
/// set.push(LuoFile::new("memfd-v2".try_into()?, 0x6a_0000, 7))?;
/// let head = set.hand_over();
/// let fd = store_head(memory, head)?;
/// assert_eq!(load_head::<LuoFile, 4096>(&fd)?, head);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Returns an error if the file can't be written. The error gives it back.
pub fn store_head<T: Entry, const BLOCK_SIZE: usize>(
    memory: MemfdMemory<BLOCK_SIZE>,
    head: SetHead<T>,
) -> Result<OwnedFd, PreserveMemfdError> {
    let fd = memory.into_fd();
    let bytes = MemfdHead::new(head, block_size::<BLOCK_SIZE>());
    match write_all(&fd, bytemuck::bytes_of(&bytes)) {
        Ok(()) => Ok(fd),
        Err(error) => {
            let kind = PreserveMemfdErrorKind::Head(HeadError::Memfd(error));
            Err(PreserveMemfdError { kind, fd })
        }
    }
}

/// Loads the head that [`store_head`] stored in a memfd.
///
/// This checks the head, but not the set to which it leads. Restoring the set does that.
///
/// # Errors
/// Returns an error if the file can't be read, or does not begin with the head of a set of `T` in
/// blocks of this size.
pub fn load_head<T: Entry, const BLOCK_SIZE: usize>(
    fd: impl AsFd,
) -> Result<SetHead<T>, HeadError> {
    let mut head = MemfdHead::zeroed();
    let buf = bytemuck::bytes_of_mut(&mut head);
    let mut len = 0;
    while len < buf.len() {
        match rustix::io::pread(&fd, &mut buf[len..], len as u64) {
            Ok(0) => return Err(HeadError::TooShort { len }),
            Ok(read) => len += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(HeadError::Memfd(system("pread", errno))),
        }
    }
    head.typed(block_size::<BLOCK_SIZE>())
}

#[allow(clippy::cast_possible_truncation)] // Checked at compile time.
const fn block_size<const BLOCK_SIZE: usize>() -> u32 {
    const { assert!(BLOCK_SIZE >= size_of::<MemfdHead>() && BLOCK_SIZE <= u32::MAX as usize) };
    BLOCK_SIZE as u32
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> Result<(), MemfdError> {
    let mut offset = 0;
    // Writing past RLIMIT_FSIZE kills the process, even within a longer file: write(2).
    let len = bytes.len() as u64;
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < len) {
        return Err(MemfdError::FileSizeLimit { len });
    }
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd, bytes, offset) {
            Ok(0) => return Err(system("pwrite", Errno::NOSPC)),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(system("pwrite", errno)),
        }
    }
    Ok(())
}

fn system(call: &'static str, errno: Errno) -> MemfdError {
    MemfdError::System { call, errno: errno.raw_os_error() }
}

/// Preserves and retrieves a [`MemfdMemory`] together with the head of a set in it.
impl Session {
    /// Seals a memfd of blocks against every change, and preserves it together with the head of the
    /// set that was handed over in it.
    ///
    /// The new kernel keeps the seals. So the successor can view the set in place, no matter who
    /// else has had the file.
    ///
    /// The sealed memfd that is returned can be used to view the set. It may be dropped, because
    /// the session holds the file. For what a session does to the holes and the length of a memfd,
    /// see [`preserve_fd`](Self::preserve_fd).
    ///
    /// ```no_run
    /// use kho_block::{BlockSet, MemfdMemory, SetView};
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, Entry};
    /// use kho_luo::LiveUpdate;
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Counter { value: u64 }
    ///
    /// let memory = MemfdMemory::new("counters")?;
    /// let mut set = BlockSet::<Counter, _>::new_in(&memory);
    /// set.push(Counter { value: 42 })?;
    /// let head = set.hand_over();
    /// let session = LiveUpdate::open()?.create_session("counters")?;
    /// session.seal_and_preserve_memfd(memory, head, 1)?;
    ///
    /// // In the new kernel.
    /// let session = LiveUpdate::open()?.retrieve_session("counters")?;
    /// let (memory, head) = session.retrieve_sealed_memfd::<Counter, 4096>(1)?;
    /// let set = SetView::restore(&memory, head)?;
    /// assert_eq!(set[0].value, 42);
    /// session.finish()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the head can't be stored, the file can't be sealed, or the session does
    /// not accept it. The error gives the file back.
    pub fn seal_and_preserve_memfd<T: Entry, const BLOCK_SIZE: usize>(
        &self,
        memory: MemfdMemory<BLOCK_SIZE>,
        head: SetHead<T>,
        token: u64,
    ) -> Result<SealedMemfd<BLOCK_SIZE>, PreserveMemfdError> {
        let fd = store_head(memory, head)?;
        let sealed = SealedMemfd::seal_with_block_size(fd).map_err(|seal| PreserveMemfdError {
            kind: PreserveMemfdErrorKind::Seal(seal.error),
            fd: seal.fd,
        })?;
        match self.preserve_fd(&sealed, token) {
            Ok(()) => Ok(sealed),
            Err(error) => {
                let kind = PreserveMemfdErrorKind::Preserve(error);
                Err(PreserveMemfdError { kind, fd: sealed.into_fd() })
            }
        }
    }

    /// Retrieves a memfd of blocks that was preserved [sealed](Self::seal_and_preserve_memfd), and
    /// the head of its set.
    ///
    /// # Errors
    /// Returns an error if the file can't be [retrieved](Self::retrieve_fd), is not sealed, or does
    /// not begin with the head of a set of `T`.
    pub fn retrieve_sealed_memfd<T: Entry, const BLOCK_SIZE: usize>(
        &self,
        token: u64,
    ) -> Result<(SealedMemfd<BLOCK_SIZE>, SetHead<T>), RetrieveMemfdError> {
        let fd = self.retrieve_fd(token)?;
        let head = load_head::<T, BLOCK_SIZE>(&fd)?;
        Ok((SealedMemfd::open_with_block_size(fd)?, head))
    }

    /// Preserves a memfd of blocks without sealing it, together with the head of the set that was
    /// handed over in it. The successor can write in it.
    ///
    /// Returns the file, no longer mapped. It may be dropped, because the session holds the file.
    /// As long as it does, the length of the file is frozen: reserve the blocks that the successor
    /// will need before. Blocks that were never used take memory from now on, because the session
    /// [fills holes](Self::preserve_fd).
    ///
    /// The file must be executable, which [`MemfdMemory`] makes it if the system allows that.
    /// Otherwise the successor gets it [sealed](Self::preserve_fd) and can only view it.
    ///
    /// ```no_run
    /// use kho_block::{BlockSet, MemfdMemory};
    /// use kho_luo::{LiveUpdate, LuoFile};
    ///
    /// let memory = MemfdMemory::new("files")?;
    /// let mut set = BlockSet::new_in(&memory);
    /// set.push(LuoFile::new("memfd-v2".try_into()?, 0x6a_0000, 7))?;
    /// let head = set.hand_over();
    /// let session = LiveUpdate::open()?.create_session("files")?;
    /// session.preserve_memfd(memory, head, 1)?;
    ///
    /// // In the new kernel.
    /// let session = LiveUpdate::open()?.retrieve_session("files")?;
    /// // SAFETY: nobody else retrieves this file.
    /// let (memory, head) = unsafe { session.retrieve_memfd::<LuoFile, 4096>(1)? };
    /// let mut set = BlockSet::restore(&memory, head)?;
    /// set.clear();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the head can't be stored, or the session does not accept the file. The
    /// error gives the file back.
    pub fn preserve_memfd<T: Entry, const BLOCK_SIZE: usize>(
        &self,
        memory: MemfdMemory<BLOCK_SIZE>,
        head: SetHead<T>,
        token: u64,
    ) -> Result<OwnedFd, PreserveMemfdError> {
        let fd = store_head(memory, head)?;
        match self.preserve_fd(&fd, token) {
            Ok(()) => Ok(fd),
            Err(error) => {
                let kind = PreserveMemfdErrorKind::Preserve(error);
                Err(PreserveMemfdError { kind, fd })
            }
        }
    }

    /// Retrieves a memfd of blocks that was preserved [unsealed](Self::preserve_memfd), and the
    /// head of its set.
    ///
    /// Every block is preserved. Restore the set and the sets nested in it, then
    /// [free the other blocks](MemfdMemory::free_preserved). The file can grow again.
    ///
    /// # Errors
    /// Returns an error if the file can't be [retrieved](Self::retrieve_fd), is sealed, or does not
    /// begin with the head of a set of `T`. A file that must not be executed [is
    /// sealed](Self::preserve_fd): use [`retrieve_sealed_memfd`](Self::retrieve_sealed_memfd) for
    /// it.
    ///
    /// # Safety
    /// As for [`MemfdMemory::from_fd`], nobody else may write in the file until the memory is
    /// dropped (invariant I4 of `kho_block`). The session returns the same file on every call, so
    /// nobody else may retrieve it from the session.
    pub unsafe fn retrieve_memfd<T: Entry, const BLOCK_SIZE: usize>(
        &self,
        token: u64,
    ) -> Result<(MemfdMemory<BLOCK_SIZE>, SetHead<T>), RetrieveMemfdError> {
        let fd = self.retrieve_fd(token)?;
        let head = load_head::<T, BLOCK_SIZE>(&fd)?;
        // SAFETY: the caller promises the same (I4).
        let memory = unsafe { MemfdMemory::from_fd(fd) }?;
        Ok((memory, head))
    }
}

#[cfg(test)]
mod tests {
    use kho_block::{BlockSet, SetView};

    use super::*;
    use crate::abi::LuoFile;
    use crate::live::error::LiveUpdateErrorKind;
    use crate::live::ioctl::LuoFd;

    #[test]
    fn a_memfd_that_is_not_preserved_is_given_back_with_its_head() {
        // A file that supports no requests, in place of a session.
        let session = Session::new(LuoFd::open_other("/dev/null").unwrap());
        for seal in [true, false] {
            let memory = MemfdMemory::new("kho-luo-test").unwrap();
            let mut set = BlockSet::<LuoFile, _>::new_in(&memory);
            set.push(LuoFile::new("memfd-v2".try_into().unwrap(), 1, 2)).unwrap();
            let head = set.hand_over();
            let error = if seal {
                session.seal_and_preserve_memfd(memory, head, 1).unwrap_err()
            } else {
                session.preserve_memfd(memory, head, 1).unwrap_err()
            };
            let PreserveMemfdErrorKind::Preserve(cause) = &error.kind else { panic!("{error}") };
            assert_eq!(cause.kind, LiveUpdateErrorKind::UnknownRequest);
            assert_eq!(load_head::<LuoFile, 4096>(&error.fd), Ok(head));
            let sealed = if seal {
                SealedMemfd::open(error.fd).unwrap()
            } else {
                SealedMemfd::seal(error.fd).unwrap()
            };
            assert_eq!(SetView::restore(&sealed, head).unwrap()[0].token, 2);
        }
    }
}
