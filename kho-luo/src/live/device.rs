//! The device `/dev/liveupdate`.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::error::{LiveUpdateError, LiveUpdateErrorKind, LiveUpdateOperation};
use super::ioctl::{CreateSession, DEVICE, LuoFd, RetrieveSession};
use super::session::Session;
use crate::name::{NameError, SessionName};

/// The Live Update Orchestrator of the running kernel: an open `/dev/liveupdate`.
///
/// The device can be open only once in the whole system. Sessions stay when it is closed, so an
/// agent may open it, take its sessions and close it.
///
/// ```no_run
/// use kho_luo::LiveUpdate;
///
/// let luo = LiveUpdate::open()?;
/// let session = luo.create_session("vm1")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
///
/// - [Live Update uAPI](https://docs.kernel.org/userspace-api/liveupdate.html)
/// - Linux 7.2: `include/uapi/linux/liveupdate.h`, `kernel/liveupdate/luo_core.c`
#[derive(Debug)]
pub struct LiveUpdate {
    fd: LuoFd,
}

impl LiveUpdate {
    /// The path of the device.
    pub const PATH: &str = DEVICE;

    /// Opens the device.
    ///
    /// When the first process does so after a live update, the kernel restores everything that was
    /// handed over.
    ///
    /// # Errors
    /// Returns an error if there is no such device, it is already open, or the kernel could not
    /// restore what was handed over.
    ///
    /// # References
    ///
    /// - [`open(2)`](https://man7.org/linux/man-pages/man2/open.2.html)
    pub fn open() -> Result<Self, LiveUpdateError> {
        Ok(Self { fd: LuoFd::open_device()? })
    }

    /// Creates a session in which files can be preserved.
    ///
    /// The session exists until its last descriptor is closed. If it is open when the kernel starts
    /// its successor, it is handed over.
    ///
    /// A name has 1 to 63 bytes, none of them zero. It may be text or a [`SessionName`].
    ///
    /// # Errors
    /// Returns an error if the name is invalid or in use, there are too many sessions, or the
    /// kernel could not create the session.
    pub fn create_session(&self, name: impl AsRef<[u8]>) -> Result<Session, LiveUpdateError> {
        let name = SessionName::new(name).map_err(invalid(LiveUpdateOperation::CreateSession))?;
        Ok(Session::new(self.fd.request_session(CreateSession::new(name.to_field()))?))
    }

    /// Retrieves a session that the previous kernel handed over, by the name it was created with.
    ///
    /// A session can be retrieved once. Closing it finishes it.
    ///
    /// ```no_run
    /// use kho_luo::LiveUpdate;
    ///
    /// let session = LiveUpdate::open()?.retrieve_session("vm1")?;
    /// let memory = session.retrieve_fd(1)?;
    /// session.finish()?;
    /// # let _ = memory;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the name is invalid, no session has it, or the session has been
    /// retrieved already.
    pub fn retrieve_session(&self, name: impl AsRef<[u8]>) -> Result<Session, LiveUpdateError> {
        let name = SessionName::new(name).map_err(invalid(LiveUpdateOperation::RetrieveSession))?;
        Ok(Session::new(self.fd.request_session(RetrieveSession::new(name.to_field()))?))
    }

    /// Returns the descriptor of the device.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd.into_fd()
    }
}

/// Returns a function that makes the error for an invalid name, for `map_err`.
fn invalid(operation: LiveUpdateOperation) -> impl Fn(NameError) -> LiveUpdateError {
    move |error| LiveUpdateError::without_errno(operation, LiveUpdateErrorKind::InvalidName(error))
}

impl AsFd for LiveUpdate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<LiveUpdate> for OwnedFd {
    fn from(luo: LiveUpdate) -> Self {
        luo.into_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On machines with the device there is nothing to test.
    #[test]
    fn the_error_for_a_missing_device_says_what_is_needed() {
        if std::path::Path::new(LiveUpdate::PATH).exists() {
            return;
        }
        let error = LiveUpdate::open().unwrap_err();
        assert_eq!(error.kind, LiveUpdateErrorKind::NoDevice);
        let text = error.to_string();
        for needed in [
            "/dev/liveupdate",
            "6.19",
            "CONFIG_LIVEUPDATE",
            "CONFIG_KEXEC_HANDOVER",
            "kho=on",
            "liveupdate=on",
        ] {
            assert!(text.contains(needed), "{text}");
        }
    }

    fn other(path: &str) -> Result<LiveUpdate, LiveUpdateError> {
        Ok(LiveUpdate { fd: LuoFd::open_other(path)? })
    }

    #[test]
    fn a_path_that_is_not_a_device_is_an_error() {
        let kind = |path| other(path).unwrap_err().kind;
        assert_eq!(kind("/nowhere"), LiveUpdateErrorKind::NoDevice);
        assert_eq!(kind("/dev/null/below"), LiveUpdateErrorKind::NoDevice);
        assert_eq!(kind("/"), LiveUpdateErrorKind::Other);
    }

    #[test]
    fn names_are_checked_before_the_kernel_is_asked() {
        // /dev/null supports no requests, so it would give another error.
        let luo = other("/dev/null").unwrap();
        let long = "x".repeat(64);
        for (name, expected) in [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong { len: 64, max: 63 }),
            ("a\0b", NameError::Zero { position: 1 }),
        ] {
            let created = luo.create_session(name).unwrap_err();
            let retrieved = luo.retrieve_session(name).unwrap_err();
            for error in [created, retrieved] {
                assert_eq!(error.kind, LiveUpdateErrorKind::InvalidName(expected));
                assert_eq!(error.errno, None);
                assert!(error.to_string().ends_with(&expected.to_string()), "{error}");
            }
        }
    }

    #[test]
    fn another_device_does_not_know_the_requests() {
        let luo = other("/dev/null").unwrap();
        let created = luo.create_session("vm1").unwrap_err();
        assert_eq!(created.operation, LiveUpdateOperation::CreateSession);
        assert_eq!(created.kind, LiveUpdateErrorKind::UnknownRequest);
        let retrieved = luo.retrieve_session("vm1").unwrap_err();
        assert_eq!(retrieved.operation, LiveUpdateOperation::RetrieveSession);
        assert_eq!(retrieved.kind, LiveUpdateErrorKind::UnknownRequest);
    }
}
