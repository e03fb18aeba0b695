//! We read what the kernel wrote.

use anyhow::{Context as _, Result, ensure};
use kho_block::ReadMemory;
use kho_luo_kexec_test::content;

use super::{
    Context, Expected, Scenario, check_no_warnings, check_second_kernel, read_state, tail,
};
use crate::host::machine::Second;
use crate::host::preserved::memfd_pages;

/// Around the 51 that fill a block.
const SESSIONS: [u64; 6] = [0, 1, 50, 51, 52, 102];

/// Around the 63 that fill a block.
const FILES: [u64; 8] = [0, 1, 62, 63, 64, 126, 127, 200];

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = SESSIONS
        .into_iter()
        .map(|count| {
            Scenario::new(format!("kernel-writes-{count}-sessions"), move |context| {
                let files = |session| session % 3;
                run(context, (0..count).map(|session| (format!("s{session}"), files(session))))
            })
        })
        .collect();
    scenarios.push(Scenario::new("kernel-writes-files", |context| {
        let by_count = FILES.into_iter().map(|count| (format!("with-{count}-files"), count));
        run(context, by_count.chain([("n".repeat(63), 2)]))
    }));
    scenarios.push(Scenario::new("kernel-leaves-an-empty-block", empty_block));
    scenarios
}

fn run(context: &Context, sessions: impl Iterator<Item = (String, u64)>) -> Result<String> {
    let mut machine = context.boot()?;
    let mut expected = Vec::new();
    let mut first = 0;
    for (name, count) in sessions {
        machine.tell(&format!("create {name}"))?;
        if count > 0 {
            machine.tell(&format!("files {name} {first} {count} 1"))?;
        }
        expected.push(Expected {
            name,
            files: (first..first + count).map(|file| (file, file)).collect(),
        });
        first += count;
    }
    machine.kexec()?;

    let state = read_state(&mut machine)?;
    let root = state.root;
    ensure!(root.liveupdate_num == 1, "live update number {}", { root.liveupdate_num });
    ensure!(state.sessions.len() == expected.len(), "{} sessions", state.sessions.len());
    ensure!(state.session_blocks.len() == expected.len().div_ceil(51), "blocks of sessions");
    for (found, wanted) in state.sessions.iter().zip(&expected) {
        let name = &wanted.name;
        ensure!(found.name == **name, "{} where {name} was created", found.name);
        ensure!(found.file_blocks.len() == wanted.files.len().div_ceil(63), "blocks of {name}");
        ensure!(found.files.len() == wanted.files.len(), "{} files in {name}", found.files.len());
        for (file, (token, number)) in found.files.iter().zip(&wanted.files) {
            ensure!(file.token == *token, "token {} for {token} in {name}", file.token);
            let pages = memfd_pages(machine.ram(), file)?;
            let mut page = vec![0; content::PAGE_SIZE];
            machine.ram().read(*pages.first().context("no pages")?, &mut page)?;
            ensure!(page == content::page(*number, 0), "content of file {number}");
        }
    }
    check_second_kernel(&mut machine, &expected)?;
    check_no_warnings(&mut machine)?;
    Ok(format!("{} sessions, {first} files read from memory and handed out", expected.len()))
}

/// A finding: a name that is refused leaves a block without entries behind when the blocks before it
/// are full.
fn empty_block(context: &Context) -> Result<String> {
    let mut machine = context.boot()?;
    for session in 0..51 {
        machine.tell(&format!("create s{session}"))?;
    }
    let refused = machine.ask("create s0")?;
    ensure!(refused.is_err(), "a second session s0");
    machine.kexec()?;
    let error = match read_state(&mut machine) {
        Err(error) => format!("{error:#}"),
        Ok(_) => anyhow::bail!("the chain was read without an error"),
    };
    ensure!(error.contains("the block has no entries"), "refused for another reason: {error}");
    ensure!(matches!(machine.resume()?, Second::Ended), "the second kernel came up");
    let log = machine.log()?;
    let panic =
        log.lines().find(|line| line.contains("Kernel panic")).with_context(|| tail(&log))?;
    Ok(format!("we: {error}; kernel: {}", panic.trim()))
}
