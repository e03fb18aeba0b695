//! The type of a scenario, and the steps that scenarios share.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kho_block::PhysAddr;
use kho_luo::{KhoTree, LuoRoot, LuoState, Preserved, SessionName};
use kho_luo_kexec_test::name_to_word;

use crate::host::deadline::Deadline;
use crate::host::kernel::Kernel;
use crate::host::machine::{Machine, Second};

/// The arguments of every scenario: a kernel to boot, and time limits.
pub(crate) struct Context {
    pub(crate) kernel: Kernel,
    pub(crate) initrd: PathBuf,
    /// Limit for one scenario.
    pub(crate) time: Duration,
    /// End of the time for all scenarios.
    pub(crate) end: Deadline,
}

impl Context {
    pub(crate) fn boot(&self) -> Result<Machine> {
        self.end.left()?;
        let deadline = self.end.at_most(self.time);
        let mut machine = Machine::boot(&self.kernel, &self.initrd, deadline)?;
        machine.tell("open")?;
        Ok(machine)
    }
}

/// Runs a scenario. Returns a line on what it did.
type Proof = dyn Fn(&Context) -> Result<String> + Send + Sync;

/// A named test that boots machines of its own.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) run: Box<Proof>,
}

impl Scenario {
    pub(crate) fn new(
        name: impl Into<String>,
        run: impl Fn(&Context) -> Result<String> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// A session as it should be. Each file has a token, and a number that its content is made of.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) name: SessionName,
    pub(crate) files: Vec<(u64, u64)>,
}

impl Expected {
    pub(crate) fn new(
        name: impl AsRef<[u8]>,
        files: impl IntoIterator<Item = (u64, u64)>,
    ) -> Result<Self> {
        Ok(Self { name: SessionName::new(name)?, files: files.into_iter().collect() })
    }

    /// Returns the name as a word of a command to the agent.
    pub(crate) fn word(&self) -> String {
        name_to_word(self.name.as_bytes())
    }

    /// Returns the files as words of a command to the agent.
    pub(crate) fn file_words(&self) -> Vec<String> {
        self.files.iter().map(|(token, file)| format!("{token}={file}")).collect()
    }

    /// Returns a token that no file of the session has.
    pub(crate) fn unused_token(&self) -> u64 {
        let used = |token: &u64| self.files.iter().any(|(other, _)| other == token);
        (0..=u64::MAX).find(|token| !used(token)).unwrap_or_default()
    }
}

pub(crate) fn words(sessions: &[Expected]) -> Vec<String> {
    sessions.iter().map(Expected::word).collect()
}

/// Tells the first kernel to create sessions, with files of one page.
pub(crate) fn create(machine: &mut Machine, sessions: &[Expected]) -> Result<()> {
    machine.tell_each("create", &words(sessions))?;
    for session in sessions {
        machine.tell_each(&format!("preserve {} 1", session.word()), &session.file_words())?;
    }
    Ok(())
}

/// Reads what LUO has handed over in the stopped machine.
///
/// The tree has to be where the kernel says and be the only one that a scan of all memory finds,
/// and KHO's map has to have every page of the state.
pub(crate) fn read_state(machine: &mut Machine) -> Result<LuoState> {
    let tree = machine.kho_device_tree()?;
    let scanned: Vec<PhysAddr> =
        KhoTree::scan(machine.ram(), 0..machine.ram().len()).map(|(addr, _)| addr).collect();
    ensure!(scanned == [tree], "the tree is at {tree}, the scan found {scanned:?}");
    let state = LuoState::from_tree(machine.ram(), tree)?;
    ensure!(state.preserved == Preserved::Checked, "{}", state.preserved);
    Ok(state)
}

/// Reads what LUO has handed over, which must not give rise to a warning.
pub(crate) fn read_sound_state(machine: &mut Machine) -> Result<LuoState> {
    let state = read_state(machine)?;
    ensure!(state.warnings.is_empty(), "{:?}", state.warnings);
    Ok(state)
}

/// Stores the head of another chain of sessions in LUO's root.
pub(crate) fn replace_sessions(machine: &Machine, state: &LuoState, head: PhysAddr) -> Result<()> {
    let offset = std::mem::offset_of!(LuoRoot, sessions) as u64;
    let field = state.root_addr.checked_add(offset).context("past the end")?;
    machine.ram().write(field, bytemuck::bytes_of(&head))
}

/// Lets the second kernel continue. It has to come up.
pub(crate) fn resume(machine: &mut Machine) -> Result<()> {
    match machine.resume()? {
        Second::Up => Ok(()),
        Second::Ended => bail!("the second kernel did not come up:\n{}", machine.log_tail()),
    }
}

/// Lets the second kernel continue, then retrieves, verifies and finishes these sessions there.
pub(crate) fn check_second_kernel(machine: &mut Machine, sessions: &[Expected]) -> Result<()> {
    resume(machine)?;
    machine.tell("open")?;
    machine.tell_each("retrieve", &words(sessions))?;
    for session in sessions {
        let word = session.word();
        machine.tell_each(&format!("check {word}"), &session.file_words())?;
        machine.tell(&format!("absent-token {word} {}", session.unused_token()))?;
    }
    machine.tell_each("finish", &words(sessions))?;
    machine.tell_each("absent", &words(sessions))
}

/// Beginnings of warnings about clocks, which disagree in QEMU while the host is busy. QEMU's
/// `-icount` would make them agree, but hangs at times.
const CLOCKS: [&str; 7] =
    ["tsc:", "TSC ", "clocksource:", "timekeeping:", "hpet", "APIC ", "..MP-BIOS bug: 8254 timer"];

/// Checks that the second kernel has logged no warning, except about clocks.
pub(crate) fn check_no_warnings(machine: &mut Machine) -> Result<()> {
    let warnings = machine.tell("warnings")?;
    let of_clocks = |warning: &str| CLOCKS.iter().any(|of| warning.starts_with(of));
    let warnings: Vec<&str> = warnings
        .split(" | ")
        .filter(|warning| !warning.is_empty() && !of_clocks(warning))
        .collect();
    ensure!(warnings.is_empty(), "the second kernel warned: {}", warnings.join(" | "));
    Ok(())
}
