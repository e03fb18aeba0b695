//! Runs the example `handover`, with a real `exec` in it.

use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_handover"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the program to its end. Returns its process id and its output.
fn run(args: &[&str]) -> (u32, Output) {
    let child = start(args);
    let pid = child.id();
    (pid, child.wait_with_output().unwrap())
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn success(output: &Output) -> &str {
    assert!(output.status.success(), "{}: {}", output.status, stderr(output));
    assert_eq!(stderr(output), "", "no progress bar where standard error is not a terminal");
    stdout(output)
}

/// Checks for a clean refusal (exit code 1, nothing verified), and returns the message.
#[track_caller]
fn refusal(output: &Output) -> &str {
    assert_eq!(output.status.signal(), None, "{}", stderr(output));
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(output), stderr(output));
    assert!(!stderr(output).contains("panicked"), "{}", stderr(output));
    assert!(!stdout(output).contains("verified"), "{}", stdout(output));
    stderr(output)
}

/// Returns the number in the line `what   1,234`.
fn count(report: &str, what: &str) -> u64 {
    let values =
        report.lines().filter_map(|line| line.strip_prefix(what)?.split_whitespace().next());
    values.filter_map(|value| value.replace(',', "").parse().ok()).next().expect(what)
}

/// Checks that the counts of the report add up to what was verified.
fn check_sum(report: &str) {
    let parts = ["processes ", "open files", "mappings", "synthetic", "generations"];
    let sum: u64 = 1 + parts.iter().map(|what| count(report, what)).sum::<u64>(); // and the root
    assert_eq!(count(report, "verified"), sum, "{report}");
}

#[test]
fn crosses_sealed() {
    let (pid, output) = run(&["--top", "100000"]);
    let report = success(&output);
    check_sum(report);
    assert_eq!(count(report, "generations"), 0);
    assert!(count(report, "open files") > 0 && count(report, "mappings") > 0, "{report}");
    let me = std::process::id();
    assert!(report.contains(&format!("this process is {pid}, a child of {me};")), "{report}");

    // The table has a row for the program and one for this test, its parent.
    let row = |pid: u32| {
        let rows = report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.into_iter().find(|row| row.first() == Some(&&*pid.to_string())).expect("a row")
    };
    assert_eq!(row(pid)[1], me.to_string());
    assert_eq!(row(pid).last(), Some(&"handover"));
    assert_eq!(row(me)[1], std::os::unix::process::parent_id().to_string());
    for step in ["snapshot", "digest", "reserve", "freeze", "jump", "restore", "read"] {
        let line = report.lines().find(|line| line.starts_with(step)).expect(step);
        assert!(line.contains(" ms  "), "{line}");
    }
}

#[test]
fn crosses_with_many_entries() {
    let (_, output) = run(&["--entries", "100000"]);
    let report = success(&output);
    check_sum(report);
    assert_eq!(count(report, "synthetic"), 100_000);
    assert!(count(report, "blocks") > 100_000 / 127);
}

/// With more blocks than the kernel follows, the limit must be raised on both sides.
#[test]
fn crosses_beyond_the_kernels_limit() {
    let (_, output) = run(&["--entries", "1300000", "--top", "1"]);
    let report = success(&output);
    check_sum(report);
    assert!(count(report, "blocks") > 10_000);
}

#[test]
fn crosses_generations() {
    let (pid, output) = run(&["--generations", "3", "--entries", "1000"]);
    let report = success(&output);
    check_sum(report);
    assert_eq!(count(report, "generations"), 3);
    let mut rows = report.lines().skip_while(|line| !line.starts_with("GENERATION")).skip(1);
    for number in 1..=3 {
        let row: Vec<_> = rows.next().unwrap().split_whitespace().collect();
        assert_eq!(row[..2], [number.to_string(), pid.to_string()], "{report}");
    }
    assert_eq!(rows.next(), Some(""));
    let blocks = count(report, "blocks");
    assert!(report.ends_with(&format!("freed all {blocks} blocks\n")), "{report}");
}

#[test]
fn notices_what_is_corrupt() {
    let (mut headers, mut entries) = (0, 0);
    for seed in 0..24 {
        let seed = seed.to_string();
        for more in [&["--entries", "500"][..], &["--generations", "2"]] {
            let (_, output) = run(&[&["--corrupt", &seed], more].concat());
            let message = refusal(&output);
            let mut lines = message.lines();
            let flip = lines.next().unwrap();
            assert!(
                flip.starts_with(&format!("handover: --corrupt={seed} flips bit ")),
                "{message}"
            );
            headers += usize::from(flip.contains(" in the header of block 0x"));
            entries += usize::from(flip.ends_with(", in an entry"));
            let error = lines.next().expect("the successor's message");
            assert!(error.contains("block") || error.contains("digest"), "{message}");
            assert_eq!(lines.next(), None);
        }
    }
    assert_eq!(headers + entries, 48);
    assert!(headers >= 10 && entries >= 10, "{headers} in headers, {entries} in entries");
}

