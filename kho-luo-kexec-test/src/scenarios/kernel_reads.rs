//! The kernel reads what we wrote.

use anyhow::{Context as _, Result, ensure};
use kho_block::{BlockSet, Entry, PhysAddr, SetHead};
use kho_luo::{FileState, LuoFile, LuoSession, LuoState, PageMemory, SessionName, write_sessions};

use super::{
    Context, Expected, Scenario, check_no_warnings, check_second_kernel, read_state,
    replace_sessions,
};
use crate::host::machine::Machine;
use crate::host::preserved::{NEXT, Stage, memfd_pages};

/// A memfd whose pages become blocks.
const DONOR_PAGES: u64 = 120;
const FILES: u64 = 300;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("kernel-reads-descending", descending),
        Scenario::new("kernel-reads-short-blocks", short_blocks),
    ]
}

/// A machine that is stopped with sessions to replace.
pub(super) struct Prepared {
    pub(super) machine: Machine,
    pub(super) state: LuoState,
    pub(super) stage: Stage,
    /// Other sessions than were created, of the same files.
    pub(super) sessions: Vec<(Expected, Vec<LuoFile>)>,
}

impl Prepared {
    pub(super) fn new(context: &Context) -> Result<Self> {
        let mut machine = context.boot()?;
        machine.tell("create donor")?;
        machine.tell(&format!("files donor {FILES} 1 {DONOR_PAGES}"))?;
        machine.tell("create old-a")?;
        machine.tell("files old-a 0 200 1")?;
        machine.tell("create old-b")?;
        machine.tell(&format!("files old-b 200 {} 1", FILES - 200))?;
        machine.kexec()?;

        let state = read_state(&mut machine)?;
        let files = |name| Ok(&state.session(name).with_context(|| format!("no {name}"))?.files);
        let donor: Result<_> = files("donor");
        let mut pages = memfd_pages(machine.ram(), &donor?[0])?;
        ensure!(pages.len() as u64 == DONOR_PAGES, "{} pages to write in", pages.len());
        pages.sort_unstable_by(|one, other| other.cmp(one));
        let (old_a, old_b): (Result<_>, Result<_>) = (files("old-a"), files("old-b"));
        let files: Vec<FileState> = old_a?.iter().chain(old_b?).copied().collect();
        ensure!(files.len() as u64 == FILES, "{} files", files.len());
        let sessions = plan(files);
        Ok(Self { machine, stage: Stage::new(pages), sessions, state })
    }

    /// The sessions as they are to be written.
    pub(super) fn named(&self) -> Result<Vec<(SessionName, &[LuoFile])>> {
        self.sessions
            .iter()
            .map(|(session, files)| Ok((SessionName::new(&session.name)?, &files[..])))
            .collect()
    }

    /// Stores the pages and their head, and reads back what the kernel will see.
    pub(super) fn store(&mut self, head: PhysAddr) -> Result<()> {
        self.stage.store(self.machine.ram())?;
        replace_sessions(&self.machine, &self.state, head)
    }

    /// The kernel has to hand out what was written, and nothing else.
    fn check(mut self, head: SetHead<LuoSession>) -> Result<String> {
        self.store(head.addr())?;
        let state = read_state(&mut self.machine)?;
        ensure!(state.sessions.len() == self.sessions.len(), "{} sessions", state.sessions.len());
        let descending = |blocks: &[PhysAddr]| blocks.is_sorted_by(|one, next| one > next);
        ensure!(descending(&state.session_blocks), "blocks of sessions ascend");
        for (found, (wanted, _)) in state.sessions.iter().zip(&self.sessions) {
            ensure!(found.name == *wanted.name, "{} for {}", found.name, wanted.name);
            ensure!(descending(&found.file_blocks), "blocks of {} ascend", found.name);
        }
        let expected: Vec<Expected> =
            self.sessions.into_iter().map(|(session, _)| session).collect();
        check_second_kernel(&mut self.machine, &expected)?;
        for gone in ["donor", "old-a", "old-b"] {
            self.machine.tell(&format!("absent {gone}"))?;
        }
        check_no_warnings(&mut self.machine)?;
        let most = state.sessions.iter().map(|session| session.file_blocks.len()).max();
        Ok(format!(
            "{} sessions in {} blocks, {FILES} files, in up to {} blocks a session",
            expected.len(),
            state.session_blocks.len(),
            most.unwrap_or_default()
        ))
    }
}

