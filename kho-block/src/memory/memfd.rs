//! Blocks in a memfd of our own.

use core::fmt;
use core::ptr::NonNull;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, fstat,
    ftruncate, memfd_create,
};
use rustix::io::Errno;
use rustix::mm::{Advice, madvise};
use thiserror::Error;

use super::ledger::{Ledger, State, Usage};
use super::lock::Lock;
use super::map::{HUGE_PAGE, Map};
use super::sealed::SealedMemfd;
use super::{BlockMemory, ReadMemory, claim_each};
use crate::abi::{DEFAULT_BLOCK_SIZE, assert_block_size};
use crate::addr::PhysAddr;
use crate::error::{
    AllocError, AllocErrorKind, ClaimError, ClaimErrorKind, ReadError, ReadErrorKind,
};

/// Blocks in a memfd: the file crosses `exec`, goes to another process, or is preserved by the Live
/// Update Orchestrator, and the blocks with it.
///
/// A block's address is its offset in the file. The first block of the file is never given out: its
/// address would be null. It is zero, and left to whoever wants to describe what is in the file.
///
/// Address space is reserved for the largest size at the start, so blocks never move. The file
/// grows in steps, and what it grows by is allocated then and there: writing to a block that a set
/// has can't fail for want of memory. A file of more than 256 KiB consists of huge pages where the
/// system has them (Linux 6.1, whatever is set for shared memory but `deny`): the Live Update
/// Orchestrator preserves each as one.
///
/// No safe method lets the descriptor out while the file is mapped for writing:
/// [`seal`](Self::seal) and [`into_fd`](Self::into_fd) consume the memory. Writing the file through
/// `/proc` meanwhile is like writing `/proc/self/mem`: nothing that this crate can guard against.
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
pub struct MemfdMemory<const BLOCK_SIZE: usize = DEFAULT_BLOCK_SIZE> {
    map: Map,
    fd: OwnedFd,
    /// Block number n is at offset `(n + 1) * BLOCK_SIZE`. The file holds all of the ledger's
    /// blocks and can't shrink.
    ledger: Lock<Ledger>,
}

/// A memfd could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MemfdError {
    /// A system call failed.
    #[error("{call} failed: {}", Errno::from_raw_os_error(*errno))]
    System {
        /// Name of the call.
        call: &'static str,
        /// The system's error number.
        errno: i32,
    },
    /// The file is not sealed against writing and shrinking, so its bytes may change.
    #[error("the memfd is not sealed against writing and shrinking")]
    NotSealed,
    /// The file is sealed against writing: it can be viewed, not claimed.
    #[error("the memfd is sealed against writing")]
    Sealed,
    /// The table of the file's blocks could not be allocated.
    #[error("out of memory for the table of blocks")]
    OutOfMemory,
    /// The file's length is not a number of blocks.
    #[error("the memfd has {len} bytes, not a whole number of blocks")]
    Length {
        /// Length of the file in bytes.
        len: u64,
    },
}

impl MemfdError {
    /// For `map_err` after a system call.
    pub(super) fn system(call: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::System { call, errno: errno.raw_os_error() }
    }
}

/// A memfd could not be sealed, or not be opened once it was. The descriptor is given back.
#[derive(Debug, Error)]
#[error("can't seal and open the memfd: {error}")]
#[non_exhaustive]
pub struct SealError {
    /// Why not. `EBUSY` says that something else has the file mapped for writing.
    pub error: MemfdError,
    /// The file, no longer mapped.
    pub fd: OwnedFd,
}

const SMALLEST_STEP: usize = 64 << 10;
/// A file that gets longer than this takes a whole huge page.
const HUGE_FROM: usize = 256 << 10;

/// Linux 6.1, `uapi/asm-generic/mman-common.h`; the same on every architecture.
const MADV_COLLAPSE: libc::c_int = 25;

/// Address space of a memory that was not given a size: 64 GiB, which costs nothing, or 1 GiB where
/// there are not as many addresses.
const DEFAULT_MAX_LEN: usize = if usize::BITS < 64 { 1 << 30 } else { 1 << (usize::BITS - 28) };

impl MemfdMemory {
    /// A new memfd with blocks of 4 KiB that can grow to 64 GiB. The name shows in `/proc`.
    ///
    /// # Errors
    /// The memfd could not be made or mapped.
    pub fn new(name: &str) -> Result<Self, MemfdError> {
        Self::with_max_len(name, DEFAULT_MAX_LEN)
    }
}

