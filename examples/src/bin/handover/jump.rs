//! The jump, seen from both sides: the descriptor crosses an `exec`.
//!
//! All of this program's unsafe code is here: the successor takes a descriptor for its own by
//! number, and takes the file for its own by how it came in.

use std::convert::Infallible;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context as _, ensure};
use kho_block::abi::DEFAULT_BLOCK_SIZE;
use kho_block::{MemfdMemory, PhysAddr, SealedMemfd, SetHead};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::corrupt;
use crate::entries::Snapshot;

/// Name of the memfd. A descriptor of any other file is not the one that was handed over.
pub(crate) const FILE_NAME: &str = "kho-handover";

/// The way in which the file crosses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    /// Whether the file is sealed, to be viewed. Otherwise it stays writable, to be claimed.
    pub(crate) sealed: bool,
    /// Seed that selects a bit to flip first.
    pub(crate) corrupt: Option<u64>,
}

/// Replaces this program by its successor, which gets the file. Returns only if that fails.
pub(crate) fn jump(
    memory: MemfdMemory,
    root: SetHead<Snapshot>,
    crossing: Crossing,
) -> anyhow::Result<Infallible> {
    let fd = prepare(memory, root, crossing)?;
    exec(&fd, root.addr())
}

/// Returns the descriptor of the file, which is no longer mapped.
fn prepare(
    memory: MemfdMemory,
    root: SetHead<Snapshot>,
    crossing: Crossing,
) -> anyhow::Result<OwnedFd> {
    let Some(seed) = crossing.corrupt else {
        return if crossing.sealed {
            Ok(memory.seal().context("can't seal the memfd")?.into_fd())
        } else {
            Ok(memory.into_fd())
        };
    };
    // Unmapped first: nobody else may write to the file while a memory has it.
    let blocks = corrupt::all_blocks(&memory, root)?;
    let fd = memory.into_fd();
    let flip = corrupt::Flip::from_seed(&blocks, seed);
    writeln!(io::stderr(), "handover: --corrupt={seed} flips {flip}")?;
    flip.apply(&fd)?;
    if !crossing.sealed {
        return Ok(fd);
    }
    Ok(SealedMemfd::<DEFAULT_BLOCK_SIZE>::seal(fd).context("can't seal the memfd")?.into_fd())
}

/// Runs this very program again, in this process.
fn exec(fd: &OwnedFd, root: PhysAddr) -> anyhow::Result<Infallible> {
    // Not `current_exe`: this link leads to the program even if its file was replaced.
    let mut successor = Command::new("/proc/self/exe");
    successor.arg0(std::env::args_os().next().unwrap_or_else(|| "handover".into()));
    successor.arg("successor").arg(fd.as_raw_fd().to_string()).arg(root.to_string());
    // All other descriptors close on exec.
    fcntl_setfd(fd, FdFlags::empty()).context("can't let the descriptor cross")?;
    let error = successor.exec();
    Err(error).context("can't exec the successor")
}

/// The descriptor that the predecessor left. Only [`take`] makes one, so no other file is claimed.
pub(crate) struct Inherited(OwnedFd);

impl Inherited {
    /// Wraps a file that a test has created and mapped nowhere, in place of an inherited one.
    #[cfg(test)]
    pub(crate) fn of_test(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Returns the descriptor, for uses that do not rely on where it came from.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Inherited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Takes the inherited descriptor, once in a process, and makes it close on `exec` again.
#[allow(unsafe_code)]
pub(crate) fn take(number: RawFd) -> anyhow::Result<Inherited> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    ensure!(number > 2, "descriptor {number} is a standard stream, not the file handed over");
    ensure!(!TAKEN.swap(true, Relaxed), "the inherited descriptor was taken before");
    let target = fs::read_link(format!("/proc/self/fd/{number}"))
        .with_context(|| format!("descriptor {number} is lost: it is not open"))?;
    ensure!(
        target.to_str().is_some_and(|target| target.starts_with(&format!("/memfd:{FILE_NAME}"))),
        "descriptor {number} is not the file handed over: it leads to {}",
        target.display()
    );
    // SAFETY: the descriptor is open and leads to a memfd with this program's name. The successor
    // has not created such a file, so it inherited this one and nothing in it owns the descriptor.
    // The flag above lets it be taken only once.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC).context("can't set the descriptor to close on exec")?;
    Ok(Inherited(fd))
}

/// Returns the memory that was handed over, to claim its blocks.
#[allow(unsafe_code)]
pub(crate) fn claim_memory(inherited: Inherited) -> anyhow::Result<MemfdMemory> {
    // SAFETY: nobody else writes to the file. The program that created it kept the descriptor to
    // itself, and unmapped the file before it let the descriptor cross to this program by `exec`,
    // which ended every mapping and closed every other descriptor. `Inherited` holds no other file.
    unsafe { MemfdMemory::from_fd(inherited.0) }.context("can't use the memfd that was handed over")
}
