//! What is said to the user.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::settings::is_one;

/// The machine lacks something. Whoever asked is skipped, which is no failure by itself.
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
/// It can't be written.
pub fn say(line: impl Display) -> Result<()> {
    writeln!(io::stdout().lock(), "{line}").context("can't print")
}

/// Runs a program that answers whether all went well, and says on standard error why it did not.
///
/// Where the machine is [`Lacking`] something it prints `skipped: why`. That is a success, unless the
/// variable `required` is 1.
pub fn exit_code(required: &str, run: impl FnOnce() -> Result<bool>) -> ExitCode {
    let result = is_one(required).and_then(|required| match run() {
        Err(error) if error.is::<Lacking>() => {
            say(format!("skipped: {error:#}"))?;
            Ok(!required)
        }
        other => other,
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
