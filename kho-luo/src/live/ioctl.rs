//! The calls as the kernel defines them, and the one place where they are made.
//!
//! Source: Linux 7.2, `include/uapi/linux/liveupdate.h`. Each argument begins with its size, and the
//! call's number is of the kind `_IO`, without size or direction.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};

use crate::name::SESSION_NAME_SIZE;

/// Where the device is.
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

/// What the kernel is told about the length of `T`.
#[allow(clippy::cast_possible_truncation)] // Checked at compile time.
const fn size<T>() -> u32 {
    const { assert!(size_of::<T>() <= u32::MAX as usize) };
    size_of::<T>() as u32
}

/// The argument of a call.
///
/// # Safety
/// The type is the C structure that the kernel reads and writes for this number: `repr(C)`, the
/// same fields, every bit pattern valid, the first field its size as `new` sets it.
pub(super) unsafe trait Argument {
    const NUMBER: u8;
    const OPCODE: Opcode = opcode::none(TYPE, Self::NUMBER);
}

macro_rules! arguments {
    ($($name:ident = $number:literal, $size:literal;)+) => {
        $(
            // SAFETY: fields and number are those of the kernel's header, all of them integers or
            // arrays of bytes; each constructor stores the size.
            unsafe impl Argument for $name {
                const NUMBER: u8 = $number;
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

/// A call whose argument the kernel reads and writes.
struct Call<'a, T>(&'a mut T);

// SAFETY: the pointer is to a `T` that is borrowed for as long as the call lasts, and `T` is what
// the kernel reads and writes for this opcode, as `Argument` promises. Nothing is returned but
// through it.
unsafe impl<T: Argument> Ioctl for Call<'_, T> {
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

/// A descriptor that takes these calls.
///
/// # Invariants
/// It is that of the device, or of a session: LUO answers the calls on it. (In tests, it may be of a
/// file that takes no calls.)
#[derive(Debug)]
pub(super) struct LuoFd(OwnedFd);

impl LuoFd {
    /// Opens the device.
    pub(super) fn open_device() -> Result<Self, Errno> {
        // INVARIANT: it is what is at the device's path.
        Self::open(Path::new(DEVICE))
    }

    /// Opens another file, which takes none of the calls.
    #[cfg(test)]
    pub(super) fn open_other(path: &str) -> Result<Self, Errno> {
        assert!(["/", "/dev/null", "/nowhere", "/dev/null/below"].contains(&path));
        Self::open(Path::new(path))
    }

    fn open(path: &Path) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        retry_on_intr(|| open(path, flags, Mode::empty())).map(Self)
    }

    /// Takes a descriptor if it is that of a session, or gives it back.
    pub(super) fn from_session(fd: OwnedFd) -> Result<Self, OwnedFd> {
        // INVARIANT: only the kernel gives a file a link text that begins so: those of files with a
        // path begin with a slash, and of the others only LUO's have this name.
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        match link {
            Ok(link) if link.as_os_str().as_bytes().starts_with(SESSION_LINK) => Ok(Self(fd)),
            _ => Err(fd),
        }
    }

    /// Makes a call, again if a signal interrupts it.
    pub(super) fn call<T: Argument>(&self, argument: &mut T) -> Result<(), Errno> {
        retry_on_intr(|| {
            // SAFETY: the argument has the layout the kernel expects for this number (`Argument`),
            // and the descriptor takes these calls, by the type's invariant.
            unsafe { rustix::ioctl::ioctl(&self.0, Call(&mut *argument)) }
        })
    }

    /// Makes a call and takes the descriptor that it answers with.
    pub(super) fn call_for_fd<T: Answer>(&self, mut argument: T) -> Result<OwnedFd, Errno> {
        self.call(&mut argument)?;
        match argument.fd() {
            fd if fd < 0 => Err(Errno::BADF),
            // SAFETY: the call succeeded, so the kernel has just made the descriptor for this
            // process and told nobody else (`Answer`).
            fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        }
    }

    /// Makes a call and takes the session that it answers with.
    pub(super) fn call_for_session<T: SessionAnswer>(&self, argument: T) -> Result<Self, Errno> {
        // INVARIANT: what these calls answer with is a session (`SessionAnswer`).
        self.call_for_fd(argument).map(Self)
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

/// What `/proc/self/fd` says of a session, before its name.
const SESSION_LINK: &[u8] = b"anon_inode:[luo_session] ";

/// The argument of a call that answers with a new descriptor.
///
/// # Safety
/// After the call has succeeded, `fd` is what the kernel stored: a descriptor that nobody else owns.
pub(super) unsafe trait Answer: Argument {
    fn fd(&self) -> i32;
}

/// The argument of a call that answers with a session.
///
/// # Safety
/// The descriptor is that of a session.
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

    /// By hand from the header: `_IO(0xBA, nr)` is direction 0 and size 0 in the upper 16 bits,
    /// then the type, then the number.
    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn opcodes_are_those_of_the_header() {
        assert_eq!(CreateSession::OPCODE, 0xba00);
        assert_eq!(RetrieveSession::OPCODE, 0xba01);
        assert_eq!(PreserveFd::OPCODE, 0xba40);
        assert_eq!(RetrieveFd::OPCODE, 0xba41);
        assert_eq!(Finish::OPCODE, 0xba42);
        assert_eq!(GetName::OPCODE, 0xba43);
    }

    #[test]
    fn arguments_tell_their_size() {
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
