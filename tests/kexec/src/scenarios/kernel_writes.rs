//! Chains that the kernel writes, read by kho-luo.

use anyhow::{Context as _, Result, bail, ensure};
use kho_block::ReadMemory;
use kho_luo_kexec_test::content;

use crate::host::machine::{Answer, Second};
use crate::host::preserved::memfd_pages;
use crate::scenario::{
    Context, Expected, Scenario, check_no_warnings, check_second_kernel, create, read_sound_state,
    read_state,
};

/// Numbers of sessions: around the 51 that fill a block, and 19 blocks and part of another.
const SESSIONS: [u64; 7] = [0, 1, 50, 51, 52, 102, 1000];

/// Numbers of files: around the 63 that fill a block.
const FILES: [u64; 8] = [0, 1, 62, 63, 64, 126, 127, 200];

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = SESSIONS
        .into_iter()
        .map(|count| {
            Scenario::new(format!("kernel-writes-{count}-sessions"), move |context| {
                let files =
                    |session| if count < 1000 || session % 20 == 0 { session % 3 } else { 0 };
                run(
                    context,
                    numbered((0..count).map(|session| (format!("s{session}"), files(session))))?,
                )
            })
        })
        .collect();
    scenarios.push(Scenario::new("kernel-writes-files", |context| {
        run(context, numbered(FILES.map(|count| (format!("with-{count}-files"), count)))?)
    }));
    scenarios.push(Scenario::new("kernel-writes-odd-names-and-tokens", |context| {
        run(context, odd_names_and_tokens()?)
    }));
    scenarios.push(Scenario::new("kernel-leaves-an-empty-block", empty_block));
    scenarios
}

/// Returns sessions with these numbers of files. Files are numbered across sessions, and a file's token
/// is its number.
fn numbered(sessions: impl IntoIterator<Item = (String, u64)>) -> Result<Vec<Expected>> {
    let mut first = 0;
    let number = |(name, count)| {
        let files = first..first + count;
        first += count;
        Expected::new(name, files.map(|file| (file, file)))
    };
    sessions.into_iter().map(number).collect()
}

/// Returns sessions with names that are not UTF-8 or of the greatest length, and with the least and the
/// greatest tokens.
pub(super) fn odd_names_and_tokens() -> Result<Vec<Expected>> {
    let every_byte = |from: u8| (from..=from.saturating_add(62)).collect::<Vec<u8>>();
    let names: [&[u8]; 13] = [
        &every_byte(1),
        &every_byte(64),
        &every_byte(127),
        &every_byte(190),
        &[b'n'; 63],
        &[b'n'; 62],
        &[0xff; 63],
        // The first byte of a letter of two.
        b"\xc3",
        "\u{fc}".as_bytes(),
        b"\xfd\xfe",
        b"\n",
        b"../a b/%s%n",
        b"\x1b[31m",
    ];
    let tokens = [0, u64::MAX, 1, u64::MAX - 1, 1 << 63, u64::from(u32::MAX)];
    let mut number = 0..;
    let sessions = (0..).zip(names).map(|(index, name): (usize, _)| {
        let tokens = tokens.into_iter().cycle().skip(index).take(index % tokens.len() + 1);
        Expected::new(name, tokens.zip(number.by_ref()))
    });
    sessions.collect()
}

fn run(context: &Context, expected: Vec<Expected>) -> Result<String> {
    let mut machine = context.boot()?;
    create(&mut machine, &expected)?;
    machine.kexec()?;

    let state = read_sound_state(&mut machine)?;
    let root = state.root;
    ensure!(root.liveupdate_num == 1, "live update number {}", { root.liveupdate_num });
    ensure!(state.sessions.len() == expected.len(), "{} sessions", state.sessions.len());
    let blocks = state.session_blocks.len();
    ensure!(blocks == expected.len().div_ceil(51), "{blocks} blocks of sessions");
    let mut files = 0;
    for (found, wanted) in state.sessions.iter().zip(&expected) {
        let name = &wanted.name;
        ensure!(found.name == *name, "{} where {name} was created", found.name);
        ensure!(found.file_blocks.len() == wanted.files.len().div_ceil(63), "blocks of {name}");
        ensure!(found.files.len() == wanted.files.len(), "{} files in {name}", found.files.len());
        for (file, (token, number)) in found.files.iter().zip(&wanted.files) {
            ensure!(file.token == *token, "token {} for {token} in {name}", file.token);
            let pages = memfd_pages(machine.ram(), file)?;
            let mut page = vec![0; content::PAGE_SIZE];
            machine.ram().read(*pages.first().context("no pages")?, &mut page)?;
            ensure!(page == content::page(*number, 0), "content of file {number}");
        }
        files += wanted.files.len();
    }
    check_second_kernel(&mut machine, &expected)?;
    check_no_warnings(&mut machine)?;
    let sessions = expected.len();
    Ok(format!(
        "{sessions} sessions in {blocks} blocks, {files} files read from memory and handed out"
    ))
}

/// A fault in the kernel: if all blocks are full, refusing a session's name leaves an empty block in
/// the chain.
fn empty_block(context: &Context) -> Result<String> {
    let mut machine = context.boot()?;
    create(&mut machine, &numbered((0..51).map(|session| (format!("s{session}"), 0)))?)?;
    let refused = machine.ask("create s0")?;
    ensure!(matches!(refused, Answer::Failed(_)), "a second session s0");
    machine.kexec()?;
    let error = match read_state(&mut machine) {
        Err(error) => format!("{error:#}"),
        Ok(_) => bail!("the chain was read without an error"),
    };
    ensure!(error.contains("the block has no entries"), "refused for another reason: {error}");
    ensure!(matches!(machine.resume()?, Second::Ended), "the second kernel came up");
    let panic = machine.message("Kernel panic")?;
    Ok(format!("we: {error}; kernel: {panic}"))
}
