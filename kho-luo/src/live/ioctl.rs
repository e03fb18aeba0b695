//! The requests as the kernel defines them, and the only code that makes them.
//!
//! Each argument begins with its size. The number of a request is made by `_IO`, without a size or
//! a direction.
//!
//! Source: Linux 7.2, `include/uapi/linux/liveupdate.h`.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};

use super::error::{LiveUpdateError, LiveUpdateOperation};
use crate::name::SESSION_NAME_SIZE;

/// The path of the device.
pub(super) const DEVICE: &str = "/dev/liveupdate";

/// C: `LIVEUPDATE_IOCTL_TYPE`.
pub(super) const TYPE: u8 = 0xba;

/// C: `struct liveupdate_ioctl_create_session`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct CreateSession {
    size: u32,
    fd: i32,
    name: [u8; SESSION_NAME_SIZE],
}

/// C: `struct liveupdate_ioctl_retrieve_session`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RetrieveSession {
    size: u32,
    fd: i32,
    name: [u8; SESSION_NAME_SIZE],
}

/// C: `struct liveupdate_session_preserve_fd`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct PreserveFd {
    size: u32,
    fd: i32,
    token: u64,
}

/// C: `struct liveupdate_session_retrieve_fd`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RetrieveFd {
    size: u32,
    fd: i32,
    token: u64,
}

/// C: `struct liveupdate_session_finish`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Finish {
    size: u32,
    reserved: u32,
}

/// C: `struct liveupdate_session_get_name`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct GetName {
    size: u32,
    reserved: u32,
    pub(super) name: [u8; SESSION_NAME_SIZE],
}

impl CreateSession {
    pub(super) const fn new(name: [u8; SESSION_NAME_SIZE]) -> Self {
        Self { size: size::<Self>(), fd: -1, name }
    }
}

impl RetrieveSession {
    pub(super) const fn new(name: [u8; SESSION_NAME_SIZE]) -> Self {
        Self { size: size::<Self>(), fd: -1, name }
    }
}

impl PreserveFd {
    pub(super) const fn new(fd: i32, token: u64) -> Self {
        Self { size: size::<Self>(), fd, token }
    }
}

impl RetrieveFd {
    pub(super) const fn new(token: u64) -> Self {
        Self { size: size::<Self>(), fd: -1, token }
    }
}

impl Finish {
    pub(super) const fn new() -> Self {
        Self { size: size::<Self>(), reserved: 0 }
    }
}

impl GetName {
    pub(super) const fn new() -> Self {
        Self { size: size::<Self>(), reserved: 0, name: [0; SESSION_NAME_SIZE] }
    }
}

/// Returns the size of `T` as it is passed to the kernel.
#[allow(clippy::cast_possible_truncation)] // Checked at compile time.
const fn size<T>() -> u32 {
    const { assert!(size_of::<T>() <= u32::MAX as usize) };
    size_of::<T>() as u32
}

/// The argument of a request.
///
/// # Safety
/// The type is the C structure that the kernel reads and writes for this number: `repr(C)`, with
/// the same fields, valid for every bit pattern. Its first field is its size, which `new` sets.
pub(super) unsafe trait Argument {
    const NUMBER: u8;
    const OPERATION: LiveUpdateOperation;
    const OPCODE: Opcode = opcode::none(TYPE, Self::NUMBER);
}

macro_rules! arguments {
    ($($name:ident = $number:literal, $size:literal;)+) => {
        $(
            // SAFETY: the fields and the number are those of the kernel's header. All fields are
            // integers or arrays of bytes. Each constructor stores the size.
            unsafe impl Argument for $name {
                const NUMBER: u8 = $number;
                const OPERATION: LiveUpdateOperation = LiveUpdateOperation::$name;
            }
            const _: () = assert!(size_of::<$name>() == $size);
            const _: () = assert!(core::mem::offset_of!($name, size) == 0);
        )+
    };
}

arguments! {
    CreateSession = 0x00, 72;
    RetrieveSession = 0x01, 72;
    PreserveFd = 0x40, 16;
    RetrieveFd = 0x41, 16;
    Finish = 0x42, 8;
    GetName = 0x43, 72;
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(CreateSession, fd) == 4 && offset_of!(CreateSession, name) == 8);
    assert!(offset_of!(RetrieveSession, fd) == 4 && offset_of!(RetrieveSession, name) == 8);
    assert!(offset_of!(PreserveFd, fd) == 4 && offset_of!(PreserveFd, token) == 8);
    assert!(offset_of!(RetrieveFd, fd) == 4 && offset_of!(RetrieveFd, token) == 8);
    assert!(offset_of!(Finish, reserved) == 4);
    assert!(offset_of!(GetName, reserved) == 4 && offset_of!(GetName, name) == 8);
};

/// A request whose argument the kernel reads and writes.
struct Request<'a, T>(&'a mut T);

// SAFETY: the pointer is to a `T` that is borrowed for as long as the call lasts, and `T` is what
// the kernel reads and writes for this opcode, as `Argument` promises. The output is only in the
// argument.
unsafe impl<T: Argument> Ioctl for Request<'_, T> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        T::OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<(), Errno> {
        Ok(())
    }
}

