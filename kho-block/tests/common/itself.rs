//! Running the test program again.

use std::env;
use std::process::Command;

/// Returns a command that runs this program again, with the emulator that `KHO_EMULATOR` names if
/// the system needs one.
pub(crate) fn itself() -> Command {
    let program = env::current_exe().unwrap();
    let Some(emulator) = env::var_os("KHO_EMULATOR") else { return Command::new(program) };
    let mut command = Command::new(emulator);
    command.arg(program);
    command
}
