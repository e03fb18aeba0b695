//! Why a call to the kernel failed: one error per operation, with a name for every errno that the
//! user API documents for it.
//!
//! Sources: Linux 7.2, `include/uapi/linux/liveupdate.h` for the common ones; what the calls return
//! besides, `kernel/liveupdate/luo_core.c`, `luo_session.c`, `luo_file.c` and `mm/memfd_luo.c`.

use rustix::io::Errno;
use thiserror::Error;

use crate::name::NameError;

/// What any call may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// `ENOTTY`: the kernel does not know the call at all. (So the header has it; for a number past
    /// its last one, Linux 7.2 answers `EINVAL`.)
    #[error("the kernel does not know this call (ENOTTY); /dev/liveupdate is of another version")]
    UnknownCall,
    /// `E2BIG`: the kernel is older than the structure it was given, and would have to ignore some
    /// of it.
    #[error("the kernel is too old for some of what it was asked (E2BIG)")]
    KernelTooOld,
    /// `EOPNOTSUPP`: the kernel knows the field and not the value.
    #[error("the kernel does not support this value (EOPNOTSUPP)")]
    Unsupported,
    /// `EINVAL`: a field is not correct.
    #[error("the kernel takes a field for wrong (EINVAL)")]
    Invalid,
    /// `ENOENT`: what was named does not exist.
    #[error("the kernel does not have what was named (ENOENT)")]
    NotFound,
    /// `ENOMEM`.
    #[error("the kernel is out of memory (ENOMEM)")]
    OutOfMemory,
    /// `EOVERFLOW`: mathematics overflowed.
    #[error("a number is too large for the kernel (EOVERFLOW)")]
    Overflow,
    /// `EMFILE`: this process has as many descriptors as it may.
    #[error("this process may not have more open files (EMFILE)")]
    TooManyOpenFiles,
    /// `ENFILE`: the system has as many open files as it may.
    #[error("the system may not have more open files (ENFILE)")]
    SystemFileLimit,
    /// Another error, such as a file's own handler in the kernel may give.
    #[error("the kernel answered: {}", Errno::from_raw_os_error(*errno))]
    Other {
        /// The system's error number.
        errno: i32,
    },
}

impl From<Errno> for CallError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOTTY => Self::UnknownCall,
            Errno::TOOBIG => Self::KernelTooOld,
            Errno::OPNOTSUPP => Self::Unsupported,
            Errno::INVAL => Self::Invalid,
            Errno::NOENT => Self::NotFound,
            Errno::NOMEM => Self::OutOfMemory,
            Errno::OVERFLOW => Self::Overflow,
            Errno::MFILE => Self::TooManyOpenFiles,
            Errno::NFILE => Self::SystemFileLimit,
            other => Self::Other { errno: other.raw_os_error() },
        }
    }
}

/// `/dev/liveupdate` could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such device.
    #[error(
        "there is no /dev/liveupdate: it takes Linux 6.19 or later (7.2 for the format that this \
         crate reads) built with CONFIG_KEXEC_HANDOVER, CONFIG_LIVEUPDATE and, for memfds, \
         CONFIG_LIVEUPDATE_MEMFD, booted with kho=on liveupdate=on"
    )]
    Missing,
    /// `EBUSY`: the device is open already, here or in another process; it can be open only once.
    #[error("/dev/liveupdate is open already, and can be only once (EBUSY)")]
    Busy,
    /// `EIO`: what the previous kernel handed over could not be restored. It stays so until the
    /// next boot: the kernel asks for a reboot.
    #[error(
        "the kernel could not restore the sessions that were handed over (EIO); its log says why, \
         and a reboot is the way out"
    )]
    NotRestored,
    /// `EACCES` or `EPERM`: the device may not be opened by this process.
    #[error("this process may not open /dev/liveupdate")]
    NotPermitted,
    /// Another error.
    #[error("can't open /dev/liveupdate: {0}")]
    Call(#[source] CallError),
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        match errno {
            // A node without its driver is no device, either.
            Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::NOTDIR => Self::Missing,
            Errno::BUSY => Self::Busy,
            Errno::IO => Self::NotRestored,
            Errno::ACCESS | Errno::PERM => Self::NotPermitted,
            other => Self::Call(other.into()),
        }
    }
}

/// A session could not be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// What was given is not the name of a session. The kernel was not asked.
    #[error("not the name of a session: {0}")]
    Name(#[from] NameError),
    /// `EEXIST`: a session of this name exists already.
    #[error("there is a session of this name (EEXIST)")]
    Exists,
    /// `ENOSPC`: there are as many sessions as can be handed over, 510,000 with pages of 4 KiB.
    #[error("there are as many sessions as can be handed over (ENOSPC)")]
    TooMany,
    /// Another error.
    #[error("can't create the session: {0}")]
    Call(#[source] CallError),
}

impl From<Errno> for CreateError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EXIST => Self::Exists,
            Errno::NOSPC => Self::TooMany,
            other => Self::Call(other.into()),
        }
    }
}

