//! What is proven, each by a name of its own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kho_block::PhysAddr;
use kho_luo::{KhoTree, LuoRoot, LuoState};

use crate::host::kernel::Kernel;
use crate::host::machine::{Machine, Second};

mod kernel_reads;
mod kernel_writes;
mod refusals;
mod user_state;

/// What every scenario needs.
pub(crate) struct Context {
    pub(crate) kernel: Kernel,
    pub(crate) initrd: PathBuf,
    /// For a scenario as a whole.
    pub(crate) time: Duration,
}

impl Context {
    fn boot(&self) -> Result<Machine> {
        let mut machine = Machine::boot(&self.kernel, &self.initrd, self.time)?;
        machine.tell("open")?;
        Ok(machine)
    }
}

/// Proves something, and says what it found on the way.
type Proof = dyn Fn(&Context) -> Result<String> + Send + Sync;

/// Something to prove.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) run: Box<Proof>,
}

impl Scenario {
    fn new(
        name: impl Into<String>,
        run: impl Fn(&Context) -> Result<String> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = user_state::scenarios();
    all.extend(kernel_writes::scenarios());
    all.extend(kernel_reads::scenarios());
    all.extend(refusals::scenarios());
    all
}

/// The files of a session, each as its token and the number that is in it.
#[derive(Clone, Debug)]
struct Expected {
    name: String,
    files: Vec<(u64, u64)>,
}

/// What LUO has handed over in the stopped machine. The tree is where the kernel says, and a scan
/// of all memory finds it.
fn read_state(machine: &mut Machine) -> Result<LuoState> {
    let tree = machine.kho_device_tree()?;
    let scanned: Vec<PhysAddr> =
        KhoTree::scan(machine.ram(), 0..machine.ram().len()).map(|(addr, _)| addr).collect();
    ensure!(scanned == [tree], "the tree is at {tree}, the scan found {scanned:?}");
    Ok(LuoState::from_tree(machine.ram(), tree)?)
}

/// Stores the head of other sessions in LUO's root.
fn replace_sessions(machine: &Machine, state: &LuoState, head: PhysAddr) -> Result<()> {
    let offset = std::mem::offset_of!(LuoRoot, sessions) as u64;
    let field = state.addr.checked_add(offset).context("past the end")?;
    machine.ram().write(field, bytemuck::bytes_of(&head))
}

/// Lets the second kernel go on and hands it these sessions to retrieve, verify and finish.
fn check_second_kernel(machine: &mut Machine, sessions: &[Expected]) -> Result<()> {
    match machine.resume()? {
        Second::Up => {}
        Second::Ended => bail!("the second kernel did not come up:\n{}", tail(&machine.log()?)),
    }
    machine.tell("open")?;
    for Expected { name, files } in sessions {
        machine.tell(&format!("retrieve {name}"))?;
        for files in files.chunks(30) {
            let pairs: Vec<String> =
                files.iter().map(|(token, file)| format!("{token}={file}")).collect();
            machine.tell(&format!("check {name} {}", pairs.join(" ")))?;
        }
        let unused = files.iter().map(|(token, _)| token + 1).max().unwrap_or_default();
        machine.tell(&format!("absent-token {name} {unused}"))?;
        machine.tell(&format!("finish {name}"))?;
    }
    Ok(())
}

/// Warnings of clocks that do not agree: those of a machine in QEMU, when the host has other things to
/// do. They begin with one of these.
const CLOCKS: [&str; 5] =
    ["tsc:", "TSC ", "clocksource:", "APIC timer", "..MP-BIOS bug: 8254 timer"];

/// The kernel has to have had nothing to complain about.
fn check_no_warnings(machine: &mut Machine) -> Result<()> {
    let warnings = machine.tell("warnings")?;
    let warnings: Vec<&str> = warnings
        .split(" | ")
        .filter(|warning| !warning.is_empty() && !CLOCKS.iter().any(|of| warning.starts_with(of)))
        .collect();
    ensure!(warnings.is_empty(), "the second kernel warned: {}", warnings.join(" | "));
    Ok(())
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
