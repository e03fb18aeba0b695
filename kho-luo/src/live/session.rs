//! A session, and the files in it.

use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use thiserror::Error;

use super::error::{LiveUpdateError, LiveUpdateErrorKind, LiveUpdateOperation};
use super::ioctl::{Finish, GetName, LuoFd, PreserveFd, RetrieveFd};
use crate::name::SessionName;
use crate::report::readable_debug;

/// A named set of files that are handed over to the new kernel together.
///
/// Files are preserved in a session that was [created](crate::LiveUpdate::create_session), and
/// retrieved from one that was [retrieved](crate::LiveUpdate::retrieve_session). A session is a
/// descriptor, which can be passed to another process: to a service manager that keeps it open, or
/// to the process that needs the files.
///
/// # References
///
/// - [Live Update uAPI](https://docs.kernel.org/userspace-api/liveupdate.html)
/// - Linux 7.2: `include/uapi/linux/liveupdate.h`, `kernel/liveupdate/luo_session.c`
#[derive(Debug)]
pub struct Session {
    fd: LuoFd,
}

/// The error for a descriptor that is not that of a session. It gives the descriptor back.
#[derive(Error)]
#[error("the descriptor is not that of a session, or /proc is not mounted, so it can't be checked")]
#[non_exhaustive]
pub struct SessionFromFdError {
    /// The descriptor, as it was passed.
    pub fd: OwnedFd,
}

readable_debug!(SessionFromFdError);

impl Session {
    pub(super) fn new(fd: LuoFd) -> Self {
        Self { fd }
    }

    /// Creates a session from its descriptor, which another process may have sent.
    ///
    /// ```
    /// use std::fs::File;
    /// use kho_luo::Session;
    ///
    /// // A descriptor of something else is given back.
    /// let error = Session::from_fd(File::open("/dev/null")?.into()).unwrap_err();
    /// let null = File::from(error.fd);
    /// # let _ = null;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if `/proc/self/fd` does not show that the descriptor is that of a session.
    ///
    /// # References
    ///
    /// - [`proc_pid_fd(5)`](https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html)
    pub fn from_fd(fd: OwnedFd) -> Result<Self, SessionFromFdError> {
        match LuoFd::from_session(fd) {
            Ok(fd) => Ok(Self { fd }),
            Err(fd) => Err(SessionFromFdError { fd }),
        }
    }

    /// Preserves an open file under a token, by which the new kernel can retrieve it.
    ///
    /// You choose the token. The session holds the file, so the descriptor may be closed
    /// afterwards.
    ///
    /// Linux 7.2 and 7.3 can preserve memfds, except those of huge pages (hugetlb). The new kernel
    /// gets the memfd's bytes, its length, its seals, and the file position at the time it is
    /// started. It does not get the name, the mode or `FD_CLOEXEC`. From this call until the
    /// session is closed:
    ///
    /// - **The length is frozen.** Growing, shrinking, `fallocate` and punching a hole fail with
    ///   `EPERM`, although no seal shows it. Reserve what you will need before this call. The bytes
    ///   may still change.
    /// - **Holes are filled.** A sparse file takes memory for its whole length, and this call takes
    ///   the time to allocate and zero it. All pages are brought into memory and pinned.
    /// - **Later seals are lost.** The new kernel gets the seals that the file has at this call.
    ///
    /// A memfd that must not be executed is sealed against writing in the new kernel. That is a
    /// memfd made with `MFD_NOEXEC_SEAL`, or any memfd if the sysctl `vm.memfd_noexec` is 1 or
    /// more. The reason is that its seal `F_SEAL_EXEC` is handed over and its mode is not. The new
    /// kernel makes an executable file, on which that seal implies `F_SEAL_WRITE`,
    /// `F_SEAL_FUTURE_WRITE`, `F_SEAL_SHRINK` and `F_SEAL_GROW`. If the successor has to write in
    /// the memfd, make it with `MFD_EXEC`.
    ///
    /// ```no_run
    /// use kho_luo::LiveUpdate;
    /// # fn memory() -> std::os::fd::OwnedFd { unimplemented!() }
    ///
    /// let memfd = memory();
    /// let session = LiveUpdate::open()?.create_session("vm1")?;
    /// session.preserve_fd(&memfd, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the session has a file with this token, the file is already preserved or
    /// can't be, or the session was retrieved, not created. The session is unchanged.
    ///
    /// # References
    ///
    /// - Linux 7.2: `kernel/liveupdate/luo_file.c`, `mm/memfd_luo.c`
    /// - [`memfd_create(2)`](https://man7.org/linux/man-pages/man2/memfd_create.2.html),
    ///   [`F_GET_SEALS(2const)`](https://man7.org/linux/man-pages/man2/F_GET_SEALS.2const.html)
    pub fn preserve_fd(&self, fd: impl AsFd, token: u64) -> Result<(), LiveUpdateError> {
        let fd = fd.as_fd().as_raw_fd();
        self.fd.request(&mut PreserveFd::new(fd, token))
    }

