//! How all examples treat output that is lost, and wrong arguments.

mod common;

use common::{arguments_are_checked, output_is_not_lost_in_silence};

const HANDOVER: &str = env!("CARGO_BIN_EXE_handover");
const READ_DUMP: &str = env!("CARGO_BIN_EXE_read_dump");
const VMM_MODULE: &str = env!("CARGO_BIN_EXE_vmm_module");

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
