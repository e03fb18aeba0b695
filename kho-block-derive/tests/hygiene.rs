//! The macro works whatever is in scope, and its code causes no warnings.

#![deny(warnings, missing_docs, unreachable_pub, unused_qualifications, unused_braces)]
#![deny(single_use_lifetimes, trivial_casts, unused_lifetimes, variant_size_differences)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
#![allow(clippy::use_self, clippy::redundant_pub_crate)] // false for `SetHead<Record>`; a matter of taste
#![allow(unsafe_code)] // `Pod` by hand, as bytemuck's macro needs more in scope

extern crate kho_block as renamed;

/// Nothing is in scope here but what is imported.
mod bare {
    #![no_implicit_prelude]

    use ::core::clone::Clone;
    use ::core::marker::Copy;
    use ::kho_block::Entry;
    use ::kho_block::bytemuck::{Pod, Zeroable};

    #[derive(Clone, Copy, Entry)]
    #[repr(C)]
    pub(crate) struct Record {
        #[entry(text)]
        name: [u8; 8],
        next: ::kho_block::SetHead<Record>,
        table: [u16; 4],
    }

    // SAFETY: three fields of 8 bytes without gaps, all patterns valid.
    unsafe impl Zeroable for Record {}
    // SAFETY: as above.
    unsafe impl Pod for Record {}

    #[derive(Clone, Copy, Entry)]
    #[repr(transparent)]
    pub(crate) struct Generic<T>(T);

    // SAFETY: transparent.
    unsafe impl<T: Zeroable> Zeroable for Generic<T> {}
    // SAFETY: transparent.
    unsafe impl<T: Pod> Pod for Generic<T> {}
}

/// Names that the generated code uses, with another meaning.
#[allow(non_camel_case_types, dead_code, unused_macros)]
mod shadowed {
    mod core {}
    mod std {}
    mod kho_block {}
    mod renamed {}
    mod bytemuck {}
    struct u8;
    struct u32;
    struct u64;
    struct usize;
    struct str;
    struct Result;
    struct Option;
    struct Entry;
    struct EntryLayout;
    struct Field;
    struct FieldKind;
    trait FieldType {}
    trait Pod {}
    trait Sized {}
    const fn size_of() {}
    const fn align_of() {}
    macro_rules! assert {
        () => {};
    }
    macro_rules! offset_of {
        () => {};
    }
    macro_rules! panic {
        () => {};
    }

    #[derive(Clone, Copy, ::kho_block::Entry)]
    #[repr(C)]
    pub(crate) struct Record {
        #[entry(text)]
        name: [::core::primitive::u8; 8],
        core: ::core::primitive::u64,
        next: ::kho_block::SetHead<Record>,
    }

    // SAFETY: three fields of 8 bytes without gaps, all patterns valid.
    unsafe impl ::kho_block::bytemuck::Zeroable for Record {}
    // SAFETY: as above.
    unsafe impl ::kho_block::bytemuck::Pod for Record {}
}

/// `kho_block` under other names. A unit test of the macro checks that its code uses no other path:
/// Cargo allows only one name for a dependency.
mod elsewhere {
    use kho_block::Entry;
    use kho_block::bytemuck::{Pod, Zeroable};

    pub(crate) mod facade {
        pub(crate) mod __private {
            pub(crate) use kho_block as kho;
        }
    }

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[bytemuck(crate = "::kho_block::bytemuck")]
    #[repr(C)]
    #[entry(crate = "renamed", name = "renamed")]
    pub(crate) struct Renamed(u64);

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    #[entry(crate = "::renamed")]
    pub(crate) struct Absolute(u64);

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    #[entry(crate = "crate::elsewhere::facade::__private::kho")]
    pub(crate) struct Facade(u64);

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(transparent)]
    #[entry(crate = "self::facade::__private::kho")]
    pub(crate) struct Generic<T>(T);

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    #[entry(crate = self::facade::__private::kho)]
    pub(crate) struct Unquoted(u64);

    /// A macro of a crate whose users do not depend on `kho_block`.
    macro_rules! entry {
        ($name:ident, $at:path, $ty:ty, $len:expr) => {
            #[derive(Clone, Copy, Pod, Zeroable, Entry)]
            #[repr(C)]
            #[entry(crate = $crate::elsewhere::facade::__private::kho, name = concat!("vm-", stringify!($name)))]
            pub(crate) struct $name {
                value: $ty,
                values: [$ty; $len],
                #[entry(text)]
                text: [u8; $len],
                #[entry(bytes)]
                bytes: $ty,
                next: kho_block::SetHead<$name>,
            }

            #[derive(Clone, Copy, Pod, Zeroable, Entry)]
            #[repr(transparent)]
            #[entry(crate = $at)]
            pub(crate) struct Passed<T>(T, [u8; 0]);
        };
    }
    entry!(FromMacro, crate::elsewhere::facade::__private::kho, u64, 8);
}

