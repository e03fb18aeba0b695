//! A memory of blocks in a session, in one call, and the head of its set with it.
//!
//! The head is in the first block of the file, which [`MemfdMemory`] leaves free: see [`MemfdHead`].
#![allow(unsafe_code)]

use bytemuck::{Pod, Zeroable};
use kho_block::{
    Entry, FromFdError, MemfdError, MemfdMemory, PhysAddr, SealedMemfd, SetHead, text,
};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use thiserror::Error;

use super::error::{PreserveError, RetrieveError};
use super::session::Session;

/// What [`store_head`] writes at the start of a memfd's first block: where the set is, and of what.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MemfdHead {
    /// [`MemfdHead::MAGIC`].
    pub magic: [u8; 8],
    /// [`MemfdHead::VERSION`].
    pub version: u32,
    /// Size of the file's blocks in bytes.
    pub block_size: u32,
    /// Offset of the set's first block in the file; 0 for an empty set.
    pub head: PhysAddr,
    /// [`EntryLayout::fingerprint`](kho_block::EntryLayout::fingerprint) of the set's entries.
    pub fingerprint: u64,
    /// Name of the entries, cut to 32 bytes, for messages; then zeros.
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
    /// What it begins with.
    pub const MAGIC: [u8; 8] = *b"kho-head";

    /// The version that is written, and the only one that is read.
    pub const VERSION: u32 = 1;

    /// For a set in a memfd with blocks of `block_size` bytes.
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

    /// The head of a set of `T`, if that is what this says.
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

/// The head of a set could not be read from, or written to, the first block of a memfd.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The file could not be read or written, or is not such a memfd.
    #[error("{0}")]
    Memfd(#[from] MemfdError),
    /// The file is too short for a head.
    #[error("the file has {len} bytes, too few for the head of a set")]
    TooShort {
        /// How many of the head's bytes there are.
        len: usize,
    },
    /// The file does not begin with a head.
    #[error("the file does not begin with the head of a set")]
    NoHead,
    /// The head is of another version.
    #[error("the head is of version {found}, where this crate knows {}", MemfdHead::VERSION)]
    Version {
        /// The version.
        found: u32,
    },
    /// The file's blocks have another size.
    #[error("the file has blocks of {found} bytes, where {expected} were expected")]
    BlockSize {
        /// The size in the head.
        found: u32,
        /// The size that was expected.
        expected: u32,
    },
    /// The set is of other entries, or of another version of them.
    #[error("the entries are {found:?} of another layout than {expected:?} has here")]
    Entries {
        /// Name of the entries in the file.
        found: String,
        /// Name of the entries that were expected.
        expected: &'static str,
    },
}

/// A memory could not be preserved. Nothing is lost: the file is given back.
#[derive(Debug, Error)]
#[error("can't preserve the memory: {kind}")]
#[non_exhaustive]
pub struct PreserveMemoryError {
    /// Why not.
    pub kind: PreserveMemoryErrorKind,
    /// The file, no longer mapped. It may have its head already, and be sealed.
    pub fd: OwnedFd,
}

/// Why a memory could not be preserved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PreserveMemoryErrorKind {
    /// The head could not be written.
    #[error("{0}")]
    Head(HeadError),
    /// The file could not be sealed.
    #[error("{0}")]
    Seal(MemfdError),
    /// The session does not take the file.
    #[error("{0}")]
    Preserve(PreserveError),
}

/// A memory could not be retrieved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RetrieveMemoryError {
    /// The session does not give the file out.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
    /// The file does not begin with the head of such a set.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The file can't be opened as a memory of blocks.
    #[error(transparent)]
    Memfd(#[from] MemfdError),
}

impl From<FromFdError> for RetrieveMemoryError {
    /// Drops the descriptor: until the session is finished, it can be retrieved again.
    fn from(error: FromFdError) -> Self {
        Self::Memfd(error.error)
    }
}

/// Writes the head of a set into the first block of the memfd that the set was handed over in, and
/// gives out the file, no longer mapped: to be preserved, sealed, or passed on.
///
/// # Errors
/// The file could not be written. It is given back.
pub fn store_head<T: Entry, const BLOCK_SIZE: usize>(
    memory: MemfdMemory<BLOCK_SIZE>,
    head: SetHead<T>,
) -> Result<OwnedFd, PreserveMemoryError> {
    let fd = memory.into_fd();
    let bytes = MemfdHead::new(head, block_size::<BLOCK_SIZE>());
    match write_all(&fd, bytemuck::bytes_of(&bytes)) {
        Ok(()) => Ok(fd),
        Err(error) => {
            let kind = PreserveMemoryErrorKind::Head(HeadError::Memfd(error));
            Err(PreserveMemoryError { kind, fd })
        }
    }
}

/// Reads the head that [`store_head`] has written. What it leads to is not checked yet: restoring
/// the set does that.
///
/// # Errors
/// The file can't be read, or does not begin with the head of such a set.
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
    // To write beyond the limit, also inside of a longer file, would end the process: write(2).
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

