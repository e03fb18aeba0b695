//! A memfd whose blocks can be owned: opening and closing it.

use core::fmt;
use core::ops::Range;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::SealFlags;
use smallvec::SmallVec;

use super::blocks::Blocks;
use super::error::{FromFdError, MemfdError};
use super::file::{self, Access};
use super::growing::GrowingFile;
use super::map::SharedMap;
use super::sealed::SealedMemfd;
use crate::abi::{DEFAULT_BLOCK_SIZE, assert_block_size};
use crate::memory::ledger::Usage;
use crate::memory::lock::Lock;

/// A memory in a memfd, which can cross `exec`, go to another process, or survive a live update.
///
/// A block's address is its offset in the file. The first block of the file is never given out: its
/// address would be null. It is zeroed, and an application may use it to describe the file.
///
/// Address space for the largest size is reserved at the start, so blocks never move. The file
/// grows in steps, and each step allocates its memory. If the system has huge pages, a file longer
/// than an eighth of one (256 KiB for huge pages of 2 MiB) consists of them (Linux 6.1 and later,
/// unless `shmem_enabled` is `deny`). The Live Update Orchestrator preserves each huge page as one.
///
/// # Running out of memory
///
/// Writing to a block never fails for lack of memory, since the block already has its memory.
/// Allocating a block may fail with an error. If the system promises more memory than it has
/// (`vm.overcommit_memory`), or if a cgroup is full, the process may be killed instead. Reserve
/// early, give the process a `memory.min` that covers what it preserves, and set `oom_score_adj` so
/// that other processes are killed first.
///
/// A file from outside may have holes. [`from_fd`](Self::from_fd) allocates nothing: blocks in
/// holes are free and get memory when they are allocated (see [`Usage::unbacked`]).
///
/// # Forks and core dumps
///
/// A child of `fork` inherits this value but not its mapping, so that each block has one owner. The
/// child of a process with a single thread may drop the memory and the sets in it, and any child
/// may call `exec` or `_exit`. Access to a block ends the child with SIGSEGV, and
/// [`seal`](Self::seal) and [`into_fd`](Self::into_fd) panic. To give a child the state, pass it
/// the descriptor through `exec` or a socket, as to any other process. A child is aborted if it
/// can't keep the mapping's addresses free, because it is not allowed to map as much or something
/// else is mapped there.
///
/// A core dump contains the file if `coredump_filter` selects shared memory, except for memory that
/// was allocated in holes of a file from outside. It does not contain the addresses reserved for
/// growth. They do not count as locked memory either, even if the process locks all its memory
/// (`mlockall`).
///
/// # Other users of the file
///
/// No safe method gives the descriptor away while the file is mapped for writing:
/// [`seal`](Self::seal) and [`into_fd`](Self::into_fd) consume the memory. A write to the file
/// through `/proc` in the meantime is like a write to `/proc/self/mem`: no library can guard
/// against it.
///
/// ```
/// use kho_block::{BlockSet, MemfdMemory, SealedMemfd, SetView};
///
/// let memory = MemfdMemory::new("counters")?;
/// let mut set = BlockSet::<Counter, _>::new_in(&memory);
/// set.push(Counter { value: 42 })?;
/// let head = set.hand_over();
///
/// let sealed = memory.seal()?; // the descriptor may now go to anyone
/// let view = SetView::restore(&sealed, head)?;
/// assert_eq!(view[0].value, 42);
/// # use kho_block::{bytemuck::{Pod, Zeroable}, Entry};
/// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// # #[repr(C)]
/// # struct Counter { value: u64 }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
///
/// memfd_create(2), fallocate(2), madvise(2), fcntl(2) for seals, core(5). Linux:
/// `Documentation/admin-guide/mm/transhuge.rst`, `mm/shmem.c`.
pub struct MemfdMemory<const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE> {
    pub(super) file: GrowingFile<BLOCK_SIZE>,
    /// The process that has the file mapped.
    process: u32,
    pub(super) blocks: Lock<Blocks<BLOCK_SIZE>>,
    /// Locked while the file grows, which takes long. `blocks` is not locked in the meantime.
    pub(super) growth: Lock<()>,
}

/// Largest number of data ranges of a file that core dumps include, since the kernel makes a
/// mapping of each.
const MAX_DUMPED_RANGES: usize = 16;

