//! A session and its files.

use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use thiserror::Error;

use super::error::{FinishError, GetNameError, PreserveError, RetrieveError};
use super::ioctl::{Finish, GetName, LuoFd, PreserveFd, RetrieveFd};
use crate::name::SessionName;

/// A session: a named set of files that cross to the next kernel together.
///
/// What was [created](crate::LiveUpdate::create_session) takes files to preserve; what was
/// [retrieved](crate::LiveUpdate::retrieve_session) gives them out. It is a descriptor, which can be
/// passed on: to a service manager, that keeps it, or to the process that is to use it.
#[derive(Debug)]
pub struct Session {
    fd: LuoFd,
}

/// A descriptor is not that of a session. It is given back.
#[derive(Debug, Error)]
#[error("the descriptor is not that of a session, or /proc is not there to tell")]
#[non_exhaustive]
pub struct NotASession {
    /// The descriptor.
    pub fd: OwnedFd,
}

impl Session {
    pub(super) fn new(fd: LuoFd) -> Self {
        Self { fd }
    }

    /// The session that a descriptor stands for, which came from another process.
    ///
    /// # Errors
    /// The descriptor is not that of a session, as far as `/proc/self/fd` tells.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, NotASession> {
        match LuoFd::from_session(fd) {
            Ok(fd) => Ok(Self { fd }),
            Err(fd) => Err(NotASession { fd }),
        }
    }

    /// Preserves an open file under a token of your choice, by which the next kernel knows it. The
    /// descriptor may be closed afterwards; the session holds the file.
    ///
    /// Linux 7.2 and 7.3 take memfds, and not those of huge pages (hugetlb). Of a memfd there cross its
    /// bytes, its length, its seals and the position of this open file, as it is when the next kernel is
    /// started. Its name, its mode and `FD_CLOEXEC` do not. From now on, until the session is closed:
    ///
    /// - **The length is frozen.** Growing, shrinking, `fallocate` and punching a hole fail with
    ///   `EPERM`, though no seal says so. Reserve before what you will need. The bytes may still change.
    /// - **Holes are filled.** A sparse file takes memory for all of its length from now on, and this
    ///   call takes the time to allocate and zero it. All its pages are brought into memory and pinned.
    /// - **Seals are as of this call.** Those that are added later do not cross.
    ///
    /// A memfd that may not be executed comes out sealed against writing: one that was made with
    /// `MFD_NOEXEC_SEAL`, or where the sysctl `vm.memfd_noexec` is 1 or more. Its seal `F_SEAL_EXEC`
    /// crosses and its mode does not. The next kernel makes an executable file, on which that seal
    /// implies `F_SEAL_WRITE`, `F_SEAL_FUTURE_WRITE`, `F_SEAL_SHRINK` and `F_SEAL_GROW`. Make a memfd with
    /// `MFD_EXEC` if the successor is to write in it.
    ///
    /// Source: Linux 7.2, `mm/memfd_luo.c`.
    ///
    /// # Errors
    /// The token is in use in this session, the file is preserved already or can't be, or the
    /// session was retrieved and not created. The session is as it was before.
    pub fn preserve(&self, fd: impl AsFd, token: u64) -> Result<(), PreserveError> {
        let fd = fd.as_fd().as_raw_fd();
        Ok(self.fd.call(&mut PreserveFd::new(fd, token))?)
    }

    /// Retrieves a file by the token under which it was preserved. In any order, and again: until
    /// the session is finished, each call gives a descriptor of the same open file. It closes on
    /// `exec`.
    ///
    /// A memfd has the bytes, the length and the seals that it was [preserved](Self::preserve) with, and
    /// its position is where it was, not at the start: seek, or read by offset. It has no holes. It may
    /// grow again, unless it is sealed. One that might not be executed is sealed against writing.
    ///
    /// # Errors
    /// The session has no such token, the file can't be restored, or the session was created and
    /// not retrieved.
    pub fn retrieve(&self, token: u64) -> Result<OwnedFd, RetrieveError> {
        Ok(self.fd.call_for_fd(RetrieveFd::new(token))?)
    }

    /// Ends a session that was retrieved: the kernel gives up the files, those that were not
    /// retrieved with all that is in them. Closing a retrieved session does the same.
    ///
    /// # Errors
    /// A file is not ready for it, or the session was created and not retrieved. Nothing has
    /// changed; it may be tried again.
    pub fn finish(&self) -> Result<(), FinishError> {
        Ok(self.fd.call(&mut Finish::new())?)
    }

    /// The session's name, from the kernel.
    ///
    /// # Errors
    /// The kernel does not have the call.
    pub fn name(&self) -> Result<SessionName, GetNameError> {
        let mut argument = GetName::new();
        self.fd.call(&mut argument)?;
        Ok(SessionName::from_field(&argument.name)?)
    }

    /// The session's descriptor.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::CallError;

    fn other() -> Session {
        Session::new(LuoFd::open_other("/dev/null").unwrap())
    }

    #[test]
    fn another_file_does_not_know_the_calls() {
        let session = other();
        let unknown = CallError::UnknownCall;
        assert_eq!(session.preserve(&session, 1), Err(PreserveError::Call(unknown)));
        assert_eq!(session.retrieve(1).unwrap_err(), RetrieveError::Call(unknown));
        assert_eq!(session.finish(), Err(FinishError::Call(unknown)));
        assert_eq!(session.name(), Err(GetNameError::UnknownCall));
    }

    /// A memory that is not taken comes back, with its head.
    #[test]
    fn a_memory_that_is_not_taken_comes_back() {
        use kho_block::{BlockSet, MemfdMemory, SealedMemfd, SetView};

        use crate::{LuoFile, PreserveMemoryErrorKind, load_head};

        for seal in [true, false] {
            let memory = MemfdMemory::new("kho-luo-test").unwrap();
            let mut set = BlockSet::<LuoFile, _>::new_in(&memory);
            set.push(LuoFile::new("memfd-v2".try_into().unwrap(), 1, 2)).unwrap();
            let head = set.hand_over();
            let error = if seal {
                other().preserve_sealed(memory, head, 1).unwrap_err()
            } else {
                other().preserve_memory(memory, head, 1).unwrap_err()
            };
            let unknown = PreserveError::Call(CallError::UnknownCall);
            assert_eq!(error.kind, PreserveMemoryErrorKind::Preserve(unknown));
            assert_eq!(load_head::<LuoFile, 4096>(&error.fd), Ok(head));
            let sealed = if seal {
                SealedMemfd::open(error.fd).unwrap()
            } else {
                SealedMemfd::seal(error.fd).unwrap()
            };
            assert_eq!(SetView::restore(&sealed, head).unwrap()[0].token, 2);
        }
    }

    #[test]
    fn a_file_is_no_session() {
        let fd = other().into_fd();
        let number = fd.as_raw_fd();
        let error = Session::from_fd(fd).unwrap_err();
        assert_eq!(error.fd.as_raw_fd(), number);
        // A file may have any name, but not one without a slash before it.
        let options = rustix::fs::MemfdFlags::CLOEXEC;
        let named = rustix::fs::memfd_create("anon_inode:[luo_session] x", options).unwrap();
        assert!(Session::from_fd(named).is_err());
    }
}