#[test]
fn corrupts_by_chance() {
    for args in [&["--corrupt"][..], &["--corrupt", "--entries", "1"]] {
        refusal(&run(args).1);
    }
    // Both ways to write a value.
    let flip = |args| refusal(&run(args).1).lines().next().map(str::to_owned);
    let flip_of = |text: &str| text.split(" flips bit ").next().map(str::to_owned);
    for args in [&["--corrupt", "5"][..], &["--corrupt=5"]] {
        assert_eq!(flip_of(&flip(args).unwrap()).unwrap(), "handover: --corrupt=5");
    }
}

#[test]
fn notices_a_lost_descriptor() {
    let (_, output) = run(&["successor", "999", "0x1000"]);
    assert!(refusal(&output).starts_with("handover: descriptor 999 is lost"));
    let (_, output) = run(&["successor", "0", "0x1000"]);
    assert!(refusal(&output).starts_with("handover: descriptor 0 is a standard stream"));
    // Open, but another file.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" successor 9 0x1000 9</dev/null"]);
    let output = shell.arg(env!("CARGO_BIN_EXE_handover")).output().unwrap();
    assert!(refusal(&output).contains("it leads to /dev/null"));
}

#[test]
fn notices_a_lost_root() {
    // The program inherits it, as it is not closed on exec.
    let memfd = |pages: u64, seals| {
        let fd = memfd_create("kho-handover", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&fd, pages * 4096 + pages % 2).unwrap();
        fcntl_add_seals(&fd, seals).unwrap();
        fd
    };
    let sealed = SealFlags::WRITE | SealFlags::SHRINK;
    for (fd, root, message) in [
        (
            memfd(0, sealed),
            "0x1000",
            "the root: block 0 of the chain, at 0x1000: outside the memory",
        ),
        (memfd(4, sealed), "0x1000", "the root: block 0 of the chain, at 0x1000: the block has no"),
        (memfd(4, sealed), "0x0", "the root, block 0x0, has 0 entries"),
        (memfd(4, SealFlags::empty()), "0x2001", "at 0x2001: not aligned to a block"),
        (memfd(4, SealFlags::WRITE), "0x1000", "not sealed against writing and shrinking"),
        (memfd(5, SealFlags::empty()), "0x1000", "20481 bytes, not a whole number of blocks"),
    ] {
        let (_, output) = run(&["successor", &fd.as_raw_fd().to_string(), root]);
        assert!(refusal(&output).contains(message), "{}", stderr(&output));
    }
}

/// Processes come and go while the table is read.
#[test]
fn survives_a_table_that_changes() {
    let children: Vec<_> = (0..8).map(|_| start(&["--top", "3", "--entries", "1"])).collect();
    for child in children {
        check_sum(success(&child.wait_with_output().unwrap()));
    }
}

#[test]
fn takes_numbers_as_people_write_them() {
    for (written, number) in [("1e3", 1000), ("10_000", 10_000), ("2.5k", 2500), ("1K", 1000)] {
        let (_, output) = run(&["--entries", written, "--top", "1"]);
        assert_eq!(count(success(&output), "synthetic"), number, "{written}");
    }
}

/// Returns the number of entries that would fit, according to the message.
#[track_caller]
fn number_that_fits(output: &Output) -> u64 {
    let message = refusal(output);
    let (_, rest) = message.split_once(" entries do not fit, at most ").expect(message);
    rest.split_once(" would: ").expect(message).0.parse().unwrap()
}

#[test]
fn refuses_more_than_fits() {
    for entries in ["18446744073709551615", "10T"] {
        let (_, output) = run(&["--entries", entries]);
        assert!(number_that_fits(&output) < 1 << 32);
    }
}

/// With limits on the file or on addresses; `ulimit` counts in 512 bytes, and in KiB.
#[test]
fn says_what_limits_the_entries() {
    let run = |limit: &str, entries: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" --entries \"$1\"")]);
        shell.args([env!("CARGO_BIN_EXE_handover"), entries]).output().unwrap()
    };
    for (limit, name) in [("-f 65536", "RLIMIT_FSIZE is 32.00 MiB"), ("-v 131072", "RLIMIT_AS")] {
        let output = run(limit, "100M");
        assert!(refusal(&output).contains(name), "{}", stderr(&output));
        // Leave some blocks for a process table that has grown since.
        let fits = number_that_fits(&output) - 100_000;
        let output = run(limit, &fits.to_string());
        check_sum(success(&output));
    }
}

#[test]
fn refuses_nonsense() {
    for args in [
        &["--generations", "0"][..],
        &["--generations", "18446744073709551615"],
        &["--entries", "x"],
        &["--entries", "-1"],
        &["--entries", ""],
        &["--entries", "1e30"],
        &["--entries", "10MB"],
        &["--entries"],
        &["--top", "-1"],
        &["--corrupt", "x"],
        &["--corrupt", "-1"],
        &["5"],
    ] {
        let (_, output) = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
