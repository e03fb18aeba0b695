//! One small error per operation. Each says which block, where in the chain, and why.

use core::fmt;

use thiserror::Error;

use crate::addr::PhysAddr;

/// Bytes could not be read from a [`ReadMemory`](crate::ReadMemory).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("can't read memory at {addr}: {kind}")]
#[non_exhaustive]
pub struct ReadError {
    /// Where the read began.
    pub addr: PhysAddr,
    /// Why it failed.
    pub kind: ReadErrorKind,
}

impl ReadError {
    /// The error of a read that began at `addr`.
    #[must_use]
    pub const fn new(addr: PhysAddr, kind: ReadErrorKind) -> Self {
        Self { addr, kind }
    }
}

/// Why a read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// Some of the bytes are not in the memory.
    #[error("outside the memory")]
    Outside,
    /// Some of the bytes are in a block that is free or owned, so they may change at any time.
    #[error("not in a preserved block")]
    NotPreserved,
    /// The memory has the bytes but could not deliver them.
    #[error("the memory failed")]
    Failed,
}

/// A [`BlockMemory`](crate::BlockMemory) had no block to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("can't allocate a block: {kind}")]
#[non_exhaustive]
pub struct AllocError {
    /// Why not.
    pub kind: AllocErrorKind,
}

impl AllocError {
    /// An error of this kind.
    #[must_use]
    pub const fn new(kind: AllocErrorKind) -> Self {
        Self { kind }
    }
}

/// Why no block was to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AllocErrorKind {
    /// The system has no memory left for it.
    #[error("out of memory")]
    OutOfMemory,
    /// The memory has reached the size it was made for.
    #[error("the memory has reached its largest size")]
    Full,
    /// The memory's file may not grow: it is sealed against it (`F_SEAL_GROW`), or preserved for a
    /// live update.
    #[error("the memory's file may not grow: it is sealed against growing, or preserved")]
    Sealed,
    /// The process may not make the memory's file longer: see `ulimit -f`.
    #[error("the memory's file has the largest size that the process may write (RLIMIT_FSIZE)")]
    FileSizeLimit,
}

/// A block could not be claimed from a [`BlockMemory`](crate::BlockMemory).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("can't claim the block at {addr}: {kind}")]
#[non_exhaustive]
pub struct ClaimError {
    /// The address that was to be claimed.
    pub addr: PhysAddr,
    /// Why it could not be.
    pub kind: ClaimErrorKind,
}

impl ClaimError {
    /// The error of a claim of `addr`.
    #[must_use]
    pub const fn new(addr: PhysAddr, kind: ClaimErrorKind) -> Self {
        Self { addr, kind }
    }
}

/// Why a claim failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClaimErrorKind {
    /// The address is not that of a block's first byte.
    #[error("not aligned to a block")]
    Misaligned,
    /// The memory has no block there.
    #[error("outside the memory")]
    Outside,
    /// The block is free: nobody preserved it.
    #[error("not a preserved block")]
    NotPreserved,
    /// The block is owned already.
    #[error("owned already")]
    Owned,
    /// The block is in a hole of a file, in part, and the system has no memory left for it.
    #[error("out of memory")]
    OutOfMemory,
}

/// A chain is not one that can be restored. Nothing was claimed and nothing changed.
///
/// The block that is named is the one where the fault shows: for a bad link, that is the address
/// the link gives, at the position it would have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("block {position} of the chain, at {addr}: {kind}")]
#[non_exhaustive]
pub struct RestoreError {
    /// Address of the block.
    pub addr: PhysAddr,
    /// The block's position in the chain; the head's block has 0.
    pub position: usize,
    /// What is wrong with it.
    pub kind: RestoreErrorKind,
}

