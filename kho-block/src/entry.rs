//! What an entry is: plain data that knows its own layout.

use bytemuck::Pod;
use xxhash_rust::const_xxh3::xxh3_64_with_seed;

use crate::addr::{PhysAddr, SetHead};

/// Plain data that is stored in blocks, with a layout that is known at compile time.
///
/// Derive it: the macro checks that no byte is left undefined and that the layout is the same on
/// both sides of a live update. What it refuses stands with the macro of the same name.
///
/// ```
/// use bytemuck::{Pod, Zeroable};
/// use kho_block::{Entry, PhysAddr, SetHead};
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// #[entry(name = "file", version = 5)]
/// struct File {
///     #[entry(text)]
///     compatible: [u8; 48],
///     data: PhysAddr,
///     token: u64,
/// }
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// #[entry(name = "session", version = 5)]
/// struct Session {
///     #[entry(text)]
///     name: [u8; 64],
///     files: SetHead<File>,
///     file_count: u64,
/// }
///
/// assert_eq!(Session::LAYOUT.size, 80);
/// assert_eq!(Session::LAYOUT.fields[1].name, "files");
/// assert_eq!(Session::LAYOUT.fields[1].offset, 64);
/// ```
///
/// Nothing unsafe relies on what an implementation says of itself: the soundness of this crate
/// rests on [`Pod`] and on the compiler's own size and alignment.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entry",
    label = "not an entry",
    note = "derive it: `#[derive(Clone, Copy, Pod, Zeroable, Entry)]` with `#[repr(C)]`"
)]
pub trait Entry: Pod {
    /// What the entry is called, in tools and in the layout's fingerprint.
    const NAME: &'static str;

    /// Version of the entry's meaning, chosen by its author.
    const VERSION: u32;

    /// The layout, field by field.
    const LAYOUT: &'static EntryLayout;
}

/// Size, alignment and fields of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryLayout {
    /// What the entry is called.
    pub name: &'static str,
    /// Version of the entry's meaning.
    pub version: u32,
    /// Size in bytes; the distance between entries in a block.
    pub size: usize,
    /// Alignment in bytes, 1 to 16.
    pub align: usize,
    /// The fields in the order of their offsets, without gaps.
    pub fields: &'static [Field],
    /// A hash of all of the above. Two layouts with the same fingerprint very probably have the same
    /// fields, names and version. It guards against mistakes, not against malice.
    ///
    /// The entries of a set that a field is the head of count by name and version only: raise their
    /// version with every change to them, or compare their fingerprint as well.
    pub fingerprint: u64,
}

/// One field of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// The field's name; its index for a tuple struct.
    pub name: &'static str,
    /// Offset from the start of the entry, in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
    /// What the bytes mean.
    pub kind: FieldKind,
}

/// What the bytes of a field mean. Numbers are in the byte order of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// An unsigned integer of the field's size.
    Unsigned,
    /// A signed integer of the field's size, two's complement.
    Signed,
    /// An IEEE 754 number of the field's size.
    Float,
    /// Text in UTF-8, ended by the first NUL byte or the end of the field.
    Text,
    /// An array without gaps.
    Array {
        /// What each element means.
        element: &'static FieldKind,
        /// How many elements there are.
        len: usize,
    },
    /// Another entry, in place.
    Entry(&'static EntryLayout),
    /// A physical address.
    PhysAddr,
    /// The head of a set. Name and version only, so that entries may nest in themselves.
    SetHead {
        /// What the set's entries are called.
        name: &'static str,
        /// The version of the set's entries.
        version: u32,
    },
}

/// A type that may be the field of an entry.
///
/// Integers and floats of fixed size, arrays of such types, [`PhysAddr`], [`SetHead`] and every
/// [`Entry`]. Not `usize` or `isize`, whose size differs between machines; not `bool` or `char`,
/// which have bit patterns that no value has; not pointers, which mean nothing to a successor.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a field of an entry",
    label = "not a type that keeps its meaning across a live update",
    note = "fields are integers and floats of fixed size, arrays of them, `PhysAddr`, `SetHead<T>` \
            and other entries"
)]
pub trait FieldType: Pod {
    /// What the bytes of the type mean.
    const KIND: FieldKind;
}

macro_rules! field_types {
    ($($kind:ident: $($ty:ty)+;)+) => {$($(
        impl FieldType for $ty {
            const KIND: FieldKind = FieldKind::$kind;
        }
    )+)+};
}