/// A session could not be retrieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RetrieveSessionError {
    /// What was given is not the name of a session. The kernel was not asked.
    #[error("not the name of a session: {0}")]
    Name(#[from] NameError),
    /// `ENOENT`: no session of this name was handed over, or it is finished and closed.
    #[error("no session of this name was handed over (ENOENT)")]
    Unknown,
    /// `EINVAL`: the session was retrieved before, and is still open somewhere.
    #[error("the session is retrieved already (EINVAL)")]
    AlreadyRetrieved,
    /// Another error.
    #[error("can't retrieve the session: {0}")]
    Call(#[source] CallError),
}

impl From<Errno> for RetrieveSessionError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Unknown,
            Errno::INVAL => Self::AlreadyRetrieved,
            other => Self::Call(other.into()),
        }
    }
}

/// A file could not be preserved. The session is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PreserveError {
    /// `EEXIST`: the session has a file with this token.
    #[error("the session has a file with this token (EEXIST)")]
    TokenInUse,
    /// `EBUSY`: the file is preserved already, by this session or another.
    #[error("the file is preserved already (EBUSY)")]
    AlreadyPreserved,
    /// `EBADF`: the descriptor is not open, or not for this (`O_PATH`).
    #[error("not the descriptor of an open file (EBADF)")]
    BadDescriptor,
    /// `ENOENT`: nothing in the kernel can preserve a file of this kind. Huge page memfds are among
    /// them, as are files with a name in a file system.
    #[error("the kernel can't preserve a file of this kind (ENOENT)")]
    NoHandler,
    /// `ENOSPC`: the session has as many files as can be handed over, 630,000 with pages of 4 KiB.
    #[error("the session has as many files as can be handed over (ENOSPC)")]
    Full,
    /// `EFBIG`: a memfd of more pages than can be handed over.
    #[error("the file is too large to be handed over (EFBIG)")]
    TooLarge,
    /// `EOPNOTSUPP`: for a memfd, a seal that this kernel does not hand over.
    #[error("the file has a property, such as a seal, that can't be handed over (EOPNOTSUPP)")]
    UnsupportedFile,
    /// `EINVAL`: the session was retrieved, not created, so nothing can be preserved in it. A file's
    /// own handler may answer the same.
    #[error("not a session to preserve in: it was retrieved, not created (EINVAL)")]
    Incoming,
    /// Another error; a file's own handler may give any.
    #[error("can't preserve the file: {0}")]
    Call(#[source] CallError),
}

impl From<Errno> for PreserveError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EXIST => Self::TokenInUse,
            Errno::BUSY => Self::AlreadyPreserved,
            Errno::BADF => Self::BadDescriptor,
            Errno::NOENT => Self::NoHandler,
            Errno::NOSPC => Self::Full,
            Errno::FBIG => Self::TooLarge,
            Errno::OPNOTSUPP => Self::UnsupportedFile,
            Errno::INVAL => Self::Incoming,
            other => Self::Call(other.into()),
        }
    }
}

/// A file could not be retrieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RetrieveError {
    /// `ENOENT`: the session has no file with this token, or is finished.
    #[error("the session has no file with this token (ENOENT)")]
    UnknownToken,
    /// `EINVAL`: the session was created, not retrieved, so nothing can be retrieved from it; or
    /// what was handed over for the file is damaged.
    #[error(
        "not a session to retrieve from: it was created, not retrieved; or what was handed over \
         for the file is damaged (EINVAL)"
    )]
    OutgoingOrDamaged,
    /// `EIO`: the file's pages could not be restored.
    #[error("the file's memory could not be restored (EIO)")]
    Damaged,
    /// `EOPNOTSUPP`: the file has a property that this kernel does not know.
    #[error("the file has a property, such as a seal, that this kernel does not know (EOPNOTSUPP)")]
    UnsupportedFile,
    /// Another error; a file's own handler may give any. A retrieve that failed once fails again in
    /// the same way.
    #[error("can't retrieve the file: {0}")]
    Call(#[source] CallError),
}

impl From<Errno> for RetrieveError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::UnknownToken,
            Errno::INVAL => Self::OutgoingOrDamaged,
            Errno::IO => Self::Damaged,
            Errno::OPNOTSUPP => Self::UnsupportedFile,
            other => Self::Call(other.into()),
        }
    }
}

/// A session could not be finished. Its files stay preserved; it may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FinishError {
    /// `EBUSY`: a file is not ready to be finished, such as one that has to be retrieved first.
    #[error("a file of the session is not ready to be finished (EBUSY)")]
    NotReady,
    /// `EINVAL`: the session was created, not retrieved; closing it is what ends it.
    #[error("not a session to finish: it was created, not retrieved (EINVAL)")]
    Outgoing,
    /// Another error.
    #[error("can't finish the session: {0}")]
    Call(#[source] CallError),
}

