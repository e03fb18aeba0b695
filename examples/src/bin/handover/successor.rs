//! What comes after the jump: restores, and verifies or hands over once more.

use std::io::Write as _;
use std::os::fd::{AsFd as _, RawFd};

use anyhow::{Context as _, ensure};
use kho_block::{PhysAddr, SealedMemfd, SetHead};
use kho_examples::program;
use rustix::fs::{SealFlags, fcntl_get_seals};

use crate::entries::{Generation, Snapshot};
use crate::inherited::Inherited;
use crate::jump::{Crossing, jump};
use crate::report::Report;
use crate::restore::{Restore, Restored};
use crate::verify::verify;
use crate::{clock, inherited};

/// Takes over. `entered` is when `main` began.
pub(crate) fn run(fd: RawFd, root: u64, entered: u64) -> anyhow::Result<()> {
    let file = inherited::take(fd)?;
    let root = SetHead::new(PhysAddr::new(root));
    let seals = fcntl_get_seals(file.as_fd()).context("the descriptor is not a memfd")?;
    if seals.contains(SealFlags::WRITE) {
        view(file, root, entered)
    } else {
        claim(file, root, entered)
    }
}

/// The file is sealed: its sets are read in place.
fn view(file: Inherited, root: SetHead<Snapshot>, entered: u64) -> anyhow::Result<()> {
    let memory =
        SealedMemfd::open(file.into_fd()).context("can't open the memfd that was handed over")?;
    let restored = Restored::restore(&memory, root)?;
    finish(&restored, entered, clock::now())
}

/// The file is ours alone: its sets are claimed, and go on to the next generation if one is wanted.
fn claim(file: Inherited, root: SetHead<Snapshot>, entered: u64) -> anyhow::Result<()> {
    let memory = inherited::claim_memory(file)?;
    let mut restored = Restored::restore(&memory, root)?;
    // The file grows in steps, so some of its blocks belong to no set. They come in as preserved,
    // like all others; unless they are freed here the file grows with each generation.
    memory.free_preserved();
    let claimed = clock::now();

    let number = restored.generations.len() as u64 + 1;
    let wanted = restored.snapshot().generations_wanted;
    let entries = restored.totals().entries as u64;
    let pid = u64::from(std::process::id());
    restored
        .generations
        .push(Generation { number, pid, entered, claimed, left: 0, entries })
        .context("can't add a generation")?;
    if number < wanted {
        if let Some(generation) = restored.generations.iter_mut().next_back() {
            generation.left = clock::now();
        }
        let root = restored.hand_over()?;
        let usage = memory.usage();
        ensure!(usage.owned == 0, "{} blocks were not handed over", usage.owned);
        match jump(memory, root, Crossing { sealed: false, corrupt: None })? {}
    }
    finish(&restored, entered, claimed)?;
    let before = memory.usage();
    drop(restored);
    let after = memory.usage();
    ensure!(
        (after.owned, after.preserved) == (0, 0),
        "{} blocks are still owned and {} preserved",
        after.owned,
        after.preserved
    );
    writeln!(program::stdout(), "freed all {} blocks", before.owned)?;
    Ok(())
}

fn finish<R: Restore>(restored: &Restored<R>, entered: u64, claimed: u64) -> anyhow::Result<()> {
    let processes = verify(restored)?;
    Report { restored, processes: &processes, entered, restored_at: claimed, read_at: clock::now() }
        .print()
}
