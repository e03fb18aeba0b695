//! The script that fetches the kernel's source, where all it has to do is to say what it has.

use std::fs::{self, File};
use std::process::Command;

#[test]
fn says_what_is_in_the_cache_or_fails() {
    let cache = std::env::temp_dir().join(format!("kho-fetch-linux-{}", std::process::id()));
    fs::create_dir_all(cache.join("current")).unwrap();
    fs::write(cache.join("current/version"), "linux-source-7.2 7.2.1-1\n").unwrap();
    let run = |output: Option<File>| {
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fetch-linux"));
        // Nothing can be fetched from there.
        script.env("KHO_LINUX_CACHE", &cache).env("KHO_LINUX_MIRROR", "file:///nowhere");
        output.map(|output| script.stdout(output));
        script.output().unwrap()
    };
    let said = run(None);
    let full = run(Some(File::options().write(true).open("/dev/full").unwrap()));
    fs::remove_dir_all(&cache).unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(text.starts_with("linux-source-7.2 7.2.1-1 is in "), "{text}");
    assert_eq!(full.status.code(), Some(1));
    let message = String::from_utf8_lossy(&full.stderr);
    assert!(message.lines().count() == 1 && message.contains("write error"), "{message}");
}
