//! A package of a source of a few lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Scripts that stand in for apt.
pub(crate) const APT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/source/apt");

/// The files that `kho-linux-c` compiles.
pub(crate) const FILES: [&str; 4] = [
    "COPYING",
    "kernel/liveupdate/kho_block.c",
    "include/linux/kho_block.h",
    "include/linux/kho/abi/block.h",
];

const CONTROL: &str = "Package: linux-source-7.2
Version: 7.2.1-1
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: for a test
";

/// The source, as Debian's package has it.
pub(crate) const SOURCE: &[u8] = include_bytes!("linux-source-7.2.tar.xz");

/// Builds a package of a source in a directory. If there is no dpkg-deb, prints that and returns
/// `None`.
pub(crate) fn package(dir: &Path, source: &[u8]) -> Option<PathBuf> {
    if !kho_linux_source::is_installed("dpkg-deb") {
        println!("skipped: no dpkg-deb");
        return None;
    }
    let root = dir.join("root");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    fs::create_dir_all(root.join("usr/src")).unwrap();
    fs::write(root.join("DEBIAN/control"), CONTROL).unwrap();
    fs::write(root.join("usr/src/linux-source-7.2.tar.xz"), source).unwrap();
    let deb = dir.join("linux-source-7.2_7.2.1-1_all.deb");
    let mut build = Command::new("dpkg-deb");
    kho_linux_source::run(build.arg("--build").arg(&root).arg(&deb)).unwrap();
    Some(deb)
}

/// Returns the files below a directory, by their paths in it, in order.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let find = kho_linux_source::output(
        Command::new("find").args([".", "-type", "f", "-printf", "%P\\n"]).current_dir(dir),
    );
    let mut files: Vec<String> = find.unwrap().lines().map(str::to_owned).collect();
    files.sort();
    files
}
