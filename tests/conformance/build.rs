//! Compiles the kernel's `kho_block.c`, unmodified, against the shim; or says why it can't.

mod linux_source;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=linux_source.rs");
    println!("cargo::rerun-if-env-changed=KHO_PAGE_SIZE");
    let page = std::env::var("KHO_PAGE_SIZE").unwrap_or("4096".into());
    assert!(
        ["4096", "16384", "65536"].contains(&page.as_str()),
        "KHO_PAGE_SIZE is 4096, 16384 or 65536"
    );
    println!("cargo::rustc-env=KHO_PAGE_BYTES={page}");
    linux_source::build(|tree| {
        linux_source::compiler(tree, "shim", &page).file("shim/shim.c").compile("kho_block_c");
    });
}
