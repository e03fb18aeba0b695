//! Why a memfd can't be used.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use thiserror::Error;

use crate::error::readable_debug;

/// A memfd could not be used.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MemfdError {
    /// A system call failed for a reason that has no name here.
    #[error("{call} failed: {}", Errno::from_raw_os_error(*errno))]
    System {
        /// Name of the call.
        call: &'static str,
        /// The system's error number.
        errno: i32,
    },
    /// The descriptor is not that of a memfd.
    #[error("the descriptor is not that of a memfd")]
    NotMemfd,
    /// The memfd consists of huge pages of a pool (`MFD_HUGETLB`). The kernel maps such a file up to
    /// the end of a huge page, and does not preserve it across a live update.
    #[error("the memfd is in hugetlbfs (MFD_HUGETLB)")]
    HugeTlb,
    /// The descriptor only names the file (`O_PATH`).
    #[error("the descriptor only names the file (O_PATH)")]
    PathOnly,
    /// The descriptor is open for reading only.
    #[error("the descriptor is open for reading only")]
    ReadOnly,
    /// The descriptor is open for writing only.
    #[error("the descriptor is open for writing only")]
    WriteOnly,
    /// No seal can be added: the memfd was made without `MFD_ALLOW_SEALING`, or its seals are sealed
    /// (`F_SEAL_SEAL`).
    #[error("no seal can be added to the file (F_SEAL_SEAL)")]
    NotSealable,
    /// The file is not sealed against writing and shrinking, so its bytes may change.
    #[error("the memfd is not sealed against writing and shrinking")]
    NotSealed,
    /// The file is sealed against writing: it can be viewed, not claimed.
    #[error("the memfd is sealed against writing")]
    Sealed,
    /// The file can't be sealed against writing while it is mapped for writing: by another memory,
    /// another process, or a device.
    #[error("something has the memfd mapped for writing (EBUSY)")]
    InUse,
    /// The table of the file's blocks could not be allocated.
    #[error("out of memory for the table of blocks")]
    OutOfMemory,
    /// The process has no address space left for the mapping: see `ulimit -v`.
    #[error("no address space for a mapping of {len} bytes (RLIMIT_AS)")]
    AddressSpace {
        /// Length of the mapping in bytes.
        len: usize,
    },
    /// The process may not make a file as long as one block: see `ulimit -f`.
    #[error("the process may not write files of {len} bytes (RLIMIT_FSIZE)")]
    FileSizeLimit {
        /// The length that was needed, in bytes.
        len: u64,
    },
    /// The file's length is 0, or not a whole number of blocks.
    #[error("the memfd has {len} bytes, not a whole number of blocks")]
    Length {
        /// Length of the file in bytes.
        len: u64,
    },
}

impl MemfdError {
    /// Returns what makes an error of a failed system call, for `map_err`.
    pub(super) fn system(call: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::System { call, errno: errno.raw_os_error() }
    }
}

/// A descriptor could not be made a memory. It is given back, for it may be the only one.
#[derive(Error)]
#[error("can't use the memfd: {error}")]
#[non_exhaustive]
pub struct FromFdError {
    /// Why the descriptor could not be used.
    pub error: MemfdError,
    /// The descriptor, as it was passed; the file is not mapped. A seal that was added stays.
    pub fd: OwnedFd,
}

readable_debug!(MemfdError, FromFdError);