impl RestoreError {
    /// The error of the block at `addr`, which is at `position` in its chain.
    #[must_use]
    pub const fn new(addr: PhysAddr, position: usize, kind: RestoreErrorKind) -> Self {
        Self { addr, position, kind }
    }
}

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RestoreErrorKind {
    /// The address is not a multiple of the block size.
    #[error("not aligned to a block")]
    Misaligned,
    /// The memory has no such block.
    #[error("outside the memory")]
    Outside,
    /// The block is not preserved: it is free, or its bytes can't be read for another reason.
    #[error("not a preserved block")]
    NotPreserved,
    /// The block belongs to another set.
    #[error("owned by another set")]
    Owned,
    /// The chain has been at this block before.
    #[error("the chain comes back to this block")]
    Cycle,
    /// The block is one more than the chain may have.
    #[error("the chain is longer than {limit} blocks")]
    TooLong {
        /// The most blocks that were to be followed.
        limit: usize,
    },
    /// The header's count is 0. The kernel refuses such a block, too.
    #[error("the block has no entries")]
    NoEntries,
    /// The header's count is more than fits in a block.
    #[error("the header counts {count} entries, where at most {max} fit")]
    TooManyEntries {
        /// The count in the header.
        count: u64,
        /// How many entries fit.
        max: usize,
    },
    /// The memory lends the block at an address where the entries would not be aligned. Read it
    /// through a [`ForeignSet`](crate::ForeignSet) instead.
    #[error("the memory holds the block where its entries are not aligned")]
    EntriesMisaligned,
    /// The memory could not be read.
    #[error("the memory failed")]
    Failed,
    /// The table of the chain's blocks, or what a block lacks in a hole of a file, could not be
    /// allocated.
    #[error("out of memory")]
    OutOfMemory,
}

impl From<ReadErrorKind> for RestoreErrorKind {
    fn from(kind: ReadErrorKind) -> Self {
        match kind {
            ReadErrorKind::Outside => Self::Outside,
            ReadErrorKind::NotPreserved => Self::NotPreserved,
            ReadErrorKind::Failed => Self::Failed,
        }
    }
}

impl From<ClaimErrorKind> for RestoreErrorKind {
    fn from(kind: ClaimErrorKind) -> Self {
        match kind {
            ClaimErrorKind::Misaligned => Self::Misaligned,
            ClaimErrorKind::Outside => Self::Outside,
            ClaimErrorKind::NotPreserved => Self::NotPreserved,
            ClaimErrorKind::Owned => Self::Owned,
            ClaimErrorKind::OutOfMemory => Self::OutOfMemory,
        }
    }
}

/// A set could not grow. It is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("can't add block {position} to the set: {kind}")]
#[non_exhaustive]
pub struct ReserveError {
    /// The position in the chain that the missing block would have had.
    pub position: usize,
    /// Why it could not be added.
    pub kind: ReserveErrorKind,
}

/// Why a set could not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReserveErrorKind {
    /// The memory, or the table of blocks, could not be allocated.
    #[error("out of memory")]
    OutOfMemory,
    /// The memory has reached the size it was made for.
    #[error("the memory has reached its largest size")]
    Full,
    /// The memory's file may not grow: it is sealed against it (`F_SEAL_GROW`), or preserved for a
    /// live update.
    #[error("the memory's file may not grow: it is sealed against growing, or preserved")]
    Sealed,
    /// The process may not make the memory's file longer: see `ulimit -f`.
    #[error("the memory's file has the largest size that the process may write (RLIMIT_FSIZE)")]
    FileSizeLimit,
    /// The set would have more blocks than its successor would follow.
    #[error("the set would be longer than {limit} blocks")]
    TooLong {
        /// The set's limit.
        limit: usize,
    },
}

impl From<AllocErrorKind> for ReserveErrorKind {
    fn from(kind: AllocErrorKind) -> Self {
        match kind {
            AllocErrorKind::OutOfMemory => Self::OutOfMemory,
            AllocErrorKind::Full => Self::Full,
            AllocErrorKind::Sealed => Self::Sealed,
            AllocErrorKind::FileSizeLimit => Self::FileSizeLimit,
        }
    }
}

/// An entry was not pushed; it is given back. The set is as it was before.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushError<T> {
    /// The entry that found no place.
    pub entry: T,
    /// Why it found none.
    pub kind: PushErrorKind,
}

/// Why an entry was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PushErrorKind {
    /// All reserved capacity is used, and the call was not to allocate.
    #[error("the reserved capacity is used up")]
    CapacityUsed,
    /// The set could not grow.
    #[error(transparent)]
    Reserve(ReserveError),
}

#[cfg(feature = "alloc")]
impl<T> PushError<T> {
    pub(crate) const fn new(entry: T, kind: PushErrorKind) -> Self {
        Self { entry, kind }
    }
}

// By hand, without the entry: it need not be `Debug`, and may be long.
impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't push the entry: {}", self.kind)
    }
}

impl<T> core::error::Error for PushError<T> {}
