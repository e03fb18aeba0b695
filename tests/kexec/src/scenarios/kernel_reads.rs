//! Chains that kho-block writes, read by the kernel.

use anyhow::{Context as _, Result, ensure};
use kho_block::{BlockSet, Entry, PageMemory, PhysAddr, SetHead};
use kho_luo::{FileState, LuoFile, LuoSession, LuoState, SessionName, Warning, write_sessions};

use super::kernel_writes::odd_names_and_tokens;
use crate::host::machine::Machine;
use crate::host::preserved::{NEXT, Stage, memfd_pages};
use crate::scenario::{
    Context, Expected, Scenario, check_no_warnings, check_second_kernel, read_state,
    replace_sessions,
};

/// Pages of the memfd that blocks are written into.
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

/// A machine, stopped between the kernels, whose sessions are about to be replaced.
pub(super) struct Prepared {
    pub(super) machine: Machine,
    pub(super) state: LuoState,
    pub(super) stage: Stage,
    /// The sessions to write, with the files that were created.
    pub(super) sessions: Vec<(Expected, Vec<LuoFile>)>,
}

impl Prepared {
    /// Boots a machine, creates files, and stops it in the second kernel. `sessions` says which
    /// session is to have which file, by numbers less than [`FILES`].
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

    /// Returns names and files of the sessions to write.
    fn named(&self) -> impl Iterator<Item = (SessionName, &[LuoFile])> {
        self.sessions.iter().map(|(session, files)| (session.name, &files[..]))
    }

    /// Writes the sessions into the stage. Returns their head.
    pub(super) fn write(&mut self) -> Result<SetHead<LuoSession>> {
        let mut stage = std::mem::replace(&mut self.stage, Stage::new([]));
        let head = write_sessions(&stage.free()?, self.named())?;
        self.stage = stage;
        Ok(head)
    }

    /// Stores the pages and their head in the machine.
    pub(super) fn store(&mut self, head: PhysAddr) -> Result<()> {
        self.stage.store(self.machine.ram())?;
        replace_sessions(&self.machine, &self.state, head)
    }

    /// Checks that the kernel hands out what was written and nothing else. Our reader has to find
    /// this number of blocks that are not full although another follows.
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

/// Returns sessions with these numbers of files. Files are in descending order, under new tokens.
fn sessions(counts: impl IntoIterator<Item = (String, usize)>) -> Result<Vec<Expected>> {
    let mut files = (0..FILES).rev();
    let renumbered = |file| (u64::MAX / 2 + 1000 - file, file);
    counts
        .into_iter()
        .map(|(name, count)| Expected::new(name, files.by_ref().take(count).map(renumbered)))
        .collect()
}

/// Returns 64 sessions with all files. One of them has files in three blocks.
pub(super) fn usual() -> Result<Vec<Expected>> {
    let mut counts: Vec<(String, usize)> = (0..60).map(|n| (format!("new-{n}"), n % 5)).collect();
    counts.insert(7, ("big".to_owned(), 130));
    counts.insert(31, ("empty".to_owned(), 0));
    counts.push(("n".repeat(63), 1));
    counts.push(("rest".to_owned(), 49));
    counts.reverse();
    sessions(counts)
}

/// Returns sessions that fill two blocks. Some have files that nearly or just fill one or two
/// blocks.
fn full_blocks() -> Result<Vec<Expected>> {
    let mut counts = [126, 63, 62, 1].into_iter();
    sessions((0..102).map(|n| {
        let count = if n % 30 == 11 { counts.next().unwrap_or_default() } else { 0 };
        (format!("full-{n}"), count)
    }))
}

/// Returns sessions in twenty blocks. One in twenty has files.
fn many() -> Result<Vec<Expected>> {
    sessions((0..1000).map(|n| (format!("many-{n}"), if n % 20 == 7 { 6 } else { 0 })))
}

/// Writes sessions as the library does, if asked with garbage in the unused parts of blocks.
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
    Ok(format!("{}, {bytes} bytes of garbage after them", prepared.check(head, 0)?))
}

/// Entries in the first blocks of each chain. All others are full.
const SESSION_SHAPE: [usize; 4] = [3, 51, 1, 5];
const FILE_SHAPE: [usize; 4] = [1, 63, 2, 40];

/// Number of blocks that have room left although another follows: three of sessions, three of the
/// session with 130 files, one of that with 49, and one each of 36 sessions with 2, 3 or 4 files.
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
    // The last session is pushed when the chain has been restored.
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

/// Writes each block as a set of its own. Returns the head of the first, and adds to `links` what
/// makes one chain of them.
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
