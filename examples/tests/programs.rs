//! All examples end properly if their output is lost, and if their arguments are wrong.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

const HANDOVER: &str = env!("CARGO_BIN_EXE_handover");
const READ_DUMP: &str = env!("CARGO_BIN_EXE_read_dump");
const VMM_MODULE: &str = env!("CARGO_BIN_EXE_vmm_module");
const SIGPIPE: i32 = 13;

#[test]
fn output_that_cannot_be_written_is_an_error() {
    output_is_not_lost_in_silence(HANDOVER, &["--top", "1"]);
    output_is_not_lost_in_silence(HANDOVER, &["--top", "1", "--generations", "2"]);
    output_is_not_lost_in_silence(READ_DUMP, &[]);
    output_is_not_lost_in_silence(VMM_MODULE, &[]);
}

#[test]
fn wrong_arguments_are_refused() {
    for program in [HANDOVER, READ_DUMP, VMM_MODULE] {
        arguments_are_checked(program);
    }
}

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

/// Checks that the program, which prints something with `args`, exits with 1 and a message if that
/// is lost, and ends by `SIGPIPE` if nobody reads it.
#[track_caller]
fn output_is_not_lost_in_silence(program: &str, args: &[&str]) {
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

/// Checks `--help`, an unknown option, and an argument that is not UTF-8: wrong arguments end with
/// 2 and a message, and without a panic if that is lost.
#[track_caller]
fn arguments_are_checked(program: &str) {
    output_is_not_lost_in_silence(program, &["--help"]);
    for wrong in [OsStr::new("--no-such-option"), OsStr::from_bytes(b"--\xff")] {
        let run = || {
            let mut command = Command::new(program);
            command.arg(wrong);
            command
        };
        let output = run().output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", message(&output));
        assert!(!message(&output).contains("panicked"), "{wrong:?}: {}", message(&output));
        assert_ne!(message(&output), "", "{wrong:?}");
        assert_eq!(output.stdout, b"", "{wrong:?}");

        let status = run().stderr(full()).status().unwrap();
        assert!(matches!(status.code(), Some(1 | 2)), "{wrong:?}: {status}");
        let status = run().stderr(closed()).status().unwrap();
        assert_eq!(status.signal(), Some(SIGPIPE), "{wrong:?}: {status}");
    }
}
