//! Calls that need `unsafe`.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;

use kho_block::{MemfdMemory, SetHead};
use kho_luo::{RetrieveMemfdError, Session};
use rustix::fd::{AsRawFd, BorrowedFd};

use crate::user_state::Tenant;

/// Loads a kernel for `reboot` to start.
///
/// # Errors
/// Returns an error if the running kernel refuses it.
///
/// # References
/// [`kexec_file_load(2)`](https://man7.org/linux/man-pages/man2/kexec_file_load.2.html)
pub fn kexec_file_load(
    kernel: BorrowedFd<'_>,
    initrd: BorrowedFd<'_>,
    args: &CStr,
) -> io::Result<()> {
    // SAFETY: the descriptors are open; the text ends with a null and has the length that is passed;
    // the call keeps none of them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initrd.as_raw_fd(),
            args.to_bytes_with_nul().len(),
            args.as_ptr(),
            0,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Retrieves a memory that the previous kernel handed over, for writing.
///
/// # Errors
/// Returns an error in the same cases as [`Session::retrieve_memfd`].
pub fn retrieve_memfd(
    session: &Session,
    token: u64,
) -> Result<(MemfdMemory, SetHead<Tenant>), RetrieveMemfdError> {
    // SAFETY: the agent is the guest's only process and has no other descriptor of the file. The
    // session has one, but writes nothing.
    unsafe { session.retrieve_memfd(token) }
}
