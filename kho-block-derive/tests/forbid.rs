//! The macro works in a crate that forbids lints: its code has no `#[allow]`, and needs none.

#![allow(unknown_lints)] // some are older or newer than the compiler
#![forbid(
    future_incompatible,
    keyword_idents,
    let_underscore,
    nonstandard_style,
    refining_impl_trait
)]
#![forbid(rust_2018_idioms, rust_2021_compatibility, rust_2024_compatibility, unused)]
#![forbid(absolute_paths_not_starting_with_crate, ambiguous_negative_literals, deprecated)]
#![forbid(deprecated_in_future, elided_lifetimes_in_paths, explicit_outlives_requirements)]
#![forbid(improper_ctypes_definitions, macro_use_extern_crate, meta_variable_misuse, missing_abi)]
#![forbid(missing_debug_implementations, missing_docs, non_ascii_idents, private_bounds)]
#![forbid(private_interfaces, redundant_imports, redundant_lifetimes, single_use_lifetimes)]
#![forbid(trivial_bounds, trivial_casts, trivial_numeric_casts, unit_bindings, unnameable_types)]
#![forbid(unreachable_pub, unsafe_code, unstable_features, unused_braces, unused_extern_crates)]
#![forbid(unused_import_braces, unused_lifetimes, unused_macro_rules, unused_parens)]
#![forbid(unused_qualifications, unused_results, variant_size_differences)]
#![forbid(clippy::all, clippy::pedantic, clippy::cargo)] // not the nursery, as `Pod` has an `#[allow]` for it

use core::marker::PhantomData;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, SetHead};

const NAME: &str = "holder";

/// An entry with deprecated fields.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
pub struct Old {
    /// A number.
    #[deprecated]
    pub number: u32,
    /// Text.
    #[deprecated]
    #[entry(text)]
    pub text: [u8; 4],
    /// Bytes.
    #[deprecated]
    #[entry(bytes)]
    pub bytes: [u64; 2],
}

/// A generic entry with a `where` clause of its own.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C, packed)]
pub struct Generic<T, const N: usize>
where
    T: Copy,
{
    values: [T; N],
    #[entry(text)]
    text: [u8; N],
    of: PhantomData<T>,
}

/// An entry with all attributes.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = NAME, version = { 1 + 1 }, crate = ::kho_block)]
pub struct Holder {
    /// A field whose type a lint would replace by `Self`.
    pub holders: SetHead<Holder>,
    old: Old,
}

#[test]
fn all_are_entries() {
    assert_eq!(Old::LAYOUT.size, 24);
    assert_eq!(Generic::<u16, 4>::LAYOUT.size, 12);
    assert_eq!((Holder::NAME, Holder::VERSION, Holder::LAYOUT.size), ("holder", 2, 32));
}
