//! All forms of entries.

#![deny(warnings, missing_docs)]
#![allow(unused_braces, unused_parens)]

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, PhysAddr, SetHead};

const LEN: usize = 8;

type Word = u64;

/// Every kind of field.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "named", version = 0)]
pub struct Named {
    /// Integers of the largest alignment.
    pub wide: [i128; 2],
    /// Text with a length that is an expression.
    #[entry(text)]
    pub name: [u8; { LEN * 2 }],
    /// Text whose type has a longer path.
    #[entry(text)]
    pub other: [core::primitive::u8; 2 * LEN],
    /// A set of the same entries.
    pub children: SetHead<Named>,
    /// An integer by an alias.
    pub word: Word,
    /// Entries in place.
    pub tuples: [Tuple; 2],
    /// An address.
    pub r#type: PhysAddr,
    /// Floats.
    pub floats: (f32),
    float: f32,
}

/// Fields without names.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
pub struct Tuple(u64, SetHead<Named>, #[entry(text)] [u8; 16]);

/// One field, transparent.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(transparent)]
pub struct Transparent(u32);

/// Packed fields.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C, packed)]
pub struct Packed {
    flag: u8,
    value: u64,
}

/// A larger alignment than that of the fields.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C, align(16))]
pub struct Aligned {
    words: [u64; 2],
}

macro_rules! entry {
    ($name:ident { $($field:ident: $ty:ty),* }) => {
        /// A struct written by a macro.
        #[derive(Clone, Copy, Pod, Zeroable, Entry)]
        #[repr(C)]
        pub struct $name { $(#[entry(text)] $field: $ty),* }
    };
}

entry!(FromMacro { name: [u8; LEN] });

fn main() {
    assert_eq!(Named::NAME, "named");
    assert_eq!(Named::VERSION, 0);
    assert_eq!(Named::LAYOUT.fields[6].name, "type");
    assert_eq!(Packed::LAYOUT.size, 9);
    assert_eq!(Packed::LAYOUT.align, 1);
    assert_eq!(Aligned::LAYOUT.align, 16);
    assert_eq!(Transparent::NAME, "Transparent");
    assert_eq!(Transparent::VERSION, 1);
    assert_eq!(FromMacro::LAYOUT.size, 8);

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    struct Local(u64);
    assert_eq!(Local::LAYOUT.size, 8);
}
