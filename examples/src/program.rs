//! What the programs here have in common: how they start, write and end.

use std::io::{self, StdoutLock, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

/// Runs a program: parses its arguments and passes them to `body`.
///
/// The exit code is 0, 1 if `body` fails or if standard output can't be written, and 2 if the
/// arguments are wrong. An error is told in one line on standard error, after `name`. When the reader
/// of standard output is gone, as with `| head`, the program ends by `SIGPIPE`, as Unix programs do;
/// by itself a Rust program ignores that signal.
pub fn run<A: Parser>(name: &str, body: impl FnOnce(A) -> anyhow::Result<()>) -> ExitCode {
    sigpipe::reset();
    let result = match A::try_parse() {
        Ok(args) => body(args).map(|()| ExitCode::SUCCESS),
        // Wrong arguments, or the help that was asked for.
        Err(message) => {
            let code = if message.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
            message.print().map(|()| code).context(OUTPUT_LOST)
        }
    };
    result.unwrap_or_else(|error| {
        // Where this can't be written either, the exit code is all there is.
        let _ = writeln!(io::stderr(), "{name}: {error:#}");
        ExitCode::FAILURE
    })
}

/// Standard output, to write lines to. Unlike `println!`, which panics, it gives an error, and one
/// that says what could not be written.
#[must_use]
pub fn stdout() -> impl Write {
    Stdout(io::stdout().lock())
}

const OUTPUT_LOST: &str = "can't write standard output";

struct Stdout(StdoutLock<'static>);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(lost)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(lost)
    }
}

fn lost(error: io::Error) -> io::Error {
    match error.kind() {
        // Which is tried again.
        io::ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, format!("{OUTPUT_LOST}: {error}")),
    }
}
