//! Differential tests of kho-block against the kernel's own C code, in one process.
//!
//! `build.rs` compiles Linux's `kernel/liveupdate/kho_block.c`, unmodified, against a shim; an
//! `Arena` is the memory of both sides: a `BlockMemory` for kho-block, and for the C code the pages
//! that KHO allocates, preserves, restores and frees, at the same physical addresses. `CSet` is a
//! `struct kho_block_set` with its iterator.
//!
//! Without the C code ([`linux()`] says why) there is nothing here but that function.

#[cfg(kho_linux)]
#[allow(unsafe_code)]
mod arena;
#[cfg(kho_linux)]
#[allow(unsafe_code)]
mod cset;
#[cfg(kho_linux)]
#[allow(unsafe_code)]
mod host;
mod linux;

#[cfg(kho_linux)]
pub use arena::{Arena, Events, Usage};
#[cfg(kho_linux)]
pub use cset::{CSet, Refusal};
pub use linux::linux;

/// Size of a page, and so of a block, in bytes: `KHO_PAGE_SIZE` when this was built, or 4096.
pub const PAGE: usize = number(env!("KHO_PAGE_BYTES"));

const fn number(text: &str) -> usize {
    let mut number = 0;
    let mut i = 0;
    while i < text.len() {
        number = number * 10 + (text.as_bytes()[i] - b'0') as usize;
        i += 1;
    }
    number
}