field_types! {
    Unsigned: u8 u16 u32 u64 u128;
    Signed: i8 i16 i32 i64 i128;
    Float: f32 f64;
    PhysAddr: PhysAddr;
}

impl<T: FieldType, const N: usize> FieldType for [T; N]
where
    [T; N]: Pod,
{
    const KIND: FieldKind = FieldKind::Array { element: &T::KIND, len: N };
}

impl<T: Entry> FieldType for SetHead<T> {
    const KIND: FieldKind = FieldKind::SetHead { name: T::NAME, version: T::VERSION };
}

impl<T: Entry> FieldType for T {
    const KIND: FieldKind = FieldKind::Entry(T::LAYOUT);
}

impl EntryLayout {
    /// Stands in for the layout of a struct that the derive macro refused, so that entries that
    /// hold it don't fail with it.
    #[doc(hidden)]
    pub const REFUSED: Self =
        Self { name: "", version: 0, size: 0, align: 1, fields: &[], fingerprint: 0 };

    /// The layout of the entry `T`, made by the derive macro.
    ///
    /// # Panics
    /// In constant evaluation, so as a compile error: the fields leave a gap, `T` has no size or is
    /// aligned over 16 bytes.
    #[doc(hidden)]
    #[must_use]
    pub const fn of<T: Entry>(fields: &'static [Field]) -> Self {
        assert!(size_of::<T>() != 0, "an entry without size can't be stored in a block");
        assert!(
            align_of::<T>() <= crate::abi::MAX_ENTRY_ALIGN,
            "an entry is aligned to at most 16 bytes"
        );
        let mut end = 0;
        let mut i = 0;
        while i < fields.len() {
            assert!(fields[i].offset == end, "padding before a field");
            end += fields[i].size;
            i += 1;
        }
        assert!(end == size_of::<T>(), "padding after the last field");
        let mut layout = Self {
            name: T::NAME,
            version: T::VERSION,
            size: size_of::<T>(),
            align: align_of::<T>(),
            fields,
            fingerprint: 0,
        };
        layout.fingerprint = layout.hash();
        layout
    }

    /// Hash of everything but the fingerprint itself; `docs/format.md` defines it.
    const fn hash(&self) -> u64 {
        let mut hash = hash_text(0, self.name);
        hash = hash_number(hash, self.version as u64);
        hash = hash_number(hash, self.size as u64);
        hash = hash_number(hash, self.align as u64);
        hash = hash_number(hash, self.fields.len() as u64);
        let mut i = 0;
        while i < self.fields.len() {
            let field = &self.fields[i];
            hash = hash_text(hash, field.name);
            hash = hash_number(hash, field.offset as u64);
            hash = hash_number(hash, field.size as u64);
            hash = hash_kind(hash, &field.kind);
            i += 1;
        }
        hash
    }
}

impl Field {
    /// A field of type `T`, made by the derive macro.
    #[doc(hidden)]
    #[must_use]
    pub const fn of<T: FieldType>(name: &'static str, offset: usize) -> Self {
        Self { name, offset, size: size_of::<T>(), kind: T::KIND }
    }

    /// A field of `N` bytes of text, made by the derive macro.
    #[doc(hidden)]
    #[must_use]
    pub const fn text<const N: usize>(name: &'static str, offset: usize) -> Self {
        Self { name, offset, size: N, kind: FieldKind::Text }
    }
}

// Each step hashes its bytes with the hash so far as the seed. Text goes in after its length, so
// that "ab" + "c" differs from "a" + "bc".
const fn hash_number(hash: u64, number: u64) -> u64 {
    xxh3_64_with_seed(&number.to_le_bytes(), hash)
}

const fn hash_text(hash: u64, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), hash_number(hash, text.len() as u64))
}

const fn hash_kind(hash: u64, kind: &FieldKind) -> u64 {
    match kind {
        FieldKind::Unsigned => hash_number(hash, 1),
        FieldKind::Signed => hash_number(hash, 2),
        FieldKind::Float => hash_number(hash, 3),
        FieldKind::Text => hash_number(hash, 4),
        FieldKind::Array { element, len } => {
            hash_kind(hash_number(hash_number(hash, 5), *len as u64), element)
        }
        FieldKind::Entry(layout) => hash_number(hash_number(hash, 6), layout.fingerprint),
        FieldKind::PhysAddr => hash_number(hash, 7),
        FieldKind::SetHead { name, version } => {
            hash_number(hash_text(hash_number(hash, 8), name), *version as u64)
        }
    }
}
