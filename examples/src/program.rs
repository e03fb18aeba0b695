//! Starts a program, writes its output, and ends it with the right exit code.

use std::io::{self, StdoutLock, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

/// Parses the arguments of a program, runs `body` with them, and returns the exit code.
///
/// The code is 0 on success, 1 if `body` fails or standard output can't be written, and 2 if the
/// arguments are wrong. An error is printed as one line on standard error, after `name`. If nobody
/// reads standard output any more, as with `| head`, the program ends by `SIGPIPE` like other Unix
/// programs; Rust programs ignore that signal by default.
pub fn run<A: Parser>(name: &str, body: impl FnOnce(A) -> anyhow::Result<()>) -> ExitCode {
    sigpipe::reset();
    let result = match A::try_parse() {
        Ok(args) => body(args).map(|()| ExitCode::SUCCESS),
        // Either the arguments are wrong, or they ask for the help.
        Err(message) => {
            let code = if message.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
            message.print().map(|()| code).context(OUTPUT_LOST)
        }
    };
    result.unwrap_or_else(|error| {
        // If this can't be written either, the exit code alone has to do.
        let _ = writeln!(io::stderr(), "{name}: {error:#}");
        ExitCode::FAILURE
    })
}

/// Returns standard output, to write lines to.
///
/// `println!` panics if standard output can't be written. This returns an error that says so.
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
        // The caller tries this one again.
        io::ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, format!("{OUTPUT_LOST}: {error}")),
    }
}
