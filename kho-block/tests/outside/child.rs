//! Tests that change their process run alone in one.

use crate::itself::itself;

/// Runs the ignored test of this name in a process of its own. It has to pass.
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
