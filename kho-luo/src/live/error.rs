//! The error of a request to LUO, and the table of what each error number means.

use core::fmt;

use rustix::io::Errno;
use thiserror::Error;

use crate::name::NameError;
use crate::report::readable_debug;

/// The error of a request to the Live Update Orchestrator of the running kernel.
///
/// It says which [operation](LiveUpdateOperation) failed and [why](LiveUpdateErrorKind). The same
/// error number has different causes in different operations: each has a kind of its own.
///
/// ```no_run
/// use kho_luo::{LiveUpdate, LiveUpdateErrorKind};
///
/// match LiveUpdate::open() {
///     Ok(luo) => drop(luo.create_session("vm1")?),
///     Err(error) if error.kind == LiveUpdateErrorKind::NoDevice => println!("no live updates here"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
///
/// - [Live Update uAPI](https://docs.kernel.org/userspace-api/liveupdate.html)
/// - [`errno(3)`](https://man7.org/linux/man-pages/man3/errno.3.html)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub struct LiveUpdateError {
    /// The request that failed.
    pub operation: LiveUpdateOperation,
    /// Why the request failed.
    pub kind: LiveUpdateErrorKind,
    /// The system's error number, or `None` if the kernel was not asked or reported success.
    pub errno: Option<i32>,
}

/// What can be requested from the Live Update Orchestrator of the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LiveUpdateOperation {
    /// Open the device: [`LiveUpdate::open`](crate::LiveUpdate::open).
    Open,
    /// Create a session: [`LiveUpdate::create_session`](crate::LiveUpdate::create_session).
    CreateSession,
    /// Retrieve a session: [`LiveUpdate::retrieve_session`](crate::LiveUpdate::retrieve_session).
    RetrieveSession,
    /// Preserve a file: [`Session::preserve_fd`](crate::Session::preserve_fd).
    PreserveFd,
    /// Retrieve a file: [`Session::retrieve_fd`](crate::Session::retrieve_fd).
    RetrieveFd,
    /// Finish a session: [`Session::finish`](crate::Session::finish).
    Finish,
    /// Ask for a session's name: [`Session::name`](crate::Session::name).
    GetName,
}

