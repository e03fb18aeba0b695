//! Runs the test program once more.

use std::env;
use std::process::Command;

/// Returns a command that runs this program again, by the emulator that `KHO_EMULATOR` names where
/// the system can't run it by itself.
pub(crate) fn itself() -> Command {
    let program = env::current_exe().unwrap();
    let Some(emulator) = env::var_os("KHO_EMULATOR") else { return Command::new(program) };
    let mut command = Command::new(emulator);
    command.arg(program);
    command
}