    /// Retrieves a file by the token under which it was preserved.
    ///
    /// Files can be retrieved in any order. Until the session is finished, each call with the same
    /// token returns a new descriptor of the same open file. The descriptor is closed on `exec`.
    ///
    /// A memfd has the bytes, the length and the seals with which it was
    /// [preserved](Self::preserve_fd). Its position is where it was, not at the start: seek, or
    /// read by offset. It has no holes. It can grow again, unless it is sealed. A memfd that must
    /// not be executed is sealed against writing.
    ///
    /// # Errors
    /// Returns an error if the session has no file with this token, the file can't be restored, or
    /// the session was created, not retrieved. If the kernel failed to restore a file once, it
    /// fails again in the same way.
    ///
    /// # References
    ///
    /// - Linux 7.2: `kernel/liveupdate/luo_file.c`, `mm/memfd_luo.c`
    pub fn retrieve_fd(&self, token: u64) -> Result<OwnedFd, LiveUpdateError> {
        self.fd.request_fd(RetrieveFd::new(token))
    }

    /// Finishes a session that was retrieved: the kernel releases its files.
    ///
    /// Files that have not been retrieved are lost. Closing a retrieved session does the same.
    ///
    /// # Errors
    /// Returns an error if a file is not ready to be finished, or the session was created, not
    /// retrieved. The session is unchanged, and you may try again.
    ///
    /// # References
    ///
    /// - Linux 7.2: `kernel/liveupdate/luo_session.c`, `kernel/liveupdate/luo_file.c`
    pub fn finish(&self) -> Result<(), LiveUpdateError> {
        self.fd.request(&mut Finish::new())
    }

    /// Returns the session's name, as the kernel reports it.
    ///
    /// # Errors
    /// Returns an error if the kernel is too old for this request.
    pub fn name(&self) -> Result<SessionName, LiveUpdateError> {
        let mut argument = GetName::new();
        self.fd.request(&mut argument)?;
        SessionName::from_field(&argument.name).map_err(|error| {
            let kind = LiveUpdateErrorKind::InvalidAnswer(error);
            LiveUpdateError::without_errno(LiveUpdateOperation::GetName, kind)
        })
    }

    /// Returns the descriptor of the session.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd.into_fd()
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Session> for OwnedFd {
    fn from(session: Session) -> Self {
        session.into_fd()
    }
}

impl TryFrom<OwnedFd> for Session {
    type Error = SessionFromFdError;

    fn try_from(fd: OwnedFd) -> Result<Self, SessionFromFdError> {
        Self::from_fd(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other() -> Session {
        Session::new(LuoFd::open_other("/dev/null").unwrap())
    }

    #[test]
    fn another_file_does_not_know_the_requests() {
        let session = other();
        for (error, operation) in [
            (session.preserve_fd(&session, 1).unwrap_err(), LiveUpdateOperation::PreserveFd),
            (session.retrieve_fd(1).unwrap_err(), LiveUpdateOperation::RetrieveFd),
            (session.finish().unwrap_err(), LiveUpdateOperation::Finish),
            (session.name().unwrap_err(), LiveUpdateOperation::GetName),
        ] {
            assert_eq!(error.operation, operation);
            assert_eq!(error.kind, LiveUpdateErrorKind::UnknownRequest);
        }
    }

    #[test]
    fn another_file_is_not_a_session() {
        let fd = OwnedFd::from(other());
        let number = fd.as_raw_fd();
        let error = Session::from_fd(fd).unwrap_err();
        assert_eq!(error.fd.as_raw_fd(), number);
        // A file may have any name, but its link begins with a slash.
        let options = rustix::fs::MemfdFlags::CLOEXEC;
        let named = rustix::fs::memfd_create("anon_inode:[luo_session] x", options).unwrap();
        assert!(Session::try_from(named).is_err());
    }
}
