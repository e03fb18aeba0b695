//! Finds the kernel's `kho_block.c` and sets a compiler up for it. Part of the build scripts of
//! every package that compiles it.
//!
//! Reads the cache that `fetch-linux` fills. Never touches the network.

use std::env;
use std::path::{Path, PathBuf};

const SOURCE: &str = "kernel/liveupdate/kho_block.c";
const HEADERS: [&str; 2] = ["include/linux/kho_block.h", "include/linux/kho/abi/block.h"];

/// Where there is a source tree, calls `compile` with it, sets `cfg(kho_linux)` and says in
/// `KHO_LINUX_VERSION` what it is; else says in `KHO_LINUX_SKIPPED` why there is none.
pub(crate) fn build(compile: impl FnOnce(&Path)) {
    println!("cargo::rustc-check-cfg=cfg(kho_linux)");
    for name in ["KHO_LINUX_SOURCE", "KHO_LINUX_CACHE", "XDG_CACHE_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    match find() {
        Ok((tree, version)) => {
            compile(&tree);
            println!("cargo::rustc-cfg=kho_linux");
            println!("cargo::rustc-env=KHO_LINUX_VERSION={version}");
        }
        Err(why) => println!("cargo::rustc-env=KHO_LINUX_SKIPPED={why}"),
    }
}

/// The tree to compile from and what it says it is.
fn find() -> Result<(PathBuf, String), String> {
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
        return Err("no kho_block.c of Linux here, tests/conformance/fetch-linux gets it".into());
    }
    let version = std::fs::read_to_string(tree.join("version"));
    let version = version.map_or("unknown".into(), |text| text.trim().replace('\n', " "));
    Ok((tree, version))
}

/// A compiler of `kho_block.c` against the headers in `shim`, with the kernel's own flags.
pub(crate) fn compiler(tree: &Path, shim: &str, page_size: &str) -> cc::Build {
    println!("cargo::rerun-if-changed={shim}");
    let mut compiler = cc::Build::new();
    compiler
        .file(tree.join(SOURCE))
        .include(format!("{shim}/include"))
        .flag("-idirafter")
        .flag(tree.join("include"))
        .define("SHIM_PAGE_SIZE", format!("{page_size}UL").as_str())
        .define("KBUILD_MODNAME", "\"kho_block\"")
        .std("gnu11")
        .flag("-fno-strict-aliasing")
        .flag("-fwrapv")
        .flag("-funsigned-char")
        .opt_level(2)
        .force_frame_pointer(false)
        .warnings(true)
        .extra_warnings(false);
    compiler
}