impl MemfdMemory {
    /// Creates a memfd with blocks of 4 KiB.
    ///
    /// It can grow to 64 GiB, or to [less](Self::max_len) if the process is not allowed as much
    /// address space. The name appears in `/proc` and need not be unique.
    ///
    /// # Errors
    /// Returns an error if the memfd can't be created or mapped.
    pub fn new(name: &str) -> Result<Self, MemfdError> {
        Self::create(name, |fd| SharedMap::with_room(fd, 0))
    }
}

impl<const BLOCK_SIZE: usize> MemfdMemory<BLOCK_SIZE> {
    /// Creates a memfd with blocks of `BLOCK_SIZE` bytes that can grow to `max_len` bytes.
    ///
    /// ```
    /// use kho_block::MemfdMemory;
    ///
    /// let memory = MemfdMemory::<16384>::with_max_len("vm1", 1 << 20)?;
    /// assert_eq!(memory.max_len(), 1 << 20);
    /// # Ok::<(), kho_block::MemfdError>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the memfd can't be created, or if the process is not allowed as much
    /// address space.
    pub fn with_max_len(name: &str, max_len: usize) -> Result<Self, MemfdError> {
        Self::create(name, |fd| SharedMap::new(fd, max_len.max(BLOCK_SIZE)))
    }

    fn create(
        name: &str,
        map: impl FnOnce(BorrowedFd<'_>) -> Result<SharedMap, MemfdError>,
    ) -> Result<Self, MemfdError> {
        const { assert_block_size(BLOCK_SIZE) };
        let fd = file::create(name)?;
        let len = BLOCK_SIZE as u64;
        if file::len_limit() < len {
            return Err(MemfdError::FileSizeLimit { len });
        }
        // The seal keeps what is mapped: nobody can cut the file short.
        file::add_seals(fd.as_fd(), SealFlags::empty(), SealFlags::SHRINK)?;
        file::allocate(&fd, 0..len).map_err(MemfdError::system("fallocate"))?;
        let map = map(fd.as_fd())?;
        map.dump(0..BLOCK_SIZE);
        Ok(Self::from_parts(fd, map, Blocks::new()))
    }

    fn from_parts(fd: OwnedFd, map: SharedMap, blocks: Blocks<BLOCK_SIZE>) -> Self {
        Self {
            file: GrowingFile::new(fd, map),
            process: std::process::id(),
            blocks: Lock::new(blocks),
            growth: Lock::new(()),
        }
    }

    /// Opens the memfd of another memory, to claim its blocks and go on writing.
    ///
    /// The memory can grow to 64 GiB, or to twice the file's length if that is more, or to
    /// [less](Self::max_len) if the process is not allowed as much address space.
    ///
    /// At first every block is preserved, whatever it holds, except that blocks in holes of the
    /// file are free. Claim the sets whose heads you know, then free the rest with
    /// [`free_preserved`](Self::free_preserved). Opening allocates no memory for the file, whatever
    /// its length.
    ///
    /// ```
    /// use kho_block::{BlockSet, MemfdMemory};
    ///
    /// let memory = MemfdMemory::new("counters")?;
    /// let mut set = BlockSet::<Counter, _>::new_in(&memory);
    /// set.push(Counter { value: 42 })?;
    /// let head = set.hand_over();
    /// let fd = memory.into_fd(); // crosses `exec`
    ///
    /// // SAFETY: nobody else has the file.
    /// let memory: MemfdMemory = unsafe { MemfdMemory::from_fd(fd) }?;
    /// let mut set = BlockSet::restore(&memory, head)?;
    /// memory.free_preserved();
    /// set.push(Counter { value: 43 })?;
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, Entry};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Counter { value: u64 }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the descriptor does not refer to a memfd on tmpfs or is not open for
    /// reading and writing, or if the file is sealed against writing, does not consist of whole
    /// blocks, or can't be mapped. The error gives the descriptor back.
    ///
    /// # Safety
    /// Until the memory is dropped, nobody else may write the file: no other process, and no other
    /// descriptor or mapping in this one (invariant I4: `&T` is handed out only for memory that
    /// nobody else can change). A descriptor that was inherited across `exec` from a program that
    /// shared it with nobody satisfies this. If others may have the file, use [`SealedMemfd`].
    pub unsafe fn from_fd(fd: OwnedFd) -> Result<Self, FromFdError> {
        Self::open(fd, SharedMap::with_room)
    }

