//! A crate may forbid lints: then no `allow` may come out of the macro, nor anything that one would be
//! needed for.

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
#![forbid(clippy::all, clippy::pedantic, clippy::cargo)] // `Pod` allows something of the nursery

use core::marker::PhantomData;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, SetHead};

const NAME: &str = "holder";

/// With fields that are deprecated.
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

/// With a bound of its own for each parameter.
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

/// With everything that may be said of it.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = NAME, version = { 1 + 1 }, crate = ::kho_block)]
pub struct Holder {
    /// Of a type that a lint would replace by `Self`.
    pub holders: SetHead<Holder>,
    old: Old,
}

#[test]
fn all_are_entries() {
    assert_eq!(Old::LAYOUT.size, 24);
    assert_eq!(Generic::<u16, 4>::LAYOUT.size, 12);
    assert_eq!((Holder::NAME, Holder::VERSION, Holder::LAYOUT.size), ("holder", 2, 32));
}
