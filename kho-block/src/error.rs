//! The errors of this crate, and the rules that all of them follow.
//!
//! Each operation that can fail has one error type of its own, small enough to return by value and
//! without an allocation: [`ReadError`] for reading bytes, [`AllocError`] for allocating a block,
//! [`ClaimError`] for claiming one, [`RestoreError`] for checking a chain, [`ReserveError`] for
//! growing a set, [`PushError`] for pushing an entry. A caller that handles an error never has to
//! rule out variants of another operation.
//!
//! - **Place and reason.** If an operation has a place (an address, a position in a chain), the
//!   error is a struct with the place and a `kind`, an enum of reasons. Match on the kind but print
//!   the struct: a kind does not name the place. If there is no place, the error is the enum
//!   itself.
//! - **Nothing changed.** After an error a set has the entries it had, and no block was claimed.
//!   The error gives back what the caller passed by value: an entry that was not pushed, a
//!   descriptor that could not be used.
//! - **Causes.** The reason is part of the `Display` text, and then it is not a
//!   [`source`](core::error::Error::source) as well, so that a reporter that prints the chain of
//!   sources prints nothing twice. An error whose cause is not in its text returns it as its
//!   source.
//! - **`Debug` is for people too.** `fn main() -> Result<(), Box<dyn Error>>` prints the `Debug`
//!   form of an error that reaches it through `?`. So `Debug` prints the `Display` text and then
//!   the sources, by `readable_debug!`. Programs look at the public fields.
//! - **Room to grow.** All types are `non_exhaustive`: a new reason is not a breaking change.
//! - **Conversions** exist only between kinds, if one operation performs another, and never lose
//!   the place.

use core::error::Error;
use core::fmt;

use thiserror::Error;

use crate::addr::PhysAddr;

/// Implements `Debug` for error types: the `Display` text, then the sources.
macro_rules! readable_debug {
    ($($name:ident $(<$param:ident>)?),+ $(,)?) => {$(
        impl $(<$param>)? core::fmt::Debug for $name $(<$param>)? {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                $crate::error::fmt_with_sources(self, f)
            }
        }
    )+};
}
pub(crate) use readable_debug;

/// Writes the text of an error and of each of its sources, separated by colons.
pub(crate) fn fmt_with_sources(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    let mut source = error.source();
    while let Some(error) = source {
        write!(f, ": {error}")?;
        source = error.source();
    }
    Ok(())
}

/// The error returned when bytes can't be read from a [`ReadMemory`](crate::ReadMemory).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("can't read memory at {addr}: {kind}")]
#[non_exhaustive]
pub struct ReadError {
    /// Address at which the read began.
    pub addr: PhysAddr,
    /// Reason that the read failed.
    pub kind: ReadErrorKind,
}

impl ReadError {
    /// Returns the error of a read at `addr` that failed for the given reason.
    #[must_use]
    pub const fn new(addr: PhysAddr, kind: ReadErrorKind) -> Self {
        Self { addr, kind }
    }
}

/// The reason that memory could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// Some of the bytes are not in the memory.
    #[error("outside the memory")]
    Outside,
    /// Some of the bytes are in a block that is free or owned, so they may change at any time.
    #[error("not in a preserved block")]
    NotPreserved,
    /// The memory has the bytes but could not read them.
    #[error("the memory reported a failure")]
    Failed,
}

/// The error returned when a block can't be allocated from a [`BlockMemory`](crate::BlockMemory).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("can't allocate a block: {kind}")]
#[non_exhaustive]
pub struct AllocError {
    /// Reason that the allocation failed.
    pub kind: AllocErrorKind,
}

impl AllocError {
    /// Returns the error of an allocation that failed for the given reason.
    #[must_use]
    pub const fn new(kind: AllocErrorKind) -> Self {
        Self { kind }
    }
}

/// The reason that a block could not be allocated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum AllocErrorKind {
    /// The system is out of memory.
    #[error("out of memory")]
    OutOfMemory,
    /// The memory has reached the size it was made for.
    #[error("the memory has reached its largest size")]
    Full,
    /// The memory's file can't grow: it is sealed (`F_SEAL_GROW`), or preserved for a live update.
    #[error("the memory's file is sealed against growing, or preserved")]
    Sealed,
    /// The process is not allowed to make the memory's file longer (`RLIMIT_FSIZE`, `ulimit -f`).
    #[error("the memory's file has reached the file size limit of the process (RLIMIT_FSIZE)")]
    FileSizeLimit,
}

/// The error returned when a block can't be claimed from a [`BlockMemory`](crate::BlockMemory).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("can't claim the block at {addr}: {kind}")]
#[non_exhaustive]
pub struct ClaimError {
    /// Address of the block at fault.
    pub addr: PhysAddr,
    /// Reason that the block could not be claimed.
    pub kind: ClaimErrorKind,
}

impl ClaimError {
    /// Returns the error of a claim of the block at `addr` that failed for the given reason.
    #[must_use]
    pub const fn new(addr: PhysAddr, kind: ClaimErrorKind) -> Self {
        Self { addr, kind }
    }
}

