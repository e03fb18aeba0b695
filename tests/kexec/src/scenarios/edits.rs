//! The kernel's own chains, claimed in place, edited and handed back.

use anyhow::{Context as _, Result, ensure};
use kho_block::{BlockSet, PageMemory, PhysAddr, SetHead};
use kho_luo::{LuoFile, LuoSession, LuoState, SessionName};

use crate::host::preserved::Stage;
use crate::scenario::{
    Context, Expected, Scenario, check_no_warnings, check_second_kernel, create, read_sound_state,
    replace_sessions,
};

/// Number of sessions that the kernel writes. They fill one block and part of another.
const SESSIONS: usize = 69;

/// Number of files of the first sessions: two blocks, a full block, two blocks, none.
const FILES: [u64; 4] = [64, 63, 70, 0];

/// Number of sessions that are handed back, in three blocks.
const MORE_SESSIONS: usize = 103;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("kernel-reads-its-own-chains-edited", run)]
}

/// Returns the sessions that the kernel is told to create, with 248 files in all.
fn created() -> Result<Vec<Expected>> {
    let mut first = 0;
    (0..SESSIONS)
        .map(|number| {
            let count = FILES.get(number).copied().unwrap_or((number < 55).into());
            let files = first..first + count;
            first += count;
            Expected::new(format!("s{number}"), files.map(|file| (file, file)))
        })
        .collect()
}

/// Makes the edits of [`Sets::edit`] to the sessions that are expected.
fn edit_expected(sessions: &mut Vec<Expected>) -> Result<()> {
    let moved = sessions[0].files.pop().context("no file")?;
    sessions[1].files.push(moved);
    let moved = sessions[2].files.split_off(63);
    sessions[4].files.extend(moved);
    sessions[2].files.reverse();
    for (token, _) in &mut sessions[2].files {
        *token = u64::MAX - *token;
    }
    let files = std::mem::take(&mut sessions[5].files);
    sessions[3].files = files;
    sessions[50].name = SessionName::new("renamed")?;
    sessions.swap(7, 60);
    for number in SESSIONS..MORE_SESSIONS {
        sessions.push(Expected::new(format!("more-{number}"), [])?);
    }
    Ok(())
}

/// The set of sessions, claimed in the kernel's own blocks.
struct Sets<'m, 'p> {
    memory: &'m PageMemory<'p>,
    sessions: BlockSet<LuoSession, &'m PageMemory<'p>>,
}

impl<'m, 'p> Sets<'m, 'p> {
    /// Claims the files of a session, changes them, and updates the entry of the session.
    fn files<R>(
        &mut self,
        number: usize,
        change: impl FnOnce(&mut BlockSet<LuoFile, &'m PageMemory<'p>>) -> Result<R>,
    ) -> Result<R> {
        let entry = &mut self.sessions[number];
        let mut files = BlockSet::restore(self.memory, entry.files)?;
        let result = change(&mut files)?;
        entry.file_count = files.len() as u64;
        entry.files = files.hand_over();
        Ok(result)
    }

    fn edit(&mut self) -> Result<()> {
        // A block of files is freed, and another chain grows into it. So again below.
        let moved = self.files(0, |files| files.pop().context("no file"))?;
        self.files(1, |files| Ok(files.push(moved)?))?;
        let moved = self.files(2, |files| {
            let moved: Vec<LuoFile> = files.iter().skip(63).copied().collect();
            files.truncate(63);
            let backwards: Vec<LuoFile> = files.iter().rev().copied().collect();
            for (file, other) in files.iter_mut().zip(backwards) {
                *file = LuoFile { token: u64::MAX - other.token, ..other };
            }
            Ok(moved)
        })?;
        self.files(4, |files| Ok(files.writer().extend_from_slice(&moved)?))?;
        // A chain moves to another session.
        let sessions = &mut self.sessions;
        let LuoSession { files, file_count, .. } = sessions[5];
        (sessions[5].files, sessions[5].file_count) = (SetHead::EMPTY, 0);
        (sessions[3].files, sessions[3].file_count) = (files, file_count);
        sessions[50].name = SessionName::new("renamed")?.to_field();
        // These two are in different blocks.
        (sessions[7], sessions[60]) = (sessions[60], sessions[7]);
        for number in SESSIONS..MORE_SESSIONS {
            let name = SessionName::new(format!("more-{number}"))?;
            sessions.push(LuoSession::new(name, SetHead::EMPTY, 0))?;
        }
        Ok(())
    }
}

/// Claims the chains of sessions and files, edits them, and hands them over again.
fn edit(stage: &mut Stage, head: SetHead<LuoSession>) -> Result<SetHead<LuoSession>> {
    let memory = stage.preserved()?;
    let sessions = BlockSet::restore(&memory, head)?;
    let mut sets = Sets { memory: &memory, sessions };
    sets.edit()?;
    let head = sets.sessions.hand_over();
    // Every block that was freed is in use again.
    let counts = memory.usage();
    ensure!((counts.free, counts.owned) == (0, 0), "{counts:?}");
    Ok(head)
}

fn run(context: &Context) -> Result<String> {
    let mut expected = created()?;
    let files: usize = expected.iter().map(|session| session.files.len()).sum();
    ensure!(files == 248, "{files} files");
    let mut machine = context.boot()?;
    create(&mut machine, &expected)?;
    machine.kexec()?;

    let state = read_sound_state(&mut machine)?;
    let blocks = blocks_of(&state);
    let mut stage = Stage::load(machine.ram(), blocks.iter().copied())?;
    let head = edit(&mut stage, state.root.sessions)?;
    stage.store(machine.ram())?;
    replace_sessions(&machine, &state, head.addr())?;

    edit_expected(&mut expected)?;
    let edited = read_sound_state(&mut machine)?;
    ensure!(edited.sessions.len() == MORE_SESSIONS, "{} sessions", edited.sessions.len());
    let sorted = |mut blocks: Vec<PhysAddr>| {
        blocks.sort_unstable();
        blocks
    };
    ensure!(sorted(blocks_of(&edited)) == sorted(blocks.clone()), "other blocks than the kernel's");
    check_second_kernel(&mut machine, &expected)?;
    check_no_warnings(&mut machine)?;
    Ok(format!(
        "{SESSIONS} sessions in {} blocks and {files} files, edited; then {MORE_SESSIONS} sessions \
         in {}, all {} blocks in use again",
        state.session_blocks.len(),
        edited.session_blocks.len(),
        blocks.len()
    ))
}

/// Returns the blocks of the sessions and of their files.
fn blocks_of(state: &LuoState) -> Vec<PhysAddr> {
    let files = state.sessions.iter().flat_map(|session| &session.file_blocks);
    state.session_blocks.iter().chain(files).copied().collect()
}