impl<const BLOCK_SIZE: usize> MemfdMemory<BLOCK_SIZE> {
    /// A new memfd with blocks of `BLOCK_SIZE` bytes that can grow to `max_len` bytes.
    ///
    /// # Errors
    /// The memfd could not be made or mapped.
    pub fn with_max_len(name: &str, max_len: usize) -> Result<Self, MemfdError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Linux 7.2 hands a memfd's seals over, but not its mode: one that is sealed against
        // execution comes out sealed against writing. So that is for systems that allow no other
        // (sysctl vm.memfd_noexec). Kernels before 6.3 know neither flag.
        let fd = memfd_create(name, flags | MemfdFlags::EXEC)
            .or_else(|error| match error {
                Errno::ACCESS => memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL),
                Errno::INVAL => memfd_create(name, flags),
                error => Err(error),
            })
            .map_err(MemfdError::system("memfd_create"))?;
        // What is mapped stays: nobody can cut the file short.
        fcntl_add_seals(&fd, SealFlags::SHRINK).map_err(MemfdError::system("fcntl"))?;
        fallocate(&fd, FallocateFlags::empty(), 0, BLOCK_SIZE as u64)
            .map_err(MemfdError::system("fallocate"))?;
        Self::map(fd, Ledger::new(), max_len)
    }

    /// A memfd that another memory was handed over in, to claim its blocks and go on writing.
    ///
    /// Every block is preserved, whatever it holds: claim the sets whose heads you know, then
    /// [`free_preserved`](Self::free_preserved) the rest.
    ///
    /// # Errors
    /// The descriptor is not a memfd of whole blocks that may be written, or can't be mapped.
    ///
    /// # Safety
    /// Until the memory is dropped, nobody else writes the file: no other process, no other
    /// descriptor or mapping in this one (invariant I4: `&T` is handed out only for memory that
    /// nobody else can change). A descriptor that was inherited by `exec` from a program that
    /// shared it with nobody satisfies this; where others may have it, use a [`SealedMemfd`].
    pub unsafe fn from_fd(fd: OwnedFd) -> Result<Self, MemfdError> {
        let seals = fcntl_get_seals(&fd).map_err(MemfdError::system("fcntl"))?;
        if seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) {
            return Err(MemfdError::Sealed);
        }
        // Before the length is asked: from here on it can only grow. Nothing can be added to a file
        // whose seals are sealed, not even what is there.
        if !seals.contains(SealFlags::SHRINK) {
            fcntl_add_seals(&fd, SealFlags::SHRINK).map_err(MemfdError::system("fcntl"))?;
        }
        let file_len = file_len(&fd)?;
        let len = usize::try_from(file_len).unwrap_or(usize::MAX);
        if len < BLOCK_SIZE || len % BLOCK_SIZE != 0 {
            return Err(MemfdError::Length { len: file_len });
        }
        let mut ledger = Ledger::new();
        ledger.grow(len / BLOCK_SIZE - 1, State::Preserved).map_err(|_| MemfdError::OutOfMemory)?;
        // A sparse file gets its pages here, not when a set writes to them.
        fallocate(&fd, FallocateFlags::empty(), 0, file_len)
            .map_err(MemfdError::system("fallocate"))?;
        Self::map(fd, ledger, DEFAULT_MAX_LEN.max(len))
    }

    fn map(fd: OwnedFd, ledger: Ledger, max_len: usize) -> Result<Self, MemfdError> {
        const { assert_block_size(BLOCK_SIZE) };
        let max_len = max_len.max(BLOCK_SIZE);
        let map = Map::shared(fd.as_fd(), max_len).map_err(MemfdError::system("mmap"))?;
        // SAFETY: the range is the whole mapping; the advice changes no byte. Only speed depends on
        // the answer.
        let _ = unsafe { madvise(map.base().as_ptr().cast(), map.len(), Advice::LinuxHugepage) };
        Ok(Self { map, fd, ledger: Lock::new(ledger) })
    }

    /// Seals the file against every change and opens it for viewing. What was handed over is in it.
    ///
    /// # Errors
    /// Something else has the file mapped for writing, or a system call failed. The error gives
    /// the descriptor back.
    pub fn seal(self) -> Result<SealedMemfd<BLOCK_SIZE>, SealError> {
        SealedMemfd::seal(self.into_fd())
    }

    /// Unmaps the file and gives out its descriptor, which closes on `exec` unless told otherwise.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// How many blocks are free, owned and preserved.
    pub fn usage(&self) -> Usage {
        self.ledger.with(|ledger| ledger.usage())
    }

    /// Frees every block that is preserved and that nobody has claimed; says how many.
    pub fn free_preserved(&self) -> usize {
        self.ledger.with(|ledger| ledger.free_preserved())
    }

    /// Adds blocks: `wanted` of them or as many as there are, whichever is more, while that makes a
    /// small file; then those up to the end of a huge page. Or fewer if there is no such space.
    fn grow(&self, ledger: &mut Ledger, wanted: usize) -> Result<(), AllocErrorKind> {
        let len = (ledger.len() + 1) * BLOCK_SIZE;
        let room = (self.map.len() - len) / BLOCK_SIZE * BLOCK_SIZE;
        let unit = HUGE_PAGE.max(BLOCK_SIZE);
        let mut step = wanted.saturating_mul(BLOCK_SIZE).max(len).max(SMALLEST_STEP);
        if len.saturating_add(step) > HUGE_FROM {
            step = unit - len % unit;
        }
        step = step.min(room);
        if step == 0 {
            return Err(AllocErrorKind::Full);
        }
        ledger.reserve(step / BLOCK_SIZE)?;
        if !self.fill_huge_page(len + step) {
            step = self.fill(len, step)?;
        }
        ledger.grow(step / BLOCK_SIZE, State::Zeroed)
    }

    /// Lets the file grow to `end` and makes a huge page of what is before it. `false` if the end is
    /// not that of a huge page, or none is to be had.
    fn fill_huge_page(&self, end: usize) -> bool {
        if end % HUGE_PAGE != 0 || BLOCK_SIZE > HUGE_PAGE {
            return false;
        }
        let start = end - HUGE_PAGE;
        // A huge page is made of small ones, of which there must be one at least.
        let one = fallocate(&self.fd, FallocateFlags::empty(), start as u64, BLOCK_SIZE as u64);
        if one.and_then(|()| ftruncate(&self.fd, end as u64)).is_err() {
            return false;
        }
        // SAFETY: the range is inside the mapping and the file; collapsing changes no byte.
        let collapsed =
            unsafe { libc::madvise(self.map.at(start).as_ptr().cast(), HUGE_PAGE, MADV_COLLAPSE) };
        collapsed == 0
    }

    /// Allocates `step` bytes behind the first `len` of the file, or fewer; says how many.
    fn fill(&self, len: usize, mut step: usize) -> Result<usize, AllocErrorKind> {
        while let Err(errno) = fallocate(&self.fd, FallocateFlags::empty(), len as u64, step as u64)
        {
            // A signal undoes the step, so a smaller one is what gets through between two.
            if step == BLOCK_SIZE && errno != Errno::INTR {
                return Err(AllocErrorKind::OutOfMemory);
            }
            step = (step / 2).next_multiple_of(BLOCK_SIZE);
        }
        // SAFETY: the range is inside the mapping and the file; populating changes no byte. Only
        // speed depends on the answer.
        let _ =
            unsafe { madvise(self.map.at(len).as_ptr().cast(), step, Advice::LinuxPopulateWrite) };
        Ok(step)
    }

    /// Takes the first free block, zeroed; if there is none, grows for `wanted` of them.
    fn allocate_in(&self, ledger: &mut Ledger, wanted: usize) -> Result<NonNull<u8>, AllocError> {
        let (number, state) = loop {
            if let Some(free) = ledger.allocate() {
                break free;
            }
            self.grow(ledger, wanted).map_err(AllocError::new)?;
        };
        let block = self.block(number);
        if state != State::Zeroed {
            // SAFETY: the ledger has just made the block this caller's alone, so nobody else
            // uses it.
            unsafe { block.write_bytes(0, BLOCK_SIZE) };
        }
        Ok(block)
    }

    /// Pointer to the block with a number that the ledger has.
    #[inline]
    fn block(&self, number: usize) -> NonNull<u8> {
        self.map.at((number + 1) * BLOCK_SIZE)
    }

    /// Number of an owned block.
    fn number_of_owned(&self, block: NonNull<u8>) -> usize {
        self.offset(block) / BLOCK_SIZE - 1
    }

    fn offset(&self, block: NonNull<u8>) -> usize {
        block.addr().get().wrapping_sub(self.map.base().addr().get())
    }

    #[inline]
    fn claim_in(&self, ledger: &mut Ledger, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError> {
        let error = |kind| ClaimError::new(addr, kind);
        if !addr.is_aligned_to(BLOCK_SIZE) {
            return Err(error(ClaimErrorKind::Misaligned));
        }
        let number = usize::try_from(addr.get())
            .ok()
            .and_then(|offset| (offset / BLOCK_SIZE).checked_sub(1))
            .ok_or(error(ClaimErrorKind::Outside))?;
        ledger.claim(number).map_err(error)?;
        Ok(self.block(number))
    }
}