/// A [`MemfdMemory`] and the head of a set in it, in one call each.
impl Session {
    /// Seals a memory against every change and preserves it, with the head of the set that was
    /// handed over in it. The next kernel keeps the seals, so the successor views the set in place,
    /// whoever else has had the file.
    ///
    /// What comes back can be viewed on; it may be dropped, for the session holds the file. What a
    /// session does to a memfd's holes and length, [`preserve`](Self::preserve) says.
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
    /// session.preserve_sealed(memory, head, 1)?;
    ///
    /// // In the next kernel.
    /// let session = LiveUpdate::open()?.retrieve_session("counters")?;
    /// let (memory, head) = session.retrieve_sealed::<Counter, 4096>(1)?;
    /// let set = SetView::restore(&memory, head)?;
    /// assert_eq!(set[0].value, 42);
    /// session.finish()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The head could not be written, the file not be sealed, or the session does not take it. The
    /// error gives the file back.
    pub fn preserve_sealed<T: Entry, const BLOCK_SIZE: usize>(
        &self,
        memory: MemfdMemory<BLOCK_SIZE>,
        head: SetHead<T>,
        token: u64,
    ) -> Result<SealedMemfd<BLOCK_SIZE>, PreserveMemoryError> {
        let fd = store_head(memory, head)?;
        let sealed = SealedMemfd::seal(fd).map_err(|seal| PreserveMemoryError {
            kind: PreserveMemoryErrorKind::Seal(seal.error),
            fd: seal.fd,
        })?;
        match self.preserve(&sealed, token) {
            Ok(()) => Ok(sealed),
            Err(error) => {
                let kind = PreserveMemoryErrorKind::Preserve(error);
                Err(PreserveMemoryError { kind, fd: sealed.into_fd() })
            }
        }
    }

    /// Retrieves a memory that was [sealed and preserved](Self::preserve_sealed), and the head of
    /// its set.
    ///
    /// # Errors
    /// The session has no such file, it is not sealed, or does not begin with the head of a set of
    /// `T`.
    pub fn retrieve_sealed<T: Entry, const BLOCK_SIZE: usize>(
        &self,
        token: u64,
    ) -> Result<(SealedMemfd<BLOCK_SIZE>, SetHead<T>), RetrieveMemoryError> {
        let fd = self.retrieve(token)?;
        let head = load_head::<T, BLOCK_SIZE>(&fd)?;
        Ok((SealedMemfd::open_with_block_size(fd)?, head))
    }

    /// Preserves a memory unsealed, with the head of the set that was handed over in it: for a
    /// successor that goes on writing in it.
    ///
    /// The file is no longer mapped, and what comes back may be dropped, for the session holds the
    /// file. As long as it does, the file can't change its size: reserve before what there will be to
    /// write, for the successor to fill. Blocks that were never used become memory now: the session
    /// [fills holes](Self::preserve).
    ///
    /// The file must be one that may be executed, as [`MemfdMemory`] makes it where the system allows
    /// that; else the successor gets it [sealed](Self::preserve), and can only view it.
    ///
    /// # Errors
    /// The head could not be written, or the session does not take the file. The error gives the
    /// file back.
    pub fn preserve_memory<T: Entry, const BLOCK_SIZE: usize>(
        &self,
        memory: MemfdMemory<BLOCK_SIZE>,
        head: SetHead<T>,
        token: u64,
    ) -> Result<OwnedFd, PreserveMemoryError> {
        let fd = store_head(memory, head)?;
        match self.preserve(&fd, token) {
            Ok(()) => Ok(fd),
            Err(error) => {
                let kind = PreserveMemoryErrorKind::Preserve(error);
                Err(PreserveMemoryError { kind, fd })
            }
        }
    }

    /// Retrieves a memory that was [preserved unsealed](Self::preserve_memory), and the head of its
    /// set. Every block is preserved: claim the set, and what hangs on it, then
    /// [free the rest](MemfdMemory::free_preserved). The file can grow again.
    ///
    /// # Errors
    /// The session has no such file, it is sealed, or does not begin with the head of a set of `T`.
    /// A file that was not to be executed [comes out sealed](Self::preserve): retrieve it as a
    /// [sealed one](Self::retrieve_sealed).
    ///
    /// # Safety
    /// As for [`MemfdMemory::from_fd`]: until the memory is dropped, nobody else writes the file
    /// (invariant I4 of `kho_block`). Whoever has this session can retrieve it again, so nobody else
    /// does.
    pub unsafe fn retrieve_memory<T: Entry, const BLOCK_SIZE: usize>(
        &self,
        token: u64,
    ) -> Result<(MemfdMemory<BLOCK_SIZE>, SetHead<T>), RetrieveMemoryError> {
        let fd = self.retrieve(token)?;
        let head = load_head::<T, BLOCK_SIZE>(&fd)?;
        // SAFETY: the caller's promise is the same one (I4).
        let memory = unsafe { MemfdMemory::from_fd(fd) }?;
        Ok((memory, head))
    }
}
