//! The program, run as `.ci/run` runs it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use crate::debian::{APT, FILES, SOURCE, files, package};

const SAID: &str = "linux-source-7.2 7.2.1-1 is in ";

/// The program with its cache in a directory, on a machine without any tools.
fn program(cache: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_kho-linux-source"));
    program.env_clear().env("KHO_LINUX_CACHE", cache).env("PATH", "");
    program
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Asserts how it ended, and returns what it said there.
fn said(output: &Output, code: i32) -> &str {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    text(if code == 0 { &output.stdout } else { &output.stderr })
}

fn fill(cache: &Path) {
    for file in FILES.iter().chain(&["version"]) {
        let path = cache.join("current").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "linux-source-7.2 7.2.1-1\n").unwrap();
    }
}

#[test]
fn says_what_is_in_the_cache_or_fails() {
    let cache = tempfile::tempdir().unwrap();
    fill(cache.path());
    for arguments in [&[][..], &["7.2"]] {
        let output = program(cache.path()).args(arguments).output().unwrap();
        assert!(said(&output, 0).starts_with(SAID), "{output:?}");
    }
    for arguments in [&[][..], &["--help"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = program(cache.path()).args(arguments).stdout(full).output().unwrap();
        let message = said(&output, 1);
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.starts_with("error: can't write standard output"), "{message}");
    }
}

#[test]
fn without_tools_it_is_skipped_unless_that_is_a_failure() {
    let cache = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], required| {
        let mut program = program(cache.path());
        program.args(arguments).env("KHO_REQUIRE_LINUX", required).output().unwrap()
    };
    fill(cache.path());
    for arguments in [&["--update"][..], &["7.3"]] {
        let output = run(arguments, "0");
        let line = said(&output, 0);
        assert!(line.starts_with("skipped: no apt-get") && line.lines().count() == 1, "{line}");
        let output = run(arguments, "1");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stdout).starts_with("skipped: "), "{output:?}");
    }
    // A version that lacks a file can't be compiled.
    fs::remove_file(cache.path().join("current").join(FILES[1])).unwrap();
    assert!(said(&run(&[], ""), 0).starts_with("skipped: no apt-get"));
    assert!(said(&run(&[], "yes"), 1).contains("KHO_REQUIRE_LINUX"));
}

#[test]
fn mirrors_are_listed() {
    let cache = tempfile::tempdir().unwrap();
    let run = |path: &str, mirror: &str| {
        let mut program = program(cache.path());
        program.arg("--mirrors").env("PATH", path).env("KHO_LINUX_MIRROR", mirror);
        program.output().unwrap()
    };
    assert_eq!(said(&run("", "http://mirror.example/debian"), 0), "http://mirror.example/debian\n");
    assert_eq!(said(&run(&format!("{APT}:/usr/bin:/bin"), ""), 0), "file:/srv/debian\n");
    // Nothing that could be taken for a mirror.
    let none = run("", "");
    assert!(said(&none, 1).starts_with("error: ") && none.stdout.is_empty(), "{none:?}");
}

#[test]
fn arguments_are_checked() {
    let cache = tempfile::tempdir().unwrap();
    for (argument, message) in [
        ("7.1", "linux-source-7.2 is the first"),
        ("6.12", "linux-source-7.2 is the first"),
        ("7", "is not the name"),
        ("../../7.2", "is not the name"),
        ("--upgrade", "--upgrade"),
    ] {
        let output = program(cache.path()).arg(argument).output().unwrap();
        assert!(said(&output, 2).contains(message), "{argument}: {output:?}");
    }
    let output = program(Path::new("relative")).output().unwrap();
    assert!(said(&output, 1).contains("absolute"), "{output:?}");
}

#[test]
fn a_version_is_fetched_once_and_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let Some(deb) = package(dir.path(), SOURCE) else { return };
    let cache = dir.path().join("cache");
    let run = |arguments: &[&str]| {
        let mut program = program(&cache);
        program.args(arguments).env("PATH", format!("{APT}:/usr/bin:/bin"));
        program.env("KHO_TEST_DEB", &deb).output().unwrap()
    };
    let fetched = |output: &Output| {
        let said = said(output, 0);
        assert!(said.lines().last().unwrap().starts_with(SAID), "{said}");
        said.contains("fetching linux-source-7.2 7.2.1-1\n")
    };
    assert!(fetched(&run(&[])));
    assert_eq!(fs::read_link(cache.join("current")).unwrap(), Path::new("7.2.1-1"));
    let mut all =
        [FILES[0], FILES[1], FILES[2], FILES[3], "version"].map(|file| format!("7.2.1-1/{file}"));
    all.sort();
    assert_eq!(files(&cache), all);
    assert!(!fetched(&run(&[])));
    assert!(!fetched(&run(&["--update"])));
    // A package that is gone is a failure, and what is there stays.
    let gone = run(&["7.3"]);
    assert!(said(&gone, 1).contains("there is no linux-source-7.3"), "{gone:?}");
    assert_eq!(files(&cache), all);
    // A damaged entry is fetched again.
    fs::remove_file(cache.join("current").join(FILES[2])).unwrap();
    assert!(fetched(&run(&[])));
    assert_eq!(files(&cache), all);
    // Nothing is left of a package that ends too soon.
    fs::remove_dir_all(cache.join("7.2.1-1")).unwrap();
    let bytes = fs::read(&deb).unwrap();
    fs::write(&deb, &bytes[..bytes.len() - 100]).unwrap();
    let damaged = run(&[]);
    assert!(said(&damaged, 1).contains("can't be unpacked"), "{damaged:?}");
    assert_eq!(files(&cache), [""; 0]);
}
