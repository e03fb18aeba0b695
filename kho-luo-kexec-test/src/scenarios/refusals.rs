//! Chains that are refused: by us, and how by the kernel.

use std::mem::offset_of;

use anyhow::{Context as _, Result, bail, ensure};
use kho_block::PhysAddr;
use kho_luo::{LuoSession, LuoState, write_sessions};

use super::kernel_reads::Prepared;
use super::{Context, Scenario, tail};
use crate::host::machine::Second;
use crate::host::preserved::{COUNT, NEXT, Stage};

/// What is done to a chain of some blocks.
struct Damage {
    name: &'static str,
    /// The block, the offset in it, and what goes there.
    change: fn(&[PhysAddr]) -> (PhysAddr, usize, u64),
    /// In our error.
    ours: &'static str,
    /// In the kernel's log.
    kernel: &'static str,
    /// What the kernel does, for the chain of sessions and for one of files.
    reactions: [&'static str; 2],
}

const DAMAGES: [Damage; 4] = [
    Damage {
        name: "cycle",
        change: |blocks| (blocks[blocks.len() - 1], NEXT, blocks[0].get()),
        ours: "the chain comes back to this block",
        kernel: "Block set is corrupted",
        reactions: ["panics at boot", "boots, EIO at open"],
    },
    Damage {
        name: "count-0",
        change: |blocks| (blocks[1], COUNT, 0),
        ours: "the block has no entries",
        kernel: "Block contains invalid entry count: 0",
        reactions: ["panics at boot", "boots, EIO at open"],
    },
    Damage {
        name: "count-over-maximum",
        change: |blocks| (blocks[1], COUNT, 64),
        ours: "the header counts 64 entries, where at most",
        kernel: "Block contains invalid entry count: 64",
        reactions: ["panics at boot", "boots, EIO at open"],
    },
    Damage {
        name: "next-outside-memory",
        change: |blocks| (blocks[0], NEXT, 1 << 45),
        ours: "outside the memory",
        kernel: "BUG: unable to handle page fault",
        reactions: ["panics at boot", "boots, dies at open"],
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

/// The block of the session that has most files, and the offset of its entry there.
fn entry_of_big(state: &LuoState) -> Result<(PhysAddr, usize)> {
    let number = state
        .sessions
        .iter()
        .position(|session| session.name == "big")
        .context("no big session")?;
    Ok((state.session_blocks[number / 51], 16 + number % 51 * size_of::<LuoSession>()))
}

/// The number of files that a session says is not that of its chain.
fn file_count(context: &Context) -> Result<String> {
    let (mut prepared, state, head) = written(context)?;
    let (block, entry) = entry_of_big(&state)?;
    prepared.stage.set(block, entry + offset_of!(LuoSession, file_count), 131)?;
    prepared.store(head)?;
    let ours = refused(&mut prepared, "131")?;
    let mut machine = prepared.machine;
    ensure!(matches!(machine.resume()?, Second::Up), "the second kernel did not come up");
    let answer = machine.ask("open")?;
    ensure!(answer.as_ref().is_err_and(|error| error.contains("(EIO)")), "{answer:?}");
    let said = said(&machine.log()?, "File count mismatch")?;
    Ok(format!("we: {ours}; kernel: boots, EIO at open: {said:?}"))
}

/// Two sessions have the same files.
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
    let ours = refused(&mut prepared, "is part of")?;
    let mut machine = prepared.machine;
    ensure!(matches!(machine.resume()?, Second::Up), "the second kernel did not come up");
    machine.tell("open")?;
    for command in ["retrieve rest", "retrieve big", "finish rest"] {
        machine.tell(command)?;
    }
    // It may not get as far as an answer.
    let _ = machine.ask("finish big");
    let said = said(&machine.log()?, "WARNING:")?;
    Ok(format!("we: {ours}; kernel: takes it, and frees the blocks twice: {said:?}"))
}

/// A stopped machine with sessions of ours in place, none of them damaged yet.
fn written(context: &Context) -> Result<(Prepared, LuoState, PhysAddr)> {
    let mut prepared = Prepared::new(context)?;
    let mut stage = std::mem::replace(&mut prepared.stage, Stage::new([]));
    let head = write_sessions(&stage.free()?, prepared.named()?)?.addr();
    prepared.stage = stage;
    prepared.store(head)?;
    let tree = prepared.machine.kho_device_tree()?;
    let state = LuoState::from_tree(prepared.machine.ram(), tree)?;
    Ok((prepared, state, head))
}

/// Why our reader refuses what is in the machine.
fn refused(prepared: &mut Prepared, words: &str) -> Result<String> {
    let tree = prepared.machine.kho_device_tree()?;
    let ours = match LuoState::from_tree(prepared.machine.ram(), tree) {
        Err(error) => error.to_string(),
        Ok(_) => bail!("we took it"),
    };
    ensure!(ours.contains(words), "we refused it for another reason: {ours}");
    Ok(ours)
}

/// The first message of the kernels with these words in it.
fn said(log: &str, words: &str) -> Result<String> {
    log.lines()
        .filter_map(|line| line.split_once("] ").map(|(_, text)| text.trim()))
        .find(|line| line.contains(words))
        .map(str::to_owned)
        .with_context(|| format!("the kernel did not say {words:?}; its log:\n{}", tail(log)))
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

    let mut machine = prepared.machine;
    let reaction = match machine.resume()? {
        Second::Ended => "panics at boot".to_owned(),
        Second::Up => match machine.ask("open") {
            Ok(Ok(_)) => "takes it".to_owned(),
            Ok(Err(error)) if error.contains("(EIO)") => "boots, EIO at open".to_owned(),
            Ok(Err(error)) => bail!("the agent says {error}"),
            Err(_) => "boots, dies at open".to_owned(),
        },
    };
    let expected = damage.reactions[usize::from(files)];
    ensure!(reaction == expected, "the kernel {reaction}, where it was known to {expected}");
    let said = said(&machine.log()?, damage.kernel)?;
    Ok(format!("we: {ours}; kernel: {reaction}: {said:?}"))
}
