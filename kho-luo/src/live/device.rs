//! The device.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::error::{CreateError, OpenError, RetrieveSessionError};
use super::ioctl::{CreateSession, DEVICE, LuoFd, RetrieveSession};
use super::session::Session;
use crate::name::SessionName;

/// The Live Update Orchestrator of the running kernel: `/dev/liveupdate`.
///
/// It can be open only once at a time in all the system; sessions stay when it is closed, so an agent
/// may open it, take its sessions and close it.
///
/// ```no_run
/// use kho_luo::LiveUpdate;
///
/// let luo = LiveUpdate::open()?;
/// let session = luo.create_session("vm1")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LiveUpdate {
    fd: LuoFd,
}

impl LiveUpdate {
    /// Where the device is.
    pub const PATH: &str = DEVICE;

    /// Opens the device. The first process to do so after a handover has the kernel restore all
    /// that was handed over.
    ///
    /// # Errors
    /// There is no such device, it is open already, or the kernel could not restore what was handed
    /// over.
    pub fn open() -> Result<Self, OpenError> {
        Ok(Self { fd: LuoFd::open_device()? })
    }

    /// Creates a session, to preserve files in. It lasts until its last descriptor is closed, or
    /// crosses to the next kernel if it is open when that is started.
    ///
    /// A name is 1 to 63 bytes, none of them zero: text, or a [`SessionName`].
    ///
    /// # Errors
    /// The name is not one, or in use; there are too many sessions, or the kernel could not make
    /// one.
    pub fn create_session(&self, name: impl AsRef<[u8]>) -> Result<Session, CreateError> {
        let name = SessionName::new(name)?;
        let fd = self.fd.call_for_session(CreateSession::new(name.to_field()))?;
        Ok(Session::new(fd))
    }

    /// Retrieves a session that the previous kernel handed over, by the name it was created with.
    /// Once: to close it is to finish it.
    ///
    /// # Errors
    /// The name is not one, no session has it, or the session was retrieved before.
    pub fn retrieve_session(
        &self,
        name: impl AsRef<[u8]>,
    ) -> Result<Session, RetrieveSessionError> {
        let name = SessionName::new(name)?;
        let fd = self.fd.call_for_session(RetrieveSession::new(name.to_field()))?;
        Ok(Session::new(fd))
    }

    /// The device's descriptor, to be closed or kept open.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd.into_fd()
    }
}

impl AsFd for LiveUpdate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test is for machines without the device; on others it has nothing to look at.
    #[test]
    fn a_missing_device_says_what_it_takes() {
        if std::path::Path::new(LiveUpdate::PATH).exists() {
            return;
        }
        let error = LiveUpdate::open().unwrap_err();
        assert_eq!(error, OpenError::Missing);
        let text = error.to_string();
        for needed in
            ["6.19", "CONFIG_LIVEUPDATE", "CONFIG_KEXEC_HANDOVER", "kho=on", "liveupdate=on"]
        {
            assert!(text.contains(needed), "{text}");
        }
    }

    fn other(path: &str) -> Result<LiveUpdate, OpenError> {
        Ok(LiveUpdate { fd: LuoFd::open_other(path)? })
    }

    #[test]
    fn what_is_no_device_is_told_apart() {
        assert_eq!(other("/nowhere").unwrap_err(), OpenError::Missing);
        assert_eq!(other("/dev/null/below").unwrap_err(), OpenError::Missing);
        let directory = other("/").unwrap_err();
        assert!(
            matches!(directory, OpenError::Call(crate::CallError::Other { .. })),
            "{directory}"
        );
    }

    #[test]
    fn names_are_checked_before_the_kernel_is_asked() {
        // /dev/null knows no call, so an answer of its own would be another error.
        let luo = other("/dev/null").unwrap();
        let long = "x".repeat(64);
        for (name, expected) in [
            ("", crate::NameError::Empty),
            (long.as_str(), crate::NameError::TooLong { len: 64, max: 63 }),
            ("a\0b", crate::NameError::Zero { position: 1 }),
        ] {
            assert_eq!(luo.create_session(name).unwrap_err(), CreateError::Name(expected));
            assert_eq!(
                luo.retrieve_session(name).unwrap_err(),
                RetrieveSessionError::Name(expected)
            );
        }
    }

    #[test]
    fn another_device_does_not_know_the_calls() {
        let luo = other("/dev/null").unwrap();
        let unknown = crate::CallError::UnknownCall;
        assert_eq!(luo.create_session("vm1").unwrap_err(), CreateError::Call(unknown));
        assert_eq!(luo.retrieve_session("vm1").unwrap_err(), RetrieveSessionError::Call(unknown));
    }
}