impl From<Errno> for FinishError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::BUSY => Self::NotReady,
            Errno::INVAL => Self::Outgoing,
            other => Self::Call(other.into()),
        }
    }
}

/// A session's name could not be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GetNameError {
    /// What the kernel answered is not the name of a session.
    #[error("what the kernel answered is not the name of a session: {0}")]
    Name(#[from] NameError),
    /// `ENOTTY`, or `EINVAL`, which Linux answers to a number it has no call for: the kernel is from
    /// before the call was added.
    #[error("the kernel does not know this call")]
    UnknownCall,
    /// Another error.
    #[error("can't ask for the session's name: {0}")]
    Call(#[source] CallError),
}

impl From<Errno> for GetNameError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOTTY | Errno::INVAL => Self::UnknownCall,
            other => Self::Call(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each errno that the user API or a call's source names, and what becomes of it.
    #[test]
    fn every_errno_has_its_name() {
        let common = [
            (Errno::NOTTY, CallError::UnknownCall),
            (Errno::TOOBIG, CallError::KernelTooOld),
            (Errno::OPNOTSUPP, CallError::Unsupported),
            (Errno::INVAL, CallError::Invalid),
            (Errno::NOENT, CallError::NotFound),
            (Errno::NOMEM, CallError::OutOfMemory),
            (Errno::OVERFLOW, CallError::Overflow),
            (Errno::MFILE, CallError::TooManyOpenFiles),
            (Errno::NFILE, CallError::SystemFileLimit),
            (Errno::FAULT, CallError::Other { errno: Errno::FAULT.raw_os_error() }),
        ];
        for (errno, expected) in common {
            assert_eq!(CallError::from(errno), expected);
        }
        // What an operation has no name for is one of the common ones.
        let memory = CallError::OutOfMemory;
        assert_eq!(OpenError::from(Errno::NOMEM), OpenError::Call(memory));
        assert_eq!(CreateError::from(Errno::NOMEM), CreateError::Call(memory));
        assert_eq!(RetrieveSessionError::from(Errno::NOMEM), RetrieveSessionError::Call(memory));
        assert_eq!(PreserveError::from(Errno::NOMEM), PreserveError::Call(memory));
        assert_eq!(RetrieveError::from(Errno::NOMEM), RetrieveError::Call(memory));
        assert_eq!(FinishError::from(Errno::NOMEM), FinishError::Call(memory));
        assert_eq!(GetNameError::from(Errno::NOMEM), GetNameError::Call(memory));
    }

    #[test]
    fn what_an_errno_means_depends_on_the_operation() {
        for (errno, expected) in [
            (Errno::NOENT, OpenError::Missing),
            (Errno::NODEV, OpenError::Missing),
            (Errno::NXIO, OpenError::Missing),
            (Errno::BUSY, OpenError::Busy),
            (Errno::IO, OpenError::NotRestored),
            (Errno::ACCESS, OpenError::NotPermitted),
            (Errno::PERM, OpenError::NotPermitted),
        ] {
            assert_eq!(OpenError::from(errno), expected);
        }
        assert_eq!(CreateError::from(Errno::EXIST), CreateError::Exists);
        assert_eq!(CreateError::from(Errno::NOSPC), CreateError::TooMany);
        assert_eq!(RetrieveSessionError::from(Errno::NOENT), RetrieveSessionError::Unknown);
        assert_eq!(
            RetrieveSessionError::from(Errno::INVAL),
            RetrieveSessionError::AlreadyRetrieved
        );
        for (errno, expected) in [
            (Errno::EXIST, PreserveError::TokenInUse),
            (Errno::BUSY, PreserveError::AlreadyPreserved),
            (Errno::BADF, PreserveError::BadDescriptor),
            (Errno::NOENT, PreserveError::NoHandler),
            (Errno::NOSPC, PreserveError::Full),
            (Errno::FBIG, PreserveError::TooLarge),
            (Errno::OPNOTSUPP, PreserveError::UnsupportedFile),
            (Errno::INVAL, PreserveError::Incoming),
        ] {
            assert_eq!(PreserveError::from(errno), expected);
        }
        for (errno, expected) in [
            (Errno::NOENT, RetrieveError::UnknownToken),
            (Errno::INVAL, RetrieveError::OutgoingOrDamaged),
            (Errno::IO, RetrieveError::Damaged),
            (Errno::OPNOTSUPP, RetrieveError::UnsupportedFile),
        ] {
            assert_eq!(RetrieveError::from(errno), expected);
        }
        assert_eq!(FinishError::from(Errno::BUSY), FinishError::NotReady);
        assert_eq!(FinishError::from(Errno::INVAL), FinishError::Outgoing);
        assert_eq!(GetNameError::from(Errno::NOTTY), GetNameError::UnknownCall);
        assert_eq!(GetNameError::from(Errno::INVAL), GetNameError::UnknownCall);
    }
}
