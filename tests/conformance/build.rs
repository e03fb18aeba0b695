//! Sets `cfg(kho_linux)` if kho-linux-c has the kernel's C code.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(kho_linux)");
    if std::env::var_os("DEP_KHO_BLOCK_C_LINUX").is_some() {
        println!("cargo::rustc-cfg=kho_linux");
    }
}
