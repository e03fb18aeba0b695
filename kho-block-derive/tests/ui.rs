//! Programs that the macro accepts, and programs that it rejects, with the messages.
//!
//! Much of a message is the compiler's own and changes with it, so messages are compared for one version
//! of the compiler only. `TRYBUILD=overwrite` records them.

use std::io::{self, Write as _};
use std::process::Command;
use std::{env, fs};

/// Version of the compiler that wrote the `.stderr` files.
const RECORDED_WITH: &str = "rustc 1.95.";

#[test]
fn ui() {
    let tests = trybuild::TestCases::new();
    tests.pass("tests/ui/pass/*.rs");

    let version = rustc(&["--version"]);
    if version.starts_with(RECORDED_WITH) && !version.contains("nightly") {
        tests.compile_fail("tests/ui/fail/*.rs");
        tests.compile_fail("tests/ui/one/*.rs");
        // Found only because the programs above make trybuild build instead of check.
        let source = format!("{}/lib/rustlib/src", rustc(&["--print", "sysroot"]));
        if fs::exists(source).expect("the folder can be looked for") {
            skip("messages were recorded without the source of the standard library");
        } else {
            tests.compile_fail("tests/ui/too_large/*.rs");
        }
    } else {
        skip(&format!("messages were recorded with {RECORDED_WITH}*, this is {version}"));
    }
}

/// Each program in `ui/one` has one mistake, for which the compiler reports one error and none that
/// only follows from it.
#[test]
fn one_error_for_one_mistake() {
    for file in fs::read_dir("tests/ui/one").expect("the folder is there") {
        let path = file.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let answer = fs::read_to_string(path.with_extension("stderr")).expect("it is recorded");
            let is_one = answer.starts_with("error") && !answer.trim().contains("\n\n");
            assert!(is_one, "{}:\n{answer}", path.display());
        }
    }
}

/// Prints to standard error, since the test harness shows `println!` of failed tests only.
fn skip(why: &str) {
    writeln!(io::stderr(), "skipped: {why}").expect("stderr is open");
}

/// Returns what the compiler prints about itself.
fn rustc(args: &[&str]) -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(args).output().expect("rustc runs");
    String::from_utf8(output.stdout).expect("it is text").trim().to_owned()
}
