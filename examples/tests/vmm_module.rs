//! Runs the example `vmm_module`.

use std::process::Command;

#[test]
fn rolls_back_then_crosses() {
    let output = Command::new(env!("CARGO_BIN_EXE_vmm_module")).output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), 5, "{report}");
    assert_eq!(lines[0], "prepare: 7 blocks reserved while the guest runs");
    assert!(lines[1].starts_with("first freeze: device disk can't be frozen"), "{report}");
    assert!(
        lines[2].ends_with("rolled back: the guest runs, and the blocks are still reserved"),
        "{report}"
    );
    assert!(lines[3].starts_with("second freeze: 7 blocks handed over"), "{report}");
    assert_eq!(lines[4], "successor: 64 vCPUs, 2 memory slots and 4 devices restored and verified");
}

#[test]
fn help_does_not_run_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_vmm_module")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && help.contains("Usage: vmm_module"), "{help}");
    assert!(!help.contains("reserved"), "it has run: {help}");
}
