//! Compiles the kernel's `kho_block.c`, unmodified, and what measures it; or says why it can't.
//! And says which Rust compiler this is, for counts of instructions.
//!
//! Without link-time optimisation: each call from `c/` into `kho_block.c` is a call, as it is in the
//! kernel.

use std::env;
use std::process::Command;

#[path = "../tests/conformance/linux_source.rs"]
mod linux_source;

fn main() {
    println!("cargo::rustc-env=KHO_BENCHES_COMPILER={}", compiler());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=../tests/conformance/linux_source.rs");
    linux_source::build(|tree| {
        linux_source::compiler(tree, "../tests/conformance/shim", "4096")
            .files(["c/host.c", "c/sets.c", "c/nested.c"])
            .define("SHIM_IDENTITY_MAP", None)
            // The kernel's code is not position independent; what a program can have that is
            // nearest calls and inlines as freely.
            .pic(false)
            .flag("-fPIE")
            .compile("kho_block_bench");
    });
}

/// The compiler and what it compiles for.
fn compiler() -> String {
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let output = Command::new(rustc).arg("--version").output().expect("the compiler can be run");
    let version = String::from_utf8(output.stdout).expect("its version is text");
    let target = env::var("TARGET").expect("cargo sets it");
    format!("{}, {target}", version.trim())
}
