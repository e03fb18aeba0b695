//! Blocks in a memfd of our own.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::SealFlags;
use smallvec::SmallVec;

use super::ledger::{Ledger, State, Usage};
use super::lock::Lock;
use super::{BlockMemory, ClaimVisitor, ReadMemory, claim_each};
use crate::abi::{DEFAULT_BLOCK_SIZE, assert_block_size};
use crate::addr::PhysAddr;
use crate::error::{AllocError, ClaimError, ClaimErrorKind, ReadError, ReadErrorKind};

mod error;
mod file;
mod fork;
mod grow;
mod map;
mod sealed;

pub use error::{FromFdError, MemfdError};
use file::Access;
use map::SharedMap;
pub use sealed::SealedMemfd;

/// Blocks in a memfd: the file crosses `exec`, goes to another process, or is preserved by the Live
/// Update Orchestrator, and the blocks with it.
///
/// A block's address is its offset in the file. The first block of the file is never given out: its
/// address would be null. It is zero, and left to whoever wants to describe what is in the file.
///
/// Address space is reserved for the largest size at the start, so blocks never move. The file
/// grows in steps, and what it grows by is allocated then and there. A file of more than an eighth of
/// a huge page (256 KiB where those have 2 MiB) consists of huge pages where the system has them
/// (Linux 6.1, whatever is set for shared memory but `deny`): the Live Update Orchestrator preserves
/// each as one.
///
/// # Memory that is there
///
/// Writing to a block that a set has can't fail for want of memory. Asking for one can: with an error,
/// or, where the system promises more memory than it has (`vm.overcommit_memory`) or a cgroup is full,
/// by a kill. Reserve early, give the process a `memory.min` that covers what it preserves, and set
/// `oom_score_adj` so that others go first.
///
/// A file from outside may have holes: [`from_fd`](Self::from_fd) allocates nothing. Blocks in holes
/// are free and get memory when they are given out ([`Usage::unbacked`]).
///
/// # Forks and core dumps
///
/// A child of `fork` inherits the value and not the mapping, so that each block has one owner. The
/// child of a process with one thread may drop the memory and the sets in it; any child may call `exec`
/// or `_exit`. Looking at a block ends it with SIGSEGV; [`seal`](Self::seal) and
/// [`into_fd`](Self::into_fd) panic. A child that is to have the state gets the descriptor by `exec` or
/// through a socket, as any other process does. A child that can't keep the addresses free, since it may
/// not map as much or something is there, is aborted.
///
/// A core dump has the file where `coredump_filter` asks for shared memory, but for what fills the holes
/// of a file from outside, and nothing of what it may still grow to. Neither counts as locked memory, also
/// where the process locks all of its own (`mlockall`).
///
/// # Who else has the file
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
    map: SharedMap,
    fd: OwnedFd,
    /// The process that has the file mapped.
    process: u32,
    blocks: Lock<Blocks>,
    /// Held while the file gets memory, which takes long; `blocks` is not held meanwhile.
    growth: Lock<()>,
}

/// # Invariants
/// Block number n is at offset `(n + 1) * BLOCK_SIZE`. The file holds all of the ledger's blocks and
/// can't shrink. There is memory behind each that is not unbacked and not in `partial`.
struct Blocks {
    ledger: Ledger,
    /// Preserved blocks that a hole of the file is in.
    partial: BTreeSet<usize>,
}

/// How many blocks are given out at a time, so that a lock is held for a bounded time.
const BATCH: usize = 64;
/// Up to so many ranges of a file go into a core dump: each is a mapping of its own to the kernel.
const DUMPED_RANGES: usize = 16;

impl MemfdMemory {
    /// A new memfd with blocks of 4 KiB that can grow to 64 GiB, or to [less](Self::max_len) where the
    /// process may not have as much address space. The name shows in `/proc`.
    ///
    /// # Errors
    /// The memfd could not be made or mapped.
    pub fn new(name: &str) -> Result<Self, MemfdError> {
        Self::create(name, |fd| SharedMap::with_room(fd, 0))
    }
}