/// Why a request to the Live Update Orchestrator failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum LiveUpdateErrorKind {
    /// The kernel has no such device.
    #[error(
        "there is no such device: it requires Linux 6.19 or later (7.2 for the format that this crate \
         reads), built with CONFIG_KEXEC_HANDOVER, CONFIG_LIVEUPDATE and, for memfds, \
         CONFIG_LIVEUPDATE_MEMFD, and booted with kho=on liveupdate=on"
    )]
    NoDevice,
    /// The device is already open, here or in another process. It can be open only once (`EBUSY`).
    #[error("it is already open, and can be open only once (EBUSY)")]
    DeviceBusy,
    /// The kernel could not restore what the previous kernel handed over, and can't until the next
    /// boot (`EIO`).
    #[error(
        "the kernel could not restore the sessions that were handed over (EIO); its log says why, and \
         only a reboot helps"
    )]
    NotRestored,
    /// The process may not open the device (`EACCES`, `EPERM`).
    #[error("this process lacks the permission")]
    NotPermitted,
    /// The given name is not a valid name of a session. The kernel was not asked.
    #[error("invalid session name: {0}")]
    InvalidName(NameError),
    /// A session with this name already exists (`EEXIST`).
    #[error("a session with this name already exists (EEXIST)")]
    SessionExists,
    /// There are already as many sessions as can be handed over: 510,000 with pages of 4 KiB
    /// (`ENOSPC`).
    #[error("there are already as many sessions as can be handed over (ENOSPC)")]
    TooManySessions,
    /// No session with this name was handed over, or it has been finished and closed (`ENOENT`).
    #[error("no session with this name was handed over, or it has been finished (ENOENT)")]
    UnknownSession,
    /// The session has been retrieved already, and is still open somewhere (`EINVAL`).
    #[error("the session has already been retrieved (EINVAL)")]
    SessionAlreadyRetrieved,
    /// The session already has a file with this token (`EEXIST`).
    #[error("the session already has a file with this token (EEXIST)")]
    TokenInUse,
    /// The file is already preserved, in this session or another (`EBUSY`).
    #[error("the file is already preserved (EBUSY)")]
    AlreadyPreserved,
    /// The descriptor is not open, or was opened with `O_PATH` (`EBADF`).
    #[error("not the descriptor of an open file (EBADF)")]
    BadDescriptor,
    /// The kernel can't preserve this kind of file (`ENOENT`). Among these are memfds of huge
    /// pages, and files with a name in a file system.
    #[error("the kernel can't preserve this kind of file (ENOENT)")]
    NoHandler,
    /// The session already has as many files as can be handed over: 630,000 with pages of 4 KiB
    /// (`ENOSPC`).
    #[error("the session already has as many files as can be handed over (ENOSPC)")]
    TooManyFiles,
    /// The memfd has more pages than can be handed over (`EFBIG`).
    #[error("the file is too large to be handed over (EFBIG)")]
    FileTooLarge,
    /// The file has a property that the kernel can't hand over or does not support, such as a seal
    /// of a memfd (`EOPNOTSUPP`).
    #[error("the kernel does not support a property of the file, such as a seal (EOPNOTSUPP)")]
    UnsupportedFile,
    /// The session was retrieved, not created, so no file can be preserved in it (`EINVAL`). The
    /// handler of the file may report the same number for reasons of its own.
    #[error("the session was retrieved, not created (EINVAL)")]
    SessionWasRetrieved,
    /// The session has no file with this token, or is finished (`ENOENT`).
    #[error("the session has no file with this token (ENOENT)")]
    UnknownToken,
    /// The session was created, not retrieved, so no file can be retrieved from it; or what was
    /// handed over for the file is damaged (`EINVAL`).
    #[error(
        "the session was created, not retrieved, or what was handed over for the file is damaged \
         (EINVAL)"
    )]
    SessionWasCreatedOrFileDamaged,
    /// The memory of the file could not be restored (`EIO`).
    #[error("the memory of the file could not be restored (EIO)")]
    FileNotRestored,
    /// A file of the session is not ready, for example because it has to be retrieved first
    /// (`EBUSY`).
    #[error("a file of the session is not ready to be finished (EBUSY)")]
    FileNotReady,
    /// The session was created, not retrieved. Close it to end it (`EINVAL`).
    #[error("the session was created, not retrieved (EINVAL)")]
    SessionWasCreated,
    /// The kernel returned bytes that are not a valid name of a session.
    #[error("the kernel returned an invalid session name: {0}")]
    InvalidAnswer(NameError),
    /// The kernel does not support this request, because it is older (`ENOTTY`). For a request
    /// number past the last one, Linux returns `EINVAL`.
    #[error("the kernel does not support this request")]
    UnknownRequest,
    /// The kernel is older than the structure it was given, and would have to ignore part of it
    /// (`E2BIG`).
    #[error("the kernel is too old for part of the request (E2BIG)")]
    KernelTooOld,
    /// The kernel supports a field of the request, but not its value (`EOPNOTSUPP`).
    #[error("the kernel does not support a value in the request (EOPNOTSUPP)")]
    UnsupportedValue,
    /// A field of the request is invalid (`EINVAL`).
    #[error("invalid argument (EINVAL)")]
    InvalidArgument,
    /// The object that the request names does not exist (`ENOENT`).
    #[error("what the request names does not exist (ENOENT)")]
    NotFound,
    /// The kernel has no memory left (`ENOMEM`).
    #[error("the kernel is out of memory (ENOMEM)")]
    OutOfMemory,
    /// A number in the request is too large for the kernel (`EOVERFLOW`).
    #[error("a number in the request is too large for the kernel (EOVERFLOW)")]
    Overflow,
    /// The process has reached its limit of open files (`EMFILE`).
    #[error("this process has too many open files (EMFILE)")]
    TooManyOpenFiles,
    /// The system has reached its limit of open files (`ENFILE`).
    #[error("the system has too many open files (ENFILE)")]
    SystemFileLimit,
    /// Another reason, such as one that the file's handler in the kernel reports. See
    /// [`errno`](LiveUpdateError::errno).
    #[error("another error")]
    Other,
}

readable_debug!(LiveUpdateError, LiveUpdateErrorKind);