/// Renamed and reordered: 64 sessions with the files of two, backwards, under other tokens.
fn plan(files: Vec<FileState>) -> Vec<(Expected, Vec<LuoFile>)> {
    let mut files = files.into_iter().rev();
    let mut counts: Vec<(String, usize)> = (0..60).map(|n| (format!("new-{n}"), n % 5)).collect();
    counts.insert(7, ("big".to_owned(), 130));
    counts.insert(31, ("empty".to_owned(), 0));
    counts.push(("n".repeat(63), 1));
    counts.push(("rest".to_owned(), 49));
    counts.reverse();
    counts
        .into_iter()
        .map(|(name, count)| {
            let taken: Vec<FileState> = files.by_ref().take(count).collect();
            let renumbered = |file: &FileState| (u64::MAX / 2 + 1000 - file.token, file.token);
            let entries = taken
                .iter()
                .map(|file| LuoFile { token: renumbered(file).0, ..file.to_entry() })
                .collect();
            (Expected { name, files: taken.iter().map(renumbered).collect() }, entries)
        })
        .collect()
}

fn descending(context: &Context) -> Result<String> {
    let mut prepared = Prepared::new(context)?;
    let mut stage = std::mem::replace(&mut prepared.stage, Stage::new([]));
    let head = write_sessions(&stage.free()?, prepared.named()?)?;
    prepared.stage = stage;
    prepared.check(head)
}

/// Blocks of these lengths, then full ones.
const SESSION_SHAPE: [usize; 4] = [3, 51, 1, 5];
const FILE_SHAPE: [usize; 4] = [1, 63, 2, 40];

fn short_blocks(context: &Context) -> Result<String> {
    let mut prepared = Prepared::new(context)?;
    let mut stage = std::mem::replace(&mut prepared.stage, Stage::new([]));
    let mut entries = Vec::new();
    let mut links = Vec::new();
    let memory = stage.free()?;
    for (name, files) in prepared.named()? {
        let head = shaped(&memory, &FILE_SHAPE, files, &mut links)?;
        entries.push(LuoSession::new(name, head, files.len() as u64));
    }
    // The last one comes when the chain is restored.
    let last = entries.pop().context("no sessions")?;
    let head = shaped(&memory, &SESSION_SHAPE, &entries, &mut links)?;
    drop(memory);
    for (block, next) in links {
        stage.set(block, NEXT, next.get())?;
    }
    let memory = stage.preserved()?;
    let mut sessions = BlockSet::restore(&memory, head)?;
    ensure!(!sessions.is_uniform(), "the chain has no short block");
    sessions.push(last)?;
    let head = sessions.hand_over();
    drop(memory);
    prepared.stage = stage;
    prepared.check(head)
}

/// Writes each block as a set of its own. The links between them are returned.
fn shaped<T: Entry>(
    memory: &PageMemory<'_>,
    shape: &[usize],
    entries: &[T],
    links: &mut Vec<(PhysAddr, PhysAddr)>,
) -> Result<SetHead<T>> {
    let mut rest = entries;
    let mut shape = shape.iter().copied();
    let full = BlockSet::<T, &PageMemory<'_>>::COUNT_PER_BLOCK;
    let mut head = None;
    let mut before = None;
    while !rest.is_empty() {
        let (block, after) = rest.split_at(shape.next().unwrap_or(full).min(rest.len()));
        rest = after;
        let mut set = BlockSet::new_in(memory);
        set.writer().extend_from_slice(block)?;
        let addr = set.hand_over().addr();
        links.extend(before.replace(addr).map(|before| (before, addr)));
        head.get_or_insert(addr);
    }
    Ok(SetHead::new(head.unwrap_or_default()))
}