/// The reason that a block could not be claimed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ClaimErrorKind {
    /// The address is not that of a block's first byte.
    #[error("not aligned to a block")]
    Misaligned,
    /// The memory has no block at the address.
    #[error("outside the memory")]
    Outside,
    /// The block is free: it was never handed over, or was freed since then.
    #[error("not a preserved block")]
    NotPreserved,
    /// The block already belongs to a set.
    #[error("already owned")]
    Owned,
    /// Part of the block lies in a hole of a file, and the system has no memory to fill it.
    #[error("out of memory")]
    OutOfMemory,
}

/// The error returned when a chain can't be restored. No block was claimed, and nothing has
/// changed.
///
/// The error names the block where the fault shows. For a bad link that is the address in the link,
/// with the position that the block would have had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("block {position} of the chain, at {addr}: {kind}")]
#[non_exhaustive]
pub struct RestoreError {
    /// Address of the block at fault.
    pub addr: PhysAddr,
    /// Position of the block in the chain; the first block has 0.
    pub position: usize,
    /// Reason that the chain could not be restored.
    pub kind: RestoreErrorKind,
}

impl RestoreError {
    /// Returns the error of a restore that failed at the block at `addr`, at `position` in its
    /// chain.
    #[must_use]
    pub const fn new(addr: PhysAddr, position: usize, kind: RestoreErrorKind) -> Self {
        Self { addr, position, kind }
    }
}

/// The reason that a chain could not be restored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RestoreErrorKind {
    /// The address is not a multiple of the block size.
    #[error("not aligned to a block")]
    Misaligned,
    /// The memory has no block at the address.
    #[error("outside the memory")]
    Outside,
    /// The block is free, not preserved.
    #[error("not a preserved block")]
    NotPreserved,
    /// The block belongs to another set.
    #[error("owned by another set")]
    Owned,
    /// The block is in the chain twice.
    #[error("the chain comes back to this block")]
    Cycle,
    /// The chain has more blocks than the limit.
    #[error("the chain is longer than {limit} blocks")]
    TooLong {
        /// Largest number of blocks that the restore allowed.
        limit: usize,
    },
    /// The count in the header is 0. The kernel refuses such a block too.
    #[error("the block has no entries")]
    NoEntries,
    /// The count in the header is larger than the number of entries that fit in a block.
    #[error("the header counts {count} entries, but at most {max} fit")]
    TooManyEntries {
        /// The count in the header.
        count: u64,
        /// Number of entries that fit in a block.
        max: usize,
    },
    /// The memory lends the block at an address where its entries are not aligned. Read the set
    /// through a [`ForeignSet`](crate::ForeignSet) instead.
    #[error("the memory lends the block at an address where its entries are not aligned")]
    EntriesMisaligned,
    /// The memory could not be read.
    #[error("the memory reported a failure")]
    Failed,
    /// The system has no memory for the table of blocks, or to fill a hole of the file in a block.
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

/// The error returned when a set can't grow. The set has the entries it had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("can't add block {position} to the set: {kind}")]
#[non_exhaustive]
pub struct ReserveError {
    /// Position that the missing block would have had in the chain.
    pub position: usize,
    /// Reason that the block could not be added.
    pub kind: ReserveErrorKind,
}

/// The reason that a set could not grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ReserveErrorKind {
    /// The system has no memory for a block, or for the table of blocks.
    #[error("out of memory")]
    OutOfMemory,
    /// The memory has reached the size it was made for.
    #[error("the memory has reached its largest size")]
    Full,
    /// The memory's file can't grow: it is sealed (`F_SEAL_GROW`), or preserved for a live update.
    #[error("the memory's file is sealed against growing, or preserved")]
    Sealed,
    /// The process is not allowed to make the memory's file longer (`RLIMIT_FSIZE`, `ulimit -f`).
    #[error("the memory's file has reached the file size limit of the process (RLIMIT_FSIZE)")]
    FileSizeLimit,
    /// The set would exceed its [limit](crate::BlockSet::block_limit) of blocks.
    #[error("the set would be longer than {limit} blocks")]
    TooLong {
        /// Limit of the set, in blocks.
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

/// The error returned when an entry can't be pushed. It gives the entry back, and the set has the
/// entries it had.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PushError<T> {
    /// The entry that was not pushed.
    pub entry: T,
    /// Reason that the entry was not pushed.
    pub kind: PushErrorKind,
}

/// The reason that an entry could not be pushed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum PushErrorKind {
    /// The reserved blocks are full, and the method does not allocate.
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

// By hand: the entry need not be `Display`, and may be long.
impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't push the entry: {}", self.kind)
    }
}

impl<T> core::error::Error for PushError<T> {}

readable_debug!(ReadError, ReadErrorKind, AllocError, AllocErrorKind, ClaimError, ClaimErrorKind);
readable_debug!(RestoreError, RestoreErrorKind, ReserveError, ReserveErrorKind);
readable_debug!(PushError<T>, PushErrorKind);
