//! Runs a test that changes its process in a process of its own.

use crate::common::itself;

/// Runs the ignored test of this name in a process of its own, and checks that it passes.
pub(crate) fn passes(test: &str) {
    let output = itself()
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
