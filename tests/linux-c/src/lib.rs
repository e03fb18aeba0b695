//! The kernel's own `kho_block.c`, compiled, for tests and benches.
//!
//! - [`CSet`] is a `struct kho_block_set` on an [`Arena`], which kho-block and the C code share:
//!   every page and every address is checked. For tests.
//! - [`KernelSet`] is a set that loops in C write and read, in memory that is as cheap as possible.
//!   For benches.
//!
//! Without the C code this crate has only [`linux()`], which says why. With it, the build script of
//! a package that depends on this one finds `DEP_KHO_BLOCK_C_LINUX` in its environment.

#[cfg(kho_linux)]
#[allow(unsafe_code)]
mod arena;
#[cfg(kho_linux)]
#[allow(unsafe_code)]
mod cset;
#[cfg(kho_linux)]
#[allow(unsafe_code)]
mod host;
mod page;
#[cfg(kho_linux)]
#[allow(unsafe_code)]
mod timed;

#[cfg(kho_linux)]
pub use arena::{Arena, Events, Usage};
#[cfg(kho_linux)]
pub use cset::{CSet, Refusal};
pub use page::PAGE;
#[cfg(kho_linux)]
pub use timed::{KernelChain, KernelSet};

/// Returns the package and version of the kernel whose C code was compiled.
///
/// # Errors
/// Returns an error if there is no C code; the text says why.
pub fn linux() -> Result<&'static str, &'static str> {
    match option_env!("KHO_LINUX_VERSION") {
        Some(version) => Ok(version),
        None => Err(option_env!("KHO_LINUX_SKIPPED").unwrap_or("no reason given")),
    }
}

#[cfg(all(test, kho_linux))]
mod tests {
    use super::*;

    /// Both libraries define the kernel's functions, and each must call its own.
    #[test]
    fn the_two_machines_do_not_meet() {
        let arena = Arena::new(2);
        let mut checked = CSet::new(&arena, 8);
        let mut timed = KernelSet::with_capacity(1);
        checked.grow(1).expect("room for an entry");
        checked.rewind();
        assert_eq!(arena.usage().c, 1);
        timed.fill(1);
        assert!(checked.write(&[7; 8]));
        let chain = timed.hand_over();
        assert_ne!(checked.head(), chain.head());
        assert!(arena.has_page(checked.head()));
        assert!(!arena.has_page(chain.head()));
        assert_eq!(chain.restore().sum(), u64::MAX.wrapping_add(1 << 21));
    }
}
