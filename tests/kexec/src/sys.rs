//! The calls that no safe wrapper offers.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;

use kho_block::{MemfdMemory, SetHead};
use kho_luo::{RetrieveMemfdError, Session};
use rustix::fd::{AsRawFd, BorrowedFd};

use crate::user_state::Tenant;

/// Loads the kernel that `reboot` is to start.
///
/// # Errors
/// The kernel does not take it.
pub fn kexec_file_load(
    kernel: BorrowedFd<'_>,
    initrd: BorrowedFd<'_>,
    args: &CStr,
) -> io::Result<()> {
    // SAFETY: the descriptors are open, the text is terminated and as long as is said; the call
    // keeps none of them.
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

/// Retrieves a memory that the previous kernel handed over, to write in it.
///
/// # Errors
/// As for [`Session::retrieve_memfd`].
pub fn retrieve_memfd(
    session: &Session,
    token: u64,
) -> Result<(MemfdMemory, SetHead<Tenant>), RetrieveMemfdError> {
    // SAFETY: the agent is the only process of the guest and has no other descriptor of the file;
    // the session, which has, writes nothing.
    unsafe { session.retrieve_memfd(token) }
}
