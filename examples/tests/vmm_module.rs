//! Runs the example of a preservation module.

use std::process::Command;

#[test]
fn rolls_back_then_crosses() {
    let output = Command::new(env!("CARGO_BIN_EXE_vmm_module")).output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), 5, "{report}");
    assert_eq!(lines[0], "prepared: 7 blocks reserved, the guest runs");
    assert!(lines[1].starts_with("first try: device disk refuses to freeze"), "{report}");
    assert!(lines[2].ends_with("undone, the guest runs, nothing leaked"), "{report}");
    assert!(lines[3].starts_with("second try: frozen, 7 blocks handed over"), "{report}");
    assert_eq!(
        lines[4],
        "successor: verified 64 vCPUs, 2 memory slots and 4 devices; the guest runs: true"
    );
}

#[test]
fn says_what_it_does() {
    let output = Command::new(env!("CARGO_BIN_EXE_vmm_module")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && help.contains("Usage: vmm_module"), "{help}");
    assert!(!help.contains("prepared"), "it has run: {help}");
}
