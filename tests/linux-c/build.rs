//! Compiles the kernel's `kho_block.c`, unmodified, against the shim, or says why it can't.
//!
//! There are two libraries: one for tests, on a machine that checks every address, with pages of
//! any size; and one for benches, where an address is a pointer and a page has 4 KiB. A single
//! library that decides at run time takes 3 % more instructions to restore 10,000 entries. Without
//! link-time optimisation each call from `c/` into `kho_block.c` is a call, as it is in the kernel.
//!
//! Reads the cache that `kho-linux-source` fills. Never touches the network.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

const SOURCE: &str = "kernel/liveupdate/kho_block.c";
const HEADERS: [&str; 2] = ["include/linux/kho_block.h", "include/linux/kho/abi/block.h"];

/// The functions that `c/host.c` defines.
const HOST: [&str; 7] = [
    "kho_alloc_preserve",
    "kho_restore_free",
    "kho_unpreserve_free",
    "kfree",
    "shim_log",
    "shim_warned",
    "shim_zalloc",
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(kho_linux)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-env-changed=KHO_PAGE_SIZE");
    let page = env::var("KHO_PAGE_SIZE").unwrap_or("4096".into());
    assert!(
        ["4096", "16384", "65536"].contains(&page.as_str()),
        "KHO_PAGE_SIZE is 4096, 16384 or 65536"
    );
    println!("cargo::rustc-env=KHO_PAGE_BYTES={page}");
    match find() {
        Ok((tree, version)) => {
            compile_for_tests(&tree, &page);
            compile_for_benches(&tree);
            println!("cargo::rustc-cfg=kho_linux");
            println!("cargo::rustc-env=KHO_LINUX_VERSION={version}");
            // The build scripts of packages that depend on this one see it as
            // DEP_KHO_BLOCK_C_LINUX.
            println!("cargo::metadata=linux=1");
        }
        Err(why) => println!("cargo::rustc-env=KHO_LINUX_SKIPPED={why}"),
    }
}

/// The tree to compile from, and its package and version.
fn find() -> Result<(PathBuf, String), String> {
    for name in ["KHO_LINUX_SOURCE", "KHO_LINUX_CACHE", "XDG_CACHE_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
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
        return Err(
            "no kho_block.c of Linux here; cargo run --release -p kho-linux-source gets it".into(),
        );
    }
    let version = fs::read_to_string(tree.join("version"));
    let version = version.map_or("unknown".into(), |text| text.trim().replace('\n', " "));
    Ok((tree, version))
}

/// On the arena in `src/arena.rs`. All global names but those that Rust calls get a prefix, since
/// the other library has them too.
fn compile_for_tests(tree: &Path, page_size: &str) {
    let mut compiler = compiler(tree, page_size);
    for name in kernel_names(tree).iter().map(String::as_str).chain(HOST) {
        compiler.define(name, format!("checked_{name}").as_str());
    }
    compiler.file("c/checked.c").compile("kho_block_checked");
}

/// On pages that are as cheap as possible, of the size that benches measure.
fn compile_for_benches(tree: &Path) {
    compiler(tree, "4096")
        .define("SHIM_IDENTITY_MAP", None)
        .files(["c/pages.c", "c/sets.c"])
        .compile("kho_block_timed");
}

/// A compiler of `kho_block.c` and `c/host.c` against the shim's headers, with the kernel's own
/// flags.
fn compiler(tree: &Path, page_size: &str) -> cc::Build {
    let mut compiler = cc::Build::new();
    compiler
        .files([tree.join(SOURCE), "c/host.c".into()])
        .includes(["c", "c/include"])
        .flag("-idirafter")
        .flag(tree.join("include"))
        .define("SHIM_PAGE_SIZE", format!("{page_size}UL").as_str())
        .define("KBUILD_MODNAME", "\"kho_block\"")
        .std("gnu11")
        // The kernel's code is not position independent. `-fPIE` is the nearest that a program can
        // have: it calls and inlines as freely.
        .pic(false)
        .flag("-fPIE")
        .flag("-fno-strict-aliasing")
        .flag("-fwrapv")
        .flag("-funsigned-char")
        .opt_level(2)
        .force_frame_pointer(false)
        .warnings(true)
        .extra_warnings(false);
    compiler
}

/// The functions and types that the kernel's headers declare.
fn kernel_names(tree: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for header in HEADERS {
        let text = fs::read_to_string(tree.join(header)).expect("a header beside kho_block.c");
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        names.extend(words.filter(|word| word.starts_with("kho_block_")).map(str::to_owned));
    }
    names
}
