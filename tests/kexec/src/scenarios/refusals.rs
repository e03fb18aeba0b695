//! Damaged chains, and how kho-luo and the kernel refuse them.

use std::fmt;
use std::mem::offset_of;

use anyhow::{Context as _, Result, bail, ensure};
use kho_block::PhysAddr;
use kho_luo::{LuoSession, LuoState};

use super::kernel_reads::{Prepared, usual};
use crate::host::machine::{Answer, Machine, Second};
use crate::host::preserved::{COUNT, HEADER_SIZE, NEXT};
use crate::scenario::{Context, Scenario, resume};

/// Damage to a chain of some blocks.
struct Damage {
    name: &'static str,
    /// Returns which block to damage, at what offset, and the number to store there.
    change: fn(&[PhysAddr]) -> (PhysAddr, usize, u64),
    /// Words in our error.
    ours: &'static str,
    /// Words in the kernel's log.
    kernel: &'static str,
    /// Reactions of the kernel: if the chain is of sessions, and if it is of files.
    reactions: [Reaction; 2],
}

/// How the second kernel reacts to damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    PanicsAtBoot,
    /// Opening the device fails with `EIO`.
    RefusesToOpen,
    DiesAtOpen,
    AcceptsIt,
}

use Reaction::{AcceptsIt, DiesAtOpen, PanicsAtBoot, RefusesToOpen};

impl Reaction {
    /// Lets the machine continue and opens the device. Returns what happened.
    pub(super) fn of(machine: &mut Machine) -> Result<Self> {
        if let Second::Ended = machine.resume()? {
            return Ok(PanicsAtBoot);
        }
        Ok(match machine.ask("open")? {
            Answer::Done(_) => AcceptsIt,
            Answer::Failed(error) if error.contains("(EIO)") => RefusesToOpen,
            Answer::Failed(error) => bail!("the agent says {error}"),
            Answer::Ended => DiesAtOpen,
        })
    }

    /// Checks for this reaction and these words in the kernel's log. Returns the message.
    pub(super) fn expect(self, machine: &mut Machine, words: &str) -> Result<String> {
        let found = Self::of(machine)?;
        ensure!(found == self, "expected: {self}; the kernel: {found}");
        Ok(format!("{self}: {:?}", machine.message(words)?))
    }
}

impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PanicsAtBoot => "panics at boot",
            RefusesToOpen => "boots, EIO at open",
            DiesAtOpen => "boots, dies at open",
            AcceptsIt => "accepts it",
        })
    }
}

const DAMAGES: [Damage; 4] = [
    Damage {
        name: "cycle",
        change: |blocks| (blocks[blocks.len() - 1], NEXT, blocks[0].get()),
        ours: "the chain comes back to this block",
        kernel: "Block set is corrupted",
        reactions: [PanicsAtBoot, RefusesToOpen],
    },
    Damage {
        name: "count-0",
        change: |blocks| (blocks[1], COUNT, 0),
        ours: "the block has no entries",
        kernel: "Block contains invalid entry count: 0",
        reactions: [PanicsAtBoot, RefusesToOpen],
    },
    Damage {
        name: "count-over-maximum",
        change: |blocks| (blocks[1], COUNT, 64),
        ours: "the header counts 64 entries, but at most",
        kernel: "Block contains invalid entry count: 64",
        reactions: [PanicsAtBoot, RefusesToOpen],
    },
    Damage {
        name: "next-outside-memory",
        change: |blocks| (blocks[0], NEXT, 1 << 45),
        ours: "outside the memory",
        kernel: "BUG: unable to handle page fault",
        reactions: [PanicsAtBoot, DiesAtOpen],
    },
];

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for damage in &DAMAGES {
        for files in [false, true] {
            let of = if files { "files" } else { "sessions" };
            scenarios
                .push(Scenario::new(format!("refused-{}-of-{of}", damage.name), move |context| {
                    run(context, damage, files)
                }));
        }
    }
    scenarios.push(Scenario::new("refused-file-count", file_count));
    scenarios.push(Scenario::new("refused-shared-block", shared_block));
    scenarios
}

