//! The jump: this program is replaced by its successor.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;
use kho_block::abi::DEFAULT_BLOCK_SIZE;
use kho_block::{MemfdMemory, PhysAddr, SealedMemfd, SetHead};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::corrupt;
use crate::entries::Snapshot;

/// How the file is to cross.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    /// Sealed against every change, to be viewed; else writable, to be claimed.
    pub(crate) sealed: bool,
    /// Flip a bit of a block first: the one that follows from this seed.
    pub(crate) corrupt: Option<u64>,
}

/// Gives the file to the successor and becomes it. Returns only if that fails.
pub(crate) fn jump(
    memory: MemfdMemory,
    root: SetHead<Snapshot>,
    crossing: Crossing,
) -> anyhow::Result<Infallible> {
    let fd = prepare(memory, root, crossing)?;
    exec(&fd, root.addr())
}

/// The file without a mapping, ready to cross.
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
    // Unmapped first: while a memory has the file, nobody else may write it.
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

/// Runs this very program again, in this process. Only the descriptor and one address cross.
fn exec(fd: &OwnedFd, root: PhysAddr) -> anyhow::Result<Infallible> {
    // Not `current_exe`: the link leads to the program even if its file was replaced.
    let mut successor = Command::new("/proc/self/exe");
    successor.arg0(std::env::args_os().next().unwrap_or_else(|| "handover".into()));
    successor.arg("successor").arg(fd.as_raw_fd().to_string()).arg(root.to_string());
    // Everything else that is open closes on exec.
    fcntl_setfd(fd, FdFlags::empty()).context("can't let the descriptor cross")?;
    let error = successor.exec();
    Err(error).context("can't exec the successor")
}
