//! The kernel reads what we wrote.

use anyhow::{Context as _, Result, ensure};
use kho_block::{BlockSet, Entry, PhysAddr, SetHead};
use kho_luo::{
    FileState, LuoFile, LuoSession, LuoState, PageMemory, SessionName, Warning, write_sessions,
};

use super::kernel_writes::odd_names_and_tokens;
use crate::host::machine::Machine;
use crate::host::preserved::{NEXT, Stage, memfd_pages};
use crate::scenario::{
    Context, Expected, Scenario, check_no_warnings, check_second_kernel, read_state,
    replace_sessions,
};

/// A memfd whose pages become blocks.
const DONOR_PAGES: u64 = 120;
const FILES: u64 = 300;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("kernel-reads-descending", |context| written(context, &usual()?, false)),
        Scenario::new("kernel-reads-full-blocks-before-garbage", |context| {
            written(context, &full_blocks()?, true)
        }),
        Scenario::new("kernel-reads-1000-sessions", |context| written(context, &many()?, false)),
        Scenario::new("kernel-reads-odd-names-and-tokens", |context| {
            written(context, &odd_names_and_tokens()?, true)
        }),
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
    /// Boots the machine up to the second kernel. The sessions are to have these files, numbered
    /// below [`FILES`].
    pub(super) fn new(context: &Context, sessions: &[Expected]) -> Result<Self> {
        let mut machine = context.boot()?;
        machine.tell("create donor old-a old-b")?;
        machine.tell(&format!("preserve donor {DONOR_PAGES} {FILES}={FILES}"))?;
        for (name, files) in [("old-a", 0..200), ("old-b", 200..FILES)] {
            let files: Vec<String> = files.map(|file| format!("{file}={file}")).collect();
            machine.tell_each(&format!("preserve {name} 1"), &files)?;
        }
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
        let entry = |(token, number): &(u64, u64)| -> Result<LuoFile> {
            let file = files.get(usize::try_from(*number)?).context("no such file")?;
            Ok(LuoFile { token: *token, ..file.to_entry() })
        };
        let entries =
            |session: &Expected| session.files.iter().map(entry).collect::<Result<Vec<_>>>();
        let sessions = sessions
            .iter()
            .map(|session| Ok((session.clone(), entries(session)?)))
            .collect::<Result<_>>()?;
        Ok(Self { machine, stage: Stage::new(pages), sessions, state })
    }

    /// The sessions as they are to be written.
    fn named(&self) -> impl Iterator<Item = (SessionName, &[LuoFile])> {
        self.sessions.iter().map(|(session, files)| (session.name, &files[..]))
    }

    /// Writes the sessions into the stage, and returns their head.
    pub(super) fn write(&mut self) -> Result<SetHead<LuoSession>> {
        let mut stage = std::mem::replace(&mut self.stage, Stage::new([]));
        let head = write_sessions(&stage.free()?, self.named())?;
        self.stage = stage;
        Ok(head)
    }

    /// Stores the pages and their head, where the kernel will see them.
    pub(super) fn store(&mut self, head: PhysAddr) -> Result<()> {
        self.stage.store(self.machine.ram())?;
        replace_sessions(&self.machine, &self.state, head)
    }

    /// The kernel has to hand out what was written, and nothing else. So many blocks have room left
    /// before the next.
    fn check(mut self, head: SetHead<LuoSession>, short_blocks: usize) -> Result<String> {
        self.store(head.addr())?;
        let state = read_state(&mut self.machine)?;
        let short = |warning: &Warning| matches!(warning, Warning::ShortBlock { .. });
        ensure!(state.warnings.iter().all(short), "{:?}", state.warnings);
        ensure!(state.warnings.len() == short_blocks, "{:?}", state.warnings);
        ensure!(state.sessions.len() == self.sessions.len(), "{} sessions", state.sessions.len());
        let descending = |blocks: &[PhysAddr]| blocks.is_sorted_by(|one, next| one > next);
        ensure!(descending(&state.session_blocks), "blocks of sessions ascend");
        for (found, (wanted, files)) in state.sessions.iter().zip(&self.sessions) {
            ensure!(found.name == wanted.name, "{} for {}", found.name, wanted.name);
            ensure!(descending(&found.file_blocks), "blocks of {} ascend", found.name);
            let found_files = found.files.iter().map(|file| file.to_entry());
            ensure!(found_files.eq(files.iter().copied()), "other files in {}", found.name);
        }
        let expected: Vec<Expected> =
            self.sessions.into_iter().map(|(session, _)| session).collect();
        check_second_kernel(&mut self.machine, &expected)?;
        self.machine.tell("absent donor old-a old-b")?;
        check_no_warnings(&mut self.machine)?;
        let files: usize = expected.iter().map(|session| session.files.len()).sum();
        let most = state.sessions.iter().map(|session| session.file_blocks.len()).max();
        Ok(format!(
            "{} sessions in {} blocks, {files} files, in up to {} blocks a session",
            expected.len(),
            state.session_blocks.len(),
            most.unwrap_or_default()
        ))
    }
}

