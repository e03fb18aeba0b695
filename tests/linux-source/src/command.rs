//! Programs that are run to their end.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command.
///
/// # Errors
/// Returns an error if it can't be run, or fails. The error has the end of its output.
pub fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs a command and returns what it prints.
///
/// # Errors
/// Returns an error if it can't be run, or fails. The error has the end of its output.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("can't run {program}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    bail!("{program} failed ({}):\n{}", output.status, last_lines(&text, 15))
}

/// Returns the last `count` lines of a text.
#[must_use]
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
