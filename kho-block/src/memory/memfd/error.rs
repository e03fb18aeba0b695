//! Errors of memfds.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use thiserror::Error;

use crate::error::readable_debug;

/// The error returned when a memfd can't be created, opened or sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum MemfdError {
    /// A system call failed for a reason that has no variant of its own.
    #[error("{call} failed: {}", Errno::from_raw_os_error(*errno))]
    System {
        /// Name of the call.
        call: &'static str,
        /// The system's error number.
        errno: i32,
    },
    /// The descriptor does not refer to a memfd.
    #[error("the descriptor does not refer to a memfd")]
    NotMemfd,
    /// The memfd is in hugetlbfs (`MFD_HUGETLB`).
    ///
    /// The kernel maps such a file up to the end of a huge page, and does not preserve it across a
    /// live update.
    #[error("the memfd is in hugetlbfs (MFD_HUGETLB)")]
    HugeTlb,
    /// The descriptor only refers to the path of a file, and can't read or write it (`O_PATH`).
    #[error("the descriptor was opened with O_PATH")]
    PathOnly,
    /// The descriptor is open for reading only.
    #[error("the descriptor is open for reading only")]
    ReadOnly,
    /// The descriptor is open for writing only.
    #[error("the descriptor is open for writing only")]
    WriteOnly,
    /// No seal can be added to the memfd: it was created without `MFD_ALLOW_SEALING`, or its seals
    /// are final (`F_SEAL_SEAL`).
    #[error("no seal can be added to the memfd (F_SEAL_SEAL)")]
    NotSealable,
    /// The memfd is not sealed against writing and shrinking, so its bytes may change.
    #[error("the memfd is not sealed against writing and shrinking")]
    NotSealed,
    /// The memfd is sealed against writing, so it can be viewed but not claimed.
    #[error("the memfd is sealed against writing")]
    Sealed,
    /// The memfd can't be sealed against writing, since another memory, process or device has it
    /// mapped for writing.
    #[error("the memfd is mapped for writing elsewhere (EBUSY)")]
    InUse,
    /// The table of the memfd's blocks could not be allocated.
    #[error("out of memory for the table of blocks")]
    OutOfMemory,
    /// The process has no address space left for the mapping; see `ulimit -v`.
    #[error("no address space for a mapping of {len} bytes (RLIMIT_AS)")]
    AddressSpace {
        /// Length of the mapping in bytes.
        len: usize,
    },
    /// The process is not allowed to create a file of one block; see `ulimit -f`.
    #[error("the process is not allowed to write files of {len} bytes (RLIMIT_FSIZE)")]
    FileSizeLimit {
        /// Length of one block in bytes.
        len: u64,
    },
    /// The memfd's length is 0, or not a whole number of blocks.
    #[error("the memfd has {len} bytes, not a whole number of blocks")]
    Length {
        /// Length of the memfd in bytes.
        len: u64,
    },
}

impl MemfdError {
    /// Returns a function that turns the error number of `call` into an error, for `map_err`.
    pub(super) fn system(call: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::System { call, errno: errno.raw_os_error() }
    }
}

/// The error returned when a descriptor can't be opened as a memory. It gives the descriptor back.
#[derive(Error)]
#[error("can't use the memfd: {error}")]
#[non_exhaustive]
pub struct FromFdError {
    /// Reason that the descriptor could not be used.
    pub error: MemfdError,
    /// The descriptor that was passed. The file is not mapped, but seals that were added stay.
    pub fd: OwnedFd,
}

readable_debug!(MemfdError, FromFdError);