    /// Opens the memfd of another memory, which can then grow to `max_len` bytes. See
    /// [`from_fd`](Self::from_fd).
    ///
    /// The memory can't grow if the file already has that length.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`from_fd`](Self::from_fd).
    ///
    /// # Safety
    /// As for [`from_fd`](Self::from_fd), nobody else may change the file while this memory exists.
    pub unsafe fn from_fd_with_max_len(fd: OwnedFd, max_len: usize) -> Result<Self, FromFdError> {
        Self::open(fd, |fd, len| SharedMap::new(fd, max_len.max(len)))
    }

    fn open(
        fd: OwnedFd,
        map: impl FnOnce(BorrowedFd<'_>, usize) -> Result<SharedMap, MemfdError>,
    ) -> Result<Self, FromFdError> {
        const { assert_block_size(BLOCK_SIZE) };
        match Self::check_and_map(fd.as_fd(), map) {
            Ok((map, blocks)) => Ok(Self::from_parts(fd, map, blocks)),
            Err(error) => Err(FromFdError { error, fd }),
        }
    }

    /// Maps a file from outside, once its kind, seals and length are known to fit (H4).
    fn check_and_map(
        fd: BorrowedFd<'_>,
        map: impl FnOnce(BorrowedFd<'_>, usize) -> Result<SharedMap, MemfdError>,
    ) -> Result<(SharedMap, Blocks<BLOCK_SIZE>), MemfdError> {
        let seals = file::check(fd, Access::ReadWrite)?;
        if seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) {
            return Err(MemfdError::Sealed);
        }
        // Before the length is asked: from here on it can only grow.
        file::add_seals(fd, seals, SealFlags::SHRINK)?;
        let file_len = file::len(fd)?;
        let len = usize::try_from(file_len).unwrap_or(usize::MAX);
        if len < BLOCK_SIZE || len % BLOCK_SIZE != 0 {
            return Err(MemfdError::Length { len: file_len });
        }
        let mut blocks = Blocks::of_hole(len).map_err(|_| MemfdError::OutOfMemory)?;
        let mut dumped = SmallVec::<[Range<usize>; MAX_DUMPED_RANGES + 1]>::new();
        file::for_each_backed(fd, len, |bytes| {
            blocks.add_backed(&bytes);
            if dumped.len() <= MAX_DUMPED_RANGES {
                dumped.push(bytes);
            }
        })?;
        let map = map(fd, len)?;
        if dumped.len() <= MAX_DUMPED_RANGES {
            for bytes in dumped {
                map.dump(bytes);
            }
        }
        Ok((map, blocks))
    }

    /// Seals the file against every change and opens it as a [`SealedMemfd`].
    ///
    /// The sealed file contains the sets that were handed over.
    ///
    /// # Errors
    /// Returns an error if the file is mapped for writing elsewhere, or if a system call fails. The
    /// error gives the descriptor back.
    ///
    /// # Panics
    /// Panics in a child of `fork` whose parent has the file mapped.
    pub fn seal(self) -> Result<SealedMemfd<BLOCK_SIZE>, FromFdError> {
        SealedMemfd::seal_with_block_size(self.into_fd())
    }

    /// Unmaps the file and returns its descriptor.
    ///
    /// The descriptor of a memfd that this type created has the flag `FD_CLOEXEC`. To pass it
    /// through `exec`, clear the flag, or make it the standard input of a
    /// [`Command`](std::process::Command), as the example `hand_over` does.
    ///
    /// # Panics
    /// Panics in a child of `fork` whose parent has the file mapped.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        assert_eq!(self.process, std::process::id(), "the memory belongs to the parent process");
        self.file.into_fd()
    }

    /// Returns the largest length of the file in bytes.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.file.map().len() / BLOCK_SIZE * BLOCK_SIZE
    }

    /// Returns the number of blocks that are free, owned and preserved.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.blocks.with(|blocks| blocks.ledger.usage())
    }

    /// Frees every preserved block and returns their number.
    ///
    /// Call it after claiming every set that you want to keep.
    pub fn free_preserved(&self) -> usize {
        self.blocks.with(Blocks::free_preserved)
    }
}

impl<const BLOCK_SIZE: usize> fmt::Debug for MemfdMemory<BLOCK_SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemfdMemory").field("usage", &self.usage()).finish_non_exhaustive()
    }
}