/// Length of a file in bytes.
pub(super) fn file_len(fd: &OwnedFd) -> Result<u64, MemfdError> {
    let stat = fstat(fd).map_err(MemfdError::system("fstat"))?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

impl<const BLOCK_SIZE: usize> fmt::Debug for MemfdMemory<BLOCK_SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemfdMemory").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl<const BLOCK_SIZE: usize> ReadMemory for MemfdMemory<BLOCK_SIZE> {
    const BLOCK_SIZE: usize = BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let error = |kind| ReadError::new(addr, kind);
        let start = usize::try_from(addr.get()).map_err(|_| error(ReadErrorKind::Outside))?;
        let last =
            start.checked_add(buf.len().saturating_sub(1)).ok_or(error(ReadErrorKind::Outside))?;
        self.ledger.with(|ledger| {
            if start < BLOCK_SIZE || last / BLOCK_SIZE > ledger.len() {
                return Err(error(ReadErrorKind::Outside));
            }
            if !ledger.all_preserved(start / BLOCK_SIZE - 1..=last / BLOCK_SIZE - 1) {
                return Err(error(ReadErrorKind::NotPreserved));
            }
            let from = self.map.at(start);
            let len = buf.len();
            // SAFETY: the bytes are in preserved blocks, inside the file, and can't be claimed
            // while this closure has the lock (G2), so nobody writes them.
            unsafe { from.copy_to_nonoverlapping(NonNull::from(buf).cast(), len) };
            Ok(())
        })
    }
}