/// A descriptor that takes these requests.
///
/// # Invariants
/// It is a descriptor of the device or of a session, so LUO answers the requests. (In tests it may
/// be a descriptor of a file that takes no requests.)
#[derive(Debug)]
pub(super) struct LuoFd(OwnedFd);

impl LuoFd {
    /// Opens the device.
    pub(super) fn open_device() -> Result<Self, LiveUpdateError> {
        // INVARIANT: the device's path leads to the device.
        Self::open(Path::new(DEVICE))
    }

    /// Opens another file, which takes none of the requests.
    #[cfg(test)]
    pub(super) fn open_other(path: &str) -> Result<Self, LiveUpdateError> {
        assert!(["/", "/dev/null", "/nowhere", "/dev/null/below"].contains(&path));
        Self::open(Path::new(path))
    }

    fn open(path: &Path) -> Result<Self, LiveUpdateError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        retry_on_intr(|| open(path, flags, Mode::empty()))
            .map(Self)
            .map_err(|errno| LiveUpdateError::from_errno(LiveUpdateOperation::Open, errno))
    }

    /// Takes the descriptor of a session, or returns it if it is something else.
    pub(super) fn from_session(fd: OwnedFd) -> Result<Self, OwnedFd> {
        // INVARIANT: only a session's link begins like this. The link of a file with a path begins
        // with a slash, and of the other files only those of LUO have this name: proc_pid_fd(5).
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        match link {
            Ok(link) if link.as_os_str().as_bytes().starts_with(SESSION_LINK) => Ok(Self(fd)),
            _ => Err(fd),
        }
    }

    /// Makes a request, and repeats it if a signal interrupts it.
    pub(super) fn request<T: Argument>(&self, argument: &mut T) -> Result<(), LiveUpdateError> {
        retry_on_intr(|| {
            // SAFETY: the argument has the layout that the kernel expects for this number
            // (`Argument`), and the descriptor takes these requests, by the type's invariant.
            unsafe { rustix::ioctl::ioctl(&self.0, Request(&mut *argument)) }
        })
        .map_err(|errno| LiveUpdateError::from_errno(T::OPERATION, errno))
    }

    /// Makes a request that is answered with a descriptor, and returns the descriptor.
    pub(super) fn request_fd<T: Answer>(
        &self,
        mut argument: T,
    ) -> Result<OwnedFd, LiveUpdateError> {
        self.request(&mut argument)?;
        match argument.fd() {
            fd if fd < 0 => Err(LiveUpdateError::from_errno(T::OPERATION, Errno::BADF)),
            // SAFETY: the request succeeded, so the kernel has just made this descriptor for this
            // process and told nobody else (`Answer`).
            fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        }
    }

    /// Makes a request that is answered with a session, and returns the session.
    pub(super) fn request_session<T: SessionAnswer>(
        &self,
        argument: T,
    ) -> Result<Self, LiveUpdateError> {
        // INVARIANT: these requests are answered with a session (`SessionAnswer`).
        self.request_fd(argument).map(Self)
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for LuoFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The start of the link of a session in `/proc/self/fd`, which the session's name follows.
const SESSION_LINK: &[u8] = b"anon_inode:[luo_session] ";

/// The argument of a request that is answered with a new descriptor.
///
/// # Safety
/// After the request has succeeded, `fd` returns what the kernel stored: a descriptor that nobody
/// else owns.
pub(super) unsafe trait Answer: Argument {
    fn fd(&self) -> i32;
}

/// The argument of a request that is answered with a session.
///
/// # Safety
/// The new descriptor is that of a session.
pub(super) unsafe trait SessionAnswer: Answer {}

macro_rules! answers {
    ($($name:ident)+) => {$(
        // SAFETY: the header documents the field as the new descriptor.
        unsafe impl Answer for $name {
            fn fd(&self) -> i32 {
                self.fd
            }
        }
    )+};
}

answers! { CreateSession RetrieveSession RetrieveFd }

// SAFETY: the header documents the descriptor as the created session's.
unsafe impl SessionAnswer for CreateSession {}
// SAFETY: the header documents the descriptor as the retrieved session's.
unsafe impl SessionAnswer for RetrieveSession {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand from the header: `_IO(0xBA, nr)` has direction 0 and size 0 in the upper
    /// 16 bits, then the type, then the number.
    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn opcodes_match_the_header() {
        assert_eq!(CreateSession::OPCODE, 0xba00);
        assert_eq!(RetrieveSession::OPCODE, 0xba01);
        assert_eq!(PreserveFd::OPCODE, 0xba40);
        assert_eq!(RetrieveFd::OPCODE, 0xba41);
        assert_eq!(Finish::OPCODE, 0xba42);
        assert_eq!(GetName::OPCODE, 0xba43);
    }

    #[test]
    fn arguments_store_their_size() {
        assert_eq!(CreateSession::new([0; 64]).size, 72);
        assert_eq!(RetrieveSession::new([0; 64]).size, 72);
        assert_eq!(PreserveFd::new(3, 7).size, 16);
        assert_eq!(RetrieveFd::new(7).size, 16);
        assert_eq!(Finish::new().size, 8);
        assert_eq!(GetName::new().size, 72);
    }

    #[test]
    fn reserved_fields_are_zero() {
        assert_eq!(Finish::new().reserved, 0);
        assert_eq!(GetName::new().reserved, 0);
    }
}