/// Types that cause warnings where they are written, but not again in the implementation.
#[allow(clippy::allow_attributes)]
pub mod linted {
    use kho_block::bytemuck::{Pod, Zeroable};
    use kho_block::{Entry, FieldType, SetHead};

    /// A deprecated entry.
    #[deprecated]
    #[derive(Clone, Copy, Entry)]
    #[repr(C)]
    pub struct Old {
        #[deprecated]
        #[entry(text)]
        text: [u8; 4],
        #[deprecated]
        number: u32,
    }

    /// Traits other than `Entry` by hand: deriving `Clone` and `Copy` would cause warnings.
    #[allow(deprecated, clippy::expl_impl_clone_on_copy)]
    mod by_hand {
        use super::{Bounded, FieldType, Holder, Old, Pod, Zeroable};

        // SAFETY: two fields of 4 bytes without gaps, all patterns valid.
        unsafe impl Zeroable for Old {}
        // SAFETY: as above.
        unsafe impl Pod for Old {}
        // SAFETY: transparent.
        unsafe impl<T: FieldType> Zeroable for Bounded<T> {}
        // SAFETY: as above.
        unsafe impl<T: FieldType> Pod for Bounded<T> {}
        impl Clone for Holder {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl Copy for Holder {}
        // SAFETY: fields of 8 bytes without gaps, all patterns valid.
        unsafe impl Zeroable for Holder {}
        // SAFETY: as above.
        unsafe impl Pod for Holder {}
    }

    /// An entry that already has the bound which the macro adds.
    #[derive(Clone, Copy, Entry)]
    #[repr(transparent)]
    pub struct Bounded<T: FieldType>(T);

    /// An entry with a deprecated field, which it allows.
    #[derive(Entry)]
    #[repr(C)]
    pub struct Holder {
        #[allow(deprecated)]
        old: Old,
        /// A field whose type a lint would replace by `Self`.
        pub holders: SetHead<Holder>,
        /// A field whose type has a longer path than it needs.
        #[allow(unused_qualifications)]
        pub more: kho_block::SetHead<Holder>,
    }
}

#[test]
fn all_are_entries() {
    use kho_block::Entry;

    assert_eq!(bare::Record::LAYOUT.size, 24);
    assert_eq!(bare::Generic::<u32>::LAYOUT.size, 4);
    assert_eq!(shadowed::Record::LAYOUT.size, 24);
    assert_eq!(elsewhere::Renamed::NAME, "renamed");
    assert_eq!(elsewhere::Absolute::LAYOUT.size, 8);
    assert_eq!(elsewhere::Facade::LAYOUT.size, 8);
    assert_eq!(elsewhere::Generic::<u16>::LAYOUT.size, 2);
    assert_eq!(elsewhere::Unquoted::LAYOUT.size, 8);
    assert_eq!(elsewhere::FromMacro::NAME, "vm-FromMacro");
    assert_eq!(elsewhere::FromMacro::LAYOUT.size, 96);
    assert_eq!(elsewhere::Passed::<u64>::LAYOUT.size, 8);
    assert_eq!(linted::Bounded::<u32>::LAYOUT.size, 4);
    assert_eq!(linted::Holder::LAYOUT.size, 24);
}