/// Returns the block with the entry of the session `big`, and the offset of the entry.
pub(super) fn entry_of_big(state: &LuoState) -> Result<(PhysAddr, usize)> {
    let number = state
        .sessions
        .iter()
        .position(|session| session.name == "big")
        .context("no big session")?;
    Ok((state.session_blocks[number / 51], HEADER_SIZE + number % 51 * size_of::<LuoSession>()))
}

/// A session counts one file more than its chain has.
fn file_count(context: &Context) -> Result<String> {
    let (mut prepared, state, head) = written(context)?;
    let (block, entry) = entry_of_big(&state)?;
    prepared.stage.set(block, entry + offset_of!(LuoSession, file_count), 131)?;
    prepared.store(head)?;
    let ours = refused(&mut prepared, "131")?;
    let kernel = RefusesToOpen.expect(&mut prepared.machine, "File count mismatch")?;
    Ok(format!("we: {ours}; kernel: {kernel}"))
}

/// Two sessions lead to one chain of files.
fn shared_block(context: &Context) -> Result<String> {
    let (mut prepared, state, head) = written(context)?;
    let (block, entry) = entry_of_big(&state)?;
    let other = state.session("rest").context("no session of the rest")?;
    prepared.stage.set(
        block,
        entry + offset_of!(LuoSession, files),
        other.entry.files.addr().get(),
    )?;
    prepared.stage.set(
        block,
        entry + offset_of!(LuoSession, file_count),
        other.files.len() as u64,
    )?;
    prepared.store(head)?;
    let ours = refused(&mut prepared, "belongs both to")?;
    let mut machine = prepared.machine;
    resume(&mut machine)?;
    for command in ["open", "retrieve rest big", "finish rest"] {
        machine.tell(command)?;
    }
    // The kernel may end before the agent answers.
    machine.ask("finish big")?;
    let said = machine.message("WARNING:")?;
    Ok(format!("we: {ours}; kernel: accepts it, and frees the blocks twice: {said:?}"))
}

/// Returns a stopped machine with sessions that we have written, not yet damaged.
pub(super) fn written(context: &Context) -> Result<(Prepared, LuoState, PhysAddr)> {
    let mut prepared = Prepared::new(context, &usual()?)?;
    let head = prepared.write()?.addr();
    prepared.store(head)?;
    let tree = prepared.machine.kho_device_tree()?;
    let state = LuoState::from_tree(prepared.machine.ram(), tree)?;
    Ok((prepared, state, head))
}

/// Checks that our reader refuses what is in the machine, in these words. Returns its error.
pub(super) fn refused(prepared: &mut Prepared, words: &str) -> Result<String> {
    let tree = prepared.machine.kho_device_tree()?;
    let ours = match LuoState::from_tree(prepared.machine.ram(), tree) {
        Err(error) => error.to_string(),
        Ok(_) => bail!("we accepted it"),
    };
    ensure!(ours.contains(words), "we refused it for another reason: {ours}");
    Ok(ours)
}

fn run(context: &Context, damage: &Damage, files: bool) -> Result<String> {
    let (mut prepared, whole, head) = written(context)?;
    let blocks = if files {
        &whole.session("big").context("no big session")?.file_blocks
    } else {
        &whole.session_blocks
    };
    ensure!(blocks.len() > 1, "a chain of one block");
    let (block, offset, value) = (damage.change)(blocks);
    prepared.stage.set(block, offset, value)?;
    prepared.store(head)?;
    let ours = refused(&mut prepared, damage.ours)?;
    let reaction = damage.reactions[usize::from(files)];
    let kernel = reaction.expect(&mut prepared.machine, damage.kernel)?;
    Ok(format!("we: {ours}; kernel: {kernel}"))
}
