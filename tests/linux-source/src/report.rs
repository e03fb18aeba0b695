//! Output for the user, and exit codes.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::settings::is_one;

const LOST: &str = "can't write standard output";

/// The machine lacks something. The caller is skipped, which is not a failure by itself.
#[derive(Debug)]
pub struct Lacking(pub String);

impl Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lacking {}

/// Prints a line on standard output.
///
/// # Errors
/// Returns an error if it can't be written.
pub fn say(line: impl Display) -> Result<()> {
    writeln!(io::stdout().lock(), "{line}").context(LOST)
}

/// Parses the arguments of a program and runs it. `run` returns whether all went well.
///
/// If the machine is [`Lacking`] something, this prints `skipped: why`. That is a success, unless
/// the variable `required` is 1. Other errors go to standard error. The exit code is 2 if the
/// arguments are wrong, and 1 for other failures.
pub fn program<A: Parser>(required: &str, run: impl FnOnce(&A) -> Result<bool>) -> ExitCode {
    let result = match A::try_parse() {
        Ok(arguments) => run_or_skip(required, || run(&arguments)),
        Err(message) if message.use_stderr() => message.exit(),
        // The arguments ask for help.
        Err(help) => help.print().map(|()| true).context(LOST),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_or_skip(required: &str, run: impl FnOnce() -> Result<bool>) -> Result<bool> {
    let required = is_one(required)?;
    match run() {
        Err(error) if error.is::<Lacking>() => {
            say(format!("skipped: {error:#}"))?;
            Ok(!required)
        }
        other => other,
    }
}
