//! What the macro refuses, and with which words; what it accepts.
//!
//! The words around ours belong to the compiler and change with it, so the recorded ones are
//! compared on one version only. Record them anew with `TRYBUILD=overwrite`.

use std::env;
use std::io::{self, Write as _};
use std::process::Command;

/// The compiler that the `.stderr` files come from.
const RECORDED_WITH: &str = "rustc 1.95.";

#[test]
fn ui() {
    let tests = trybuild::TestCases::new();
    tests.pass("tests/ui/pass/*.rs");

    let version = rustc_version();
    if version.starts_with(RECORDED_WITH) && !version.contains("nightly") {
        tests.compile_fail("tests/ui/fail/*.rs");
    } else {
        // Not `println!`: the test harness shows that for failed tests only.
        let why = format!("messages were recorded with {RECORDED_WITH}*, this is {version}");
        writeln!(io::stderr(), "skipped: {why}").expect("stderr is open");
    }
}

fn rustc_version() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs");
    String::from_utf8(output.stdout).expect("a version is text").trim().to_owned()
}
