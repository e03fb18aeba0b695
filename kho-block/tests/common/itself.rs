//! The running test program, to be run once more.

use std::env;
use std::process::Command;

/// A command that runs this program: by the emulator that runs it now, if `KHO_EMULATOR` names one, since
/// the system can't.
pub(crate) fn itself() -> Command {
    let program = env::current_exe().unwrap();
    let Some(emulator) = env::var_os("KHO_EMULATOR") else { return Command::new(program) };
    let mut command = Command::new(emulator);
    command.arg(program);
    command
}
