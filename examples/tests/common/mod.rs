//! Checks how a program ends if its output can't be written, or its arguments are wrong.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

const SIGPIPE: i32 = 13;

/// Opens a device that is always full.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Returns the end of a pipe that nobody reads.
fn closed() -> OwnedFd {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap().1
}

fn message(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Checks that the program, which prints something with `args`, exits with 1 and a message if that is
/// lost, and ends by `SIGPIPE` if nobody reads it.
#[track_caller]
pub(crate) fn output_is_not_lost_in_silence(program: &str, args: &[&str]) {
    let run = || {
        let mut command = Command::new(program);
        command.args(args);
        command
    };
    let output = run().stdout(full()).output().unwrap();
    let message_of_full = message(&output);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}: {message_of_full}", output.status);
    assert_eq!(message_of_full.lines().count(), 1, "{args:?}: {message_of_full}");
    assert!(
        message_of_full.contains(": can't write standard output: No space left on device"),
        "{args:?}: {message_of_full}"
    );

    let output = run().stdout(closed()).output().unwrap();
    assert_eq!(output.status.signal(), Some(SIGPIPE), "{args:?}: {}", output.status);
    assert_eq!(message(&output), "", "{args:?}");

    // The message is lost too.
    let status = run().stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1), "{args:?}: {status}");
}

/// Checks that the program exits with `code` and a message, and does not panic if that is lost.
#[track_caller]
pub(crate) fn fails(program: &str, args: &[&OsStr], code: i32) {
    let run = || {
        let mut command = Command::new(program);
        command.args(args);
        command
    };
    let output = run().output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", message(&output));
    assert!(!message(&output).contains("panicked"), "{args:?}: {}", message(&output));
    assert_ne!(message(&output), "", "{args:?}");
    assert_eq!(output.stdout, b"", "{args:?}");

    let status = run().stderr(full()).status().unwrap();
    assert!(matches!(status.code(), Some(1 | 2)), "{args:?}: {status}");
    let status = run().stderr(closed()).status().unwrap();
    assert_eq!(status.signal(), Some(SIGPIPE), "{args:?}: {status}");
}

/// Checks `--help`, unknown options, and arguments that are not UTF-8.
#[track_caller]
pub(crate) fn arguments_are_checked(program: &str) {
    output_is_not_lost_in_silence(program, &["--help"]);
    let not_utf8 = OsStr::from_bytes(b"--\xff");
    for args in [&[OsStr::new("--no-such-option")][..], &[not_utf8]] {
        fails(program, args, 2);
    }
}
