//! Compiles the kernel's `kho_block.c`, unmodified, against the shim; or says why it can't.
//!
//! Reads the cache that `fetch-linux` fills. Never touches the network.

use std::env;
use std::path::{Path, PathBuf};

const SOURCE: &str = "kernel/liveupdate/kho_block.c";
const HEADERS: [&str; 2] = ["include/linux/kho_block.h", "include/linux/kho/abi/block.h"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(kho_linux)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=shim");
    for name in ["KHO_PAGE_SIZE", "KHO_LINUX_SOURCE", "KHO_LINUX_CACHE", "XDG_CACHE_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let page = env::var("KHO_PAGE_SIZE").unwrap_or("4096".into());
    assert!(
        ["4096", "16384", "65536"].contains(&page.as_str()),
        "KHO_PAGE_SIZE is 4096, 16384 or 65536"
    );
    println!("cargo::rustc-env=KHO_PAGE_BYTES={page}");
    match source() {
        Ok((tree, version)) => {
            compile(&tree, &page);
            println!("cargo::rustc-cfg=kho_linux");
            println!("cargo::rustc-env=KHO_LINUX_VERSION={version}");
        }
        Err(why) => println!("cargo::rustc-env=KHO_LINUX_SKIPPED={why}"),
    }
}

/// The tree to compile from and what it says it is.
fn source() -> Result<(PathBuf, String), String> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let tree = if let Some(tree) = set("KHO_LINUX_SOURCE") {
        tree
    } else if let Some(cache) = set("KHO_LINUX_CACHE") {
        cache.join("current")
    } else if let Some(caches) = set("XDG_CACHE_HOME") {
        caches.join("kho-block/linux/current")
    } else {
        let home = set("HOME").ok_or("no HOME, so no cache of kernel sources")?;
        home.join(".cache/kho-block/linux/current")
    };
    // A missing file counts as changed, so this runs again until there is one.
    for file in [SOURCE, "version"].iter().chain(&HEADERS) {
        println!("cargo::rerun-if-changed={}", tree.join(file).display());
    }
    if !tree.join(SOURCE).is_file() {
        return Err("no kho_block.c of Linux here, kho-conformance/fetch-linux gets it".into());
    }
    let version = std::fs::read_to_string(tree.join("version"));
    let version = version.map_or("unknown".into(), |text| text.trim().replace('\n', " "));
    Ok((tree, version))
}

fn compile(tree: &Path, page: &str) {
    cc::Build::new()
        .file(tree.join(SOURCE))
        .file("shim/shim.c")
        .include("shim/include")
        .flag("-idirafter")
        .flag(tree.join("include"))
        .define("SHIM_PAGE_SIZE", format!("{page}UL").as_str())
        .define("KBUILD_MODNAME", "\"kho_block\"")
        // As the kernel's own build has it.
        .std("gnu11")
        .flag("-fno-strict-aliasing")
        .flag("-fwrapv")
        .flag("-funsigned-char")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(false)
        .compile("kho_block_c");
}