/// The meanings of error numbers that differ between operations.
///
/// If a number has several causes in one operation, its kind names them all.
#[rustfmt::skip]
const MEANINGS: &[(LiveUpdateOperation, Errno, LiveUpdateErrorKind)] = {
    use LiveUpdateErrorKind as Kind;
    use LiveUpdateOperation as Op;
    &[
        // open(2): a device node without a driver is not a device either.
        (Op::Open, Errno::NOENT, Kind::NoDevice),
        (Op::Open, Errno::NODEV, Kind::NoDevice),
        (Op::Open, Errno::NXIO, Kind::NoDevice),
        (Op::Open, Errno::NOTDIR, Kind::NoDevice),
        (Op::Open, Errno::ACCESS, Kind::NotPermitted),
        (Op::Open, Errno::PERM, Kind::NotPermitted),
        // Linux 7.2, kernel/liveupdate/luo_core.c.
        (Op::Open, Errno::BUSY, Kind::DeviceBusy),
        (Op::Open, Errno::IO, Kind::NotRestored),
        // Linux 7.2, kernel/liveupdate/luo_session.c.
        (Op::CreateSession, Errno::EXIST, Kind::SessionExists),
        (Op::CreateSession, Errno::NOSPC, Kind::TooManySessions),
        (Op::RetrieveSession, Errno::NOENT, Kind::UnknownSession),
        (Op::RetrieveSession, Errno::INVAL, Kind::SessionAlreadyRetrieved),
        (Op::Finish, Errno::INVAL, Kind::SessionWasCreated),
        (Op::GetName, Errno::INVAL, Kind::UnknownRequest),
        // Linux 7.2, kernel/liveupdate/luo_session.c and luo_file.c; of memfds, mm/memfd_luo.c.
        (Op::PreserveFd, Errno::EXIST, Kind::TokenInUse),
        (Op::PreserveFd, Errno::BUSY, Kind::AlreadyPreserved),
        (Op::PreserveFd, Errno::BADF, Kind::BadDescriptor),
        (Op::PreserveFd, Errno::NOENT, Kind::NoHandler),
        (Op::PreserveFd, Errno::NOSPC, Kind::TooManyFiles),
        (Op::PreserveFd, Errno::FBIG, Kind::FileTooLarge),
        (Op::PreserveFd, Errno::OPNOTSUPP, Kind::UnsupportedFile),
        (Op::PreserveFd, Errno::INVAL, Kind::SessionWasRetrieved),
        (Op::RetrieveFd, Errno::NOENT, Kind::UnknownToken),
        (Op::RetrieveFd, Errno::INVAL, Kind::SessionWasCreatedOrFileDamaged),
        (Op::RetrieveFd, Errno::IO, Kind::FileNotRestored),
        (Op::RetrieveFd, Errno::OPNOTSUPP, Kind::UnsupportedFile),
        (Op::Finish, Errno::BUSY, Kind::FileNotReady),
    ]
};

/// The meanings of error numbers in operations for which [`MEANINGS`] does not list them.
///
/// Source: Linux 7.2, `include/uapi/linux/liveupdate.h`; for `ENOMEM`, `EMFILE` and `ENFILE`,
/// open(2).
const COMMON_MEANINGS: &[(Errno, LiveUpdateErrorKind)] = {
    use LiveUpdateErrorKind as Kind;
    &[
        (Errno::NOTTY, Kind::UnknownRequest),
        (Errno::TOOBIG, Kind::KernelTooOld),
        (Errno::OPNOTSUPP, Kind::UnsupportedValue),
        (Errno::INVAL, Kind::InvalidArgument),
        (Errno::NOENT, Kind::NotFound),
        (Errno::NOMEM, Kind::OutOfMemory),
        (Errno::OVERFLOW, Kind::Overflow),
        (Errno::MFILE, Kind::TooManyOpenFiles),
        (Errno::NFILE, Kind::SystemFileLimit),
    ]
};

impl LiveUpdateError {
    /// Returns the error for the number with which the kernel refused an operation.
    pub(super) fn from_errno(operation: LiveUpdateOperation, errno: Errno) -> Self {
        let own = MEANINGS
            .iter()
            .find(|(of, number, _)| *of == operation && *number == errno)
            .map(|(_, _, kind)| *kind);
        let common =
            COMMON_MEANINGS.iter().find(|(number, _)| *number == errno).map(|(_, kind)| *kind);
        let kind = own.or(common).unwrap_or(LiveUpdateErrorKind::Other);
        Self { operation, kind, errno: Some(errno.raw_os_error()) }
    }

