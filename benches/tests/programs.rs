//! What the programs do with their output and with wrong arguments.

#[path = "../../examples/tests/common/mod.rs"]
mod common;

use std::ffi::OsStr;

const REPORT: &str = env!("CARGO_BIN_EXE_report");
const GATE: &str = env!("CARGO_BIN_EXE_gate");

#[test]
fn output_and_arguments_are_checked() {
    for program in [REPORT, GATE] {
        common::arguments_are_checked(program);
    }
    common::fails(REPORT, &["--criterion", "/proc/self/nowhere"].map(OsStr::new), 1);
}