// SAFETY:
// G1: blocks lie in the mapping, whose base is aligned to a page, which never moves and lives as
//     long as the memory; the file holds every block of the ledger and can't shrink, and the bytes
//     of a file are initialised.
// G2, G5: the ledger changes under the lock; it gives a block out only when it is not owned. The
//     descriptor leaves only when the file is unmapped; one that came in has nobody else writing
//     it, as `from_fd` asks (I4).
// G3: a file grows by zeros; `allocate` zeroes a block that was used before.
// G4: the address is the block's offset, which is at least a block size.
// G6: the type is not `Clone`.
unsafe impl<const BLOCK_SIZE: usize> BlockMemory for MemfdMemory<BLOCK_SIZE> {
    fn allocate(&self) -> Result<NonNull<u8>, AllocError> {
        self.ledger.with(|ledger| self.allocate_in(ledger, 1))
    }

    fn allocate_all<F>(&self, count: usize, mut visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        self.ledger.with(|ledger| {
            (0..count).try_for_each(|done| {
                visit(self.allocate_in(ledger, count - done)?);
                Ok(())
            })
        })
    }

    fn claim(&self, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError> {
        self.ledger.with(|ledger| self.claim_in(ledger, addr))
    }

    #[inline]
    fn claim_chain<F>(&self, first: PhysAddr, visit: F) -> Result<(), ClaimError>
    where
        F: FnMut(NonNull<u8>) -> Option<PhysAddr>,
    {
        self.ledger.with(|ledger| claim_each(first, |addr| self.claim_in(ledger, addr), visit))
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        PhysAddr::new(self.offset(block) as u64)
    }

    unsafe fn free(&self, block: NonNull<u8>) {
        self.ledger.with(|ledger| ledger.free(self.number_of_owned(block)));
    }

    unsafe fn hand_over(&self, block: NonNull<u8>) {
        self.ledger.with(|ledger| ledger.hand_over(self.number_of_owned(block)));
    }

    unsafe fn free_all<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.ledger.with(|ledger| {
            blocks.for_each(|block| ledger.free(self.number_of_owned(block)));
        });
    }

    unsafe fn hand_over_all<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.ledger.with(|ledger| {
            blocks.for_each(|block| ledger.hand_over(self.number_of_owned(block)));
        });
    }
}