/// Sessions of so many files each. The files come in falling order, under other tokens.
fn sessions(counts: impl IntoIterator<Item = (String, usize)>) -> Result<Vec<Expected>> {
    let mut files = (0..FILES).rev();
    let renumbered = |file| (u64::MAX / 2 + 1000 - file, file);
    counts
        .into_iter()
        .map(|(name, count)| Expected::new(name, files.by_ref().take(count).map(renumbered)))
        .collect()
}

/// 64 sessions, one of them with files in three blocks, with all files in all.
pub(super) fn usual() -> Result<Vec<Expected>> {
    let mut counts: Vec<(String, usize)> = (0..60).map(|n| (format!("new-{n}"), n % 5)).collect();
    counts.insert(7, ("big".to_owned(), 130));
    counts.insert(31, ("empty".to_owned(), 0));
    counts.push(("n".repeat(63), 1));
    counts.push(("rest".to_owned(), 49));
    counts.reverse();
    sessions(counts)
}

/// Two blocks of sessions without room for another; of files, the counts around a full block.
fn full_blocks() -> Result<Vec<Expected>> {
    let mut counts = [126, 63, 62, 1].into_iter();
    sessions((0..102).map(|n| {
        let count = if n % 30 == 11 { counts.next().unwrap_or_default() } else { 0 };
        (format!("full-{n}"), count)
    }))
}

/// Sessions in twenty blocks, one in twenty of them with files.
fn many() -> Result<Vec<Expected>> {
    sessions((0..1000).map(|n| (format!("many-{n}"), if n % 20 == 7 { 6 } else { 0 })))
}

/// Sessions as the library writes them; there may be garbage behind the entries.
fn written(context: &Context, sessions: &[Expected], garbage: bool) -> Result<String> {
    let mut prepared = Prepared::new(context, sessions)?;
    let head = prepared.write()?;
    let mut bytes = 0;
    if garbage {
        prepared.store(head.addr())?;
        let state = read_state(&mut prepared.machine)?;
        for block in &state.session_blocks {
            bytes += prepared.stage.fill_unused(*block, size_of::<LuoSession>())?;
        }
        for block in state.sessions.iter().flat_map(|session| &session.file_blocks) {
            bytes += prepared.stage.fill_unused(*block, size_of::<LuoFile>())?;
        }
    }
    Ok(format!("{}, {bytes} bytes of garbage behind them", prepared.check(head, 0)?))
}

/// Blocks of these lengths, then full ones.
const SESSION_SHAPE: [usize; 4] = [3, 51, 1, 5];
const FILE_SHAPE: [usize; 4] = [1, 63, 2, 40];

/// How many of them have room left though another one follows: three of the sessions, three of the
/// 130 files of one and one of the 49 of another; and one each of 36 that have 2, 3 or 4.
const SHORT_BLOCKS: usize = 3 + 3 + 1 + 36;

fn short_blocks(context: &Context) -> Result<String> {
    let mut prepared = Prepared::new(context, &usual()?)?;
    let mut stage = std::mem::replace(&mut prepared.stage, Stage::new([]));
    let mut entries = Vec::new();
    let mut links = Vec::new();
    let memory = stage.free()?;
    for (name, files) in prepared.named() {
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
    prepared.check(head, SHORT_BLOCKS)
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