    /// Returns the error for a failure that the kernel did not report.
    pub(super) const fn without_errno(
        operation: LiveUpdateOperation,
        kind: LiveUpdateErrorKind,
    ) -> Self {
        Self { operation, kind, errno: None }
    }
}

impl fmt::Display for LiveUpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, kind, errno } = self;
        match (kind, errno) {
            (LiveUpdateErrorKind::Other, Some(errno)) => {
                write!(f, "can't {operation}: {}", Errno::from_raw_os_error(*errno))
            }
            _ => write!(f, "can't {operation}: {kind}"),
        }
    }
}

impl fmt::Display for LiveUpdateOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open /dev/liveupdate",
            Self::CreateSession => "create the session",
            Self::RetrieveSession => "retrieve the session",
            Self::PreserveFd => "preserve the file",
            Self::RetrieveFd => "retrieve the file",
            Self::Finish => "finish the session",
            Self::GetName => "get the session's name",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use LiveUpdateErrorKind as Kind;
    use LiveUpdateOperation as Op;

    const OPERATIONS: [Op; 7] = [
        Op::Open,
        Op::CreateSession,
        Op::RetrieveSession,
        Op::PreserveFd,
        Op::RetrieveFd,
        Op::Finish,
        Op::GetName,
    ];

    fn kind(operation: Op, errno: Errno) -> Kind {
        LiveUpdateError::from_errno(operation, errno).kind
    }

    /// `ENOENT` and `EINVAL` mean something else in each operation.
    #[test]
    fn the_meaning_of_a_number_depends_on_the_operation() {
        let meanings = |errno| OPERATIONS.map(|operation| kind(operation, errno));
        assert_eq!(
            meanings(Errno::NOENT),
            [
                Kind::NoDevice,
                Kind::NotFound,
                Kind::UnknownSession,
                Kind::NoHandler,
                Kind::UnknownToken,
                Kind::NotFound,
                Kind::NotFound,
            ]
        );
        assert_eq!(
            meanings(Errno::INVAL),
            [
                Kind::InvalidArgument,
                Kind::InvalidArgument,
                Kind::SessionAlreadyRetrieved,
                Kind::SessionWasRetrieved,
                Kind::SessionWasCreatedOrFileDamaged,
                Kind::SessionWasCreated,
                Kind::UnknownRequest,
            ]
        );
        assert_eq!(kind(Op::Open, Errno::BUSY), Kind::DeviceBusy);
        assert_eq!(kind(Op::PreserveFd, Errno::BUSY), Kind::AlreadyPreserved);
        assert_eq!(kind(Op::Finish, Errno::BUSY), Kind::FileNotReady);
    }

    /// A number without a meaning of its own in an operation has its common one, or stays a number.
    #[test]
    fn other_numbers_have_their_common_meaning() {
        for operation in OPERATIONS {
            assert_eq!(kind(operation, Errno::NOMEM), Kind::OutOfMemory);
            assert_eq!(kind(operation, Errno::NOTTY), Kind::UnknownRequest);
            let other = LiveUpdateError::from_errno(operation, Errno::FAULT);
            assert_eq!(other.kind, Kind::Other);
            assert_eq!(other.errno, Some(Errno::FAULT.raw_os_error()));
            let text = format!("can't {operation}: {}", Errno::FAULT);
            assert_eq!(other.to_string(), text);
        }
    }

    /// No row is hidden behind another, and each text names the number of its row.
    #[test]
    fn the_tables_have_one_row_for_each_number() {
        for (index, (operation, errno, kind)) in MEANINGS.iter().enumerate() {
            let error = LiveUpdateError::from_errno(*operation, *errno);
            assert_eq!(error.kind, *kind);
            assert!(!MEANINGS[..index].iter().any(|row| (row.0, row.1) == (*operation, *errno)));
        }
        for (index, (errno, _)) in COMMON_MEANINGS.iter().enumerate() {
            assert!(!COMMON_MEANINGS[..index].iter().any(|row| row.0 == *errno));
        }
    }
}