impl<const BLOCK_SIZE: usize> MemfdMemory<BLOCK_SIZE> {
    /// A new memfd with blocks of `BLOCK_SIZE` bytes that can grow to `max_len` bytes.
    ///
    /// # Errors
    /// The memfd could not be made, or not be mapped with as much address space.
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
        // What is mapped stays: nobody can cut the file short.
        file::add_seals(fd.as_fd(), SealFlags::empty(), SealFlags::SHRINK)?;
        file::allocate(&fd, 0..len).map_err(MemfdError::system("fallocate"))?;
        let map = map(fd.as_fd())?;
        map.dump(0..BLOCK_SIZE);
        Ok(Self::from_parts(fd, map, Blocks { ledger: Ledger::new(), partial: BTreeSet::new() }))
    }

    fn from_parts(fd: OwnedFd, map: SharedMap, blocks: Blocks) -> Self {
        let process = std::process::id();
        Self { map, fd, process, blocks: Lock::new(blocks), growth: Lock::new(()) }
    }

    /// A memfd that another memory was handed over in, to claim its blocks and go on writing. It can
    /// grow to 64 GiB, or to twice its length if that is more, or to [less](Self::max_len) where the
    /// process may not have as much address space.
    ///
    /// Every block is preserved, whatever it holds: claim the sets whose heads you know, then
    /// [`free_preserved`](Self::free_preserved) the rest. Blocks in holes of the file are free. The file
    /// gets no memory here, whatever its length.
    ///
    /// # Errors
    /// The descriptor is not that of a memfd on tmpfs, of whole blocks, that may be read and written;
    /// or it can't be mapped. The error gives the descriptor back.
    ///
    /// # Safety
    /// Until the memory is dropped, nobody else writes the file: no other process, no other
    /// descriptor or mapping in this one (invariant I4: `&T` is handed out only for memory that
    /// nobody else can change). A descriptor that was inherited by `exec` from a program that
    /// shared it with nobody satisfies this; where others may have it, use a [`SealedMemfd`].
    pub unsafe fn from_fd(fd: OwnedFd) -> Result<Self, FromFdError> {
        Self::open(fd, SharedMap::with_room)
    }

    /// The same as [`from_fd`](Self::from_fd) for a memory that can grow to `max_len` bytes, or that can't
    /// grow if the file is as long.
    ///
    /// # Errors
    /// As for [`from_fd`](Self::from_fd).
    ///
    /// # Safety
    /// As for [`from_fd`](Self::from_fd).
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

    /// H4: maps the file once its kind, seals and length are known to fit.
    fn check_and_map(
        fd: BorrowedFd<'_>,
        map: impl FnOnce(BorrowedFd<'_>, usize) -> Result<SharedMap, MemfdError>,
    ) -> Result<(SharedMap, Blocks), MemfdError> {
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
        let out_of_memory = |_| MemfdError::OutOfMemory;
        let ledger = Ledger::unbacked(len / BLOCK_SIZE - 1).map_err(out_of_memory)?;
        let mut blocks = Blocks { ledger, partial: BTreeSet::new() };
        let mut backed = Vec::new();
        file::for_each_backed(fd, len, |bytes| {
            blocks.add_backed::<BLOCK_SIZE>(&bytes);
            if backed.len() <= DUMPED_RANGES {
                backed.push(bytes);
            }
        })?;
        let map = map(fd, len)?;
        if backed.len() <= DUMPED_RANGES {
            backed.into_iter().for_each(|bytes| map.dump(bytes));
        }
        Ok((map, blocks))
    }

    /// Seals the file against every change and opens it for viewing. What was handed over is in it.
    ///
    /// # Errors
    /// Something else has the file mapped for writing, or a system call failed. The error gives
    /// the descriptor back.
    ///
    /// # Panics
    /// In a child of `fork`, whose parent has the file mapped.
    pub fn seal(self) -> Result<SealedMemfd<BLOCK_SIZE>, FromFdError> {
        SealedMemfd::seal(self.into_fd())
    }

    /// Unmaps the file and gives out its descriptor, which closes on `exec` unless told otherwise.
    ///
    /// # Panics
    /// In a child of `fork`, whose parent has the file mapped.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        assert_eq!(self.process, std::process::id(), "the memory belongs to the parent process");
        self.fd
    }

    /// Returns how many bytes the file can grow to.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.map.len() / BLOCK_SIZE * BLOCK_SIZE
    }

    /// Returns how many blocks are free, owned and preserved.
    pub fn usage(&self) -> Usage {
        self.blocks.with(|blocks| blocks.ledger.usage())
    }

    /// Frees every block that is preserved and that nobody has claimed. Returns how many there were.
    pub fn free_preserved(&self) -> usize {
        self.blocks.with(|blocks| {
            let partial = core::mem::take(&mut blocks.partial);
            for number in &partial {
                blocks.ledger.change(*number, State::Preserved, State::Unbacked);
            }
            partial.len() + blocks.ledger.free_preserved()
        })
    }

    /// Makes up to `most` free blocks owned, and puts their numbers in `batch`, with whether each is known
    /// to be zero; grows for `wanted` if there is none.
    fn take_free(
        &self,
        batch: &mut SmallVec<[(usize, bool); BATCH]>,
        wanted: usize,
    ) -> Result<(), AllocError> {
        loop {
            self.blocks.with(|blocks| {
                let free = core::iter::from_fn(|| blocks.ledger.allocate());
                batch.extend(free.take(wanted.min(BATCH)));
            });
            if !batch.is_empty() {
                return Ok(());
            }
            self.grow(wanted).map_err(AllocError::new)?;
        }
    }

    /// Pointer to a block that was just made owned, zeroed unless it `is_zero` already.
    #[inline]
    fn zeroed(&self, number: usize, is_zero: bool) -> NonNull<u8> {
        let block = self.block(number);
        if !is_zero {
            // SAFETY: the ledger has just made the block this caller's alone, so nobody else
            // uses it.
            unsafe { block.write_bytes(0, BLOCK_SIZE) };
        }
        block
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
    fn claim_in(&self, blocks: &mut Blocks, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError> {
        let error = |kind| ClaimError::new(addr, kind);
        if !addr.is_aligned_to(BLOCK_SIZE) {
            return Err(error(ClaimErrorKind::Misaligned));
        }
        let number = usize::try_from(addr.get())
            .ok()
            .and_then(|offset| (offset / BLOCK_SIZE).checked_sub(1))
            .ok_or(error(ClaimErrorKind::Outside))?;
        blocks.ledger.claim(number).map_err(error)?;
        if !blocks.partial.is_empty() && self.complete(blocks, number).is_err() {
            blocks.ledger.hand_over(number);
            return Err(error(ClaimErrorKind::OutOfMemory));
        }
        Ok(self.block(number))
    }
}

impl Blocks {
    /// Takes those blocks for preserved that these bytes of the file are in, which have memory behind
    /// them. There is none before them and none after.
    fn add_backed<const BLOCK_SIZE: usize>(&mut self, bytes: &Range<usize>) {
        let blocks = bytes.start / BLOCK_SIZE..bytes.end.div_ceil(BLOCK_SIZE);
        // The first block of the file has no number.
        for block in blocks.start.max(1)..blocks.end {
            let number = block - 1;
            let whole = block * BLOCK_SIZE..(block + 1) * BLOCK_SIZE;
            let is_whole = bytes.start <= whole.start && whole.end <= bytes.end;
            // Of a block with a hole this may be the second range.
            if is_whole || self.partial.insert(number) {
                self.ledger.change(number, State::Unbacked, State::Preserved);
            }
        }
    }
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
        self.blocks.with(|blocks| {
            if start < BLOCK_SIZE || last / BLOCK_SIZE > blocks.ledger.len() {
                return Err(error(ReadErrorKind::Outside));
            }
            let numbers = start / BLOCK_SIZE - 1..=last / BLOCK_SIZE - 1;
            if !blocks.ledger.all_preserved(numbers.clone()) {
                return Err(error(ReadErrorKind::NotPreserved));
            }
            if !blocks.partial.is_empty() {
                let complete = |number| self.complete(blocks, number);
                numbers
                    .into_iter()
                    .try_for_each(complete)
                    .map_err(|_| error(ReadErrorKind::Failed))?;
            }
            let from = self.map.at(start);
            let len = buf.len();
            // SAFETY: the bytes are in preserved blocks, inside the file, and can't be claimed
            // while this closure has the lock (G2), so nobody writes them.
            unsafe { from.copy_to_nonoverlapping(NonNull::from(buf).cast(), len) };
            Ok(())
        })
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        let size = BLOCK_SIZE as u64;
        let blocks = self.blocks.with(|blocks| blocks.ledger.len()) as u64;
        let next = PhysAddr::new(addr.get().max(size));
        (next.get() / size <= blocks).then_some(next)
    }
}

