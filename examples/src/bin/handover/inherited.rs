//! The descriptor that came in by `exec`: all of this program's unsafe code.
#![allow(unsafe_code)]

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context as _, ensure};
use kho_block::MemfdMemory;
use rustix::io::{FdFlags, fcntl_setfd};

/// The memfd's name. A descriptor that leads to something else is not the one that was handed over.
pub(crate) const NAME: &str = "kho-handover";

/// The descriptor that the predecessor left. Only [`take`] makes one, so that only it is claimed.
pub(crate) struct Inherited(OwnedFd);

impl Inherited {
    /// A file that a test has made and mapped nowhere, in place of one that was inherited.
    #[cfg(test)]
    pub(crate) fn of_test(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The descriptor, for uses that do not rely on where it came from.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Inherited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Takes the inherited descriptor, which works once in a process. It closes on `exec` again.
pub(crate) fn take(number: RawFd) -> anyhow::Result<Inherited> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    ensure!(number > 2, "descriptor {number} is a standard stream, not what was handed over");
    ensure!(!TAKEN.swap(true, Relaxed), "the inherited descriptor was taken before");
    let target = fs::read_link(format!("/proc/self/fd/{number}"))
        .with_context(|| format!("descriptor {number} is lost: it is not open"))?;
    ensure!(
        target.to_str().is_some_and(|target| target.starts_with(&format!("/memfd:{NAME}"))),
        "descriptor {number} is not what was handed over: it leads to {}",
        target.display()
    );
    // SAFETY: the descriptor is open and leads to a memfd with this program's name. In the successor
    // nothing has made such a file yet, so it was inherited and nothing here owns it; it is taken
    // once, as the flag above sees to.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC).context("can't set the descriptor to close on exec")?;
    Ok(Inherited(fd))
}

/// The memory that was handed over, to claim its blocks.
pub(crate) fn claim_memory(inherited: Inherited) -> anyhow::Result<MemfdMemory> {
    // SAFETY: nobody else writes the file. The program that made it kept the descriptor to itself
    // and unmapped the file before it let the descriptor cross to this one by `exec`, which ended
    // every mapping and closed every other descriptor. `Inherited` is made of no other file.
    unsafe { MemfdMemory::from_fd(inherited.0) }.context("can't use the memfd that was handed over")
}
