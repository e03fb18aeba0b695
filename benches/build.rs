//! Tells the crate which Rust compiler builds it, since instruction counts depend on that. Sets
//! `cfg(kho_linux)` if kho-linux-c has the kernel's C code.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=KHO_BENCHES_COMPILER={}", compiler());
    println!("cargo::rustc-check-cfg=cfg(kho_linux)");
    if env::var_os("DEP_KHO_BLOCK_C_LINUX").is_some() {
        println!("cargo::rustc-cfg=kho_linux");
    }
}

/// The compiler and what it compiles for.
fn compiler() -> String {
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let output = Command::new(rustc).arg("--version").output().expect("the compiler can be run");
    let version = String::from_utf8(output.stdout).expect("its version is text");
    let target = env::var("TARGET").expect("cargo sets it");
    format!("{}, {target}", version.trim())
}