// SAFETY:
// G1: blocks lie in the mapping, whose base is aligned to a page, which never moves and lives as
//     long as the memory; the file holds every block of the ledger and can't shrink, and the bytes
//     of a file are initialised. A block that is given out has memory behind it (H5).
// G2, G5: the ledger changes under the lock; it gives a block out only when it is not owned. No child
//     of this process inherits the mapping. The descriptor leaves only when the file is unmapped; one
//     that came in has nobody else writing it, as `from_fd` asks (I4).
// G3: a file of our own grows by zeros; `zeroed` zeroes a block that was used before, and each one of a
//     file from outside.
// G4: the address is the block's offset, which is at least a block size.
// G6: the type is not `Clone`.
unsafe impl<const BLOCK_SIZE: usize> BlockMemory for MemfdMemory<BLOCK_SIZE> {
    fn allocate<F>(&self, count: usize, mut visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        let mut left = count;
        let mut batch = SmallVec::new();
        while left > 0 {
            self.take_free(&mut batch, left)?;
            left -= batch.len();
            for (number, is_zero) in batch.drain(..) {
                visit(self.zeroed(number, is_zero));
            }
        }
        Ok(())
    }

    #[inline]
    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error> {
        let claim = |blocks: &mut Blocks, addr| self.claim_in(blocks, addr);
        let hand_over = |blocks: &mut Blocks, block| {
            blocks.ledger.hand_over(self.number_of_owned(block));
        };
        self.blocks.with(|blocks| claim_each(blocks, first, visitor, claim, hand_over))
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        PhysAddr::new(self.offset(block) as u64)
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.blocks.with(|state| {
            for block in blocks {
                state.ledger.free(self.number_of_owned(block));
            }
        });
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.blocks.with(|state| {
            for block in blocks {
                state.ledger.hand_over(self.number_of_owned(block));
            }
        });
    }
}
