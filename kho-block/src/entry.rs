//! Entries: plain data with a known layout.

use core::marker::PhantomData;

use bytemuck::Pod;

use crate::addr::{PhysAddr, SetHead};

#[doc(hidden)]
pub mod derive;
mod fingerprint;
#[cfg(feature = "alloc")]
pub(crate) mod fits;

/// Plain data that is stored in blocks, with a layout that is known at compile time.
///
/// Derive it: the macro checks that no byte is left undefined and that the layout is the same on
/// both sides of a live update. See [the macro](macro@crate::Entry) for its attributes and the
/// types it rejects.
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
/// # By hand
///
/// Implement the trait by hand for a type that another macro generates, or whose layout its fields
/// do not show. [`EntryLayout::of`] makes the layout from a [`Field`] for each field, in order. The
/// line `const _` below checks the layout when the crate is compiled, even if nothing uses it yet.
///
/// ```
/// use core::mem::offset_of;
///
/// use bytemuck::{Pod, Zeroable};
/// use kho_block::{Entry, EntryLayout, Field, PhysAddr};
///
/// #[derive(Clone, Copy, Pod, Zeroable)]
/// #[repr(C)]
/// struct File {
///     compatible: [u8; 48],
///     data: PhysAddr,
///     token: u64,
/// }
///
/// impl Entry for File {
///     const NAME: &'static str = "file";
///     const VERSION: u32 = 5;
///     const LAYOUT: &'static EntryLayout = &EntryLayout::of::<Self>(const {
///         &[
///             Field::text::<48>("compatible", offset_of!(Self, compatible)),
///             Field::of::<PhysAddr>("data", offset_of!(Self, data)),
///             Field::of::<u64>("token", offset_of!(Self, token)),
///         ]
///     });
/// }
///
/// const _: &EntryLayout = File::LAYOUT;
///
/// // The derive macro gives the same layout.
/// mod derived {
///     # use bytemuck::{Pod, Zeroable};
///     # use kho_block::{Entry, PhysAddr};
///     #[derive(Clone, Copy, Pod, Zeroable, Entry)]
///     #[repr(C)]
///     #[entry(name = "file", version = 5)]
///     pub struct File {
///         #[entry(text)]
///         compatible: [u8; 48],
///         data: PhysAddr,
///         token: u64,
///     }
/// }
/// assert_eq!(File::LAYOUT, derived::File::LAYOUT);
/// ```
///
/// A layout with a gap does not compile:
///
/// ```compile_fail,E0080
/// # use bytemuck::{Pod, Zeroable};
/// # use kho_block::{Entry, EntryLayout, Field};
/// # #[derive(Clone, Copy, Pod, Zeroable)]
/// # #[repr(C)]
/// struct Slot { guest: u64, host: u64 }
///
/// impl Entry for Slot {
///     const NAME: &'static str = "slot";
///     const VERSION: u32 = 1;
///     const LAYOUT: &'static EntryLayout =
///         &EntryLayout::of::<Self>(const { &[Field::of::<u64>("host", 8)] });
/// }
///
/// const _: &EntryLayout = Slot::LAYOUT;
/// ```
///
/// No unsafe code relies on the constants of an implementation. It relies on [`Pod`], and on the
/// size and alignment that the compiler knows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entry",
    label = "not an entry",
    note = "a struct of your own: `#[derive(Clone, Copy, Pod, Zeroable, Entry)]` and `#[repr(C)]`",
    note = "any other type: make it a field of such a struct; plain data of another crate with \
            `#[entry(bytes)]`"
)]
pub trait Entry: Pod {
    /// Name of the entry, for tools and for the layout's fingerprint.
    const NAME: &'static str;

    /// Version of the entry's meaning. Raise it when the bytes change their meaning.
    const VERSION: u32;

    /// Layout of the entry, field by field.
    const LAYOUT: &'static EntryLayout;
}

/// The layout of an entry: its size, alignment and fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EntryLayout {
    /// Name of the entry.
    pub name: &'static str,
    /// Version of the entry's meaning.
    pub version: u32,
    /// Size of the entry in bytes, which is the distance between entries in a block.
    pub size: usize,
    /// Alignment of the entry in bytes, from 1 to 16.
    pub align: usize,
    /// Fields of the entry in the order of their offsets, without gaps.
    pub fields: &'static [Field],
    /// Hash of the layout: its name, version, size, alignment and fields. Two layouts with the same
    /// fingerprint are almost certainly equal. It guards against mistakes, not against malice.
    ///
    /// The entries of a nested set are hashed by name and version only: raise their version with
    /// every change, or compare their fingerprint as well.
    pub fingerprint: u64,
}

/// A field of an entry: its name, its place and the meaning of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Field {
    /// Name of the field, or its index in a tuple struct.
    pub name: &'static str,
    /// Offset of the field from the start of the entry, in bytes.
    pub offset: usize,
    /// Size of the field in bytes.
    pub size: usize,
    /// Meaning of the field's bytes.
    pub kind: FieldKind,
}

/// The meaning of a field's bytes. Numbers are in the byte order of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldKind {
    /// An unsigned integer of the field's size.
    Unsigned,
    /// A signed integer of the field's size, in two's complement.
    Signed,
    /// An IEEE 754 number of the field's size.
    Float,
    /// UTF-8 text, up to the first zero byte or the end of the field.
    Text,
    /// An array of equal elements without gaps.
    Array {
        /// Meaning of each element.
        element: &'static FieldKind,
        /// Number of elements.
        len: usize,
    },
    /// Another entry, stored in place.
    Entry(&'static EntryLayout),
    /// A physical address.
    PhysAddr,
    /// The head of a set. It has the name and version of the set's entries but not their layout, so
    /// that a set can nest in itself.
    SetHead {
        /// Name of the set's entries.
        name: &'static str,
        /// Version of the set's entries.
        version: u32,
    },
    /// A marker without bytes, such as `PhantomData<T>` or `()`.
    Nothing,
    /// Plain data of a type whose fields are not known, such as one of another crate.
    Bytes {
        /// Name of the type.
        name: &'static str,
        /// Size of the type in bytes.
        size: usize,
    },
}

/// A type that may be the field of an entry.
///
/// These are integers and floats of fixed size, arrays of such types, [`PhysAddr`], [`SetHead`],
/// every [`Entry`], and the markers `PhantomData<T>` and `()`. These are not: `usize` and `isize`,
/// whose size differs between machines; `bool` and `char`, for which some bit patterns are invalid;
/// and pointers, which mean nothing to a successor.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a field of an entry",
    label = "not a type that keeps its meaning across a live update",
    note = "fields are integers and floats of fixed size, arrays of them, `PhysAddr`, \
            `SetHead<T>` of an entry `T`, `PhantomData<T>` and other entries",
    note = "a struct of your own: derive `Entry` for it; an enum: store its number as an integer",
    note = "plain data of another crate: `#[entry(bytes)]` stores its bytes, with its name \
            and size in the layout"
)]
pub trait FieldType: Pod {
    /// Meaning of the bytes of this type.
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
    Nothing: ();
}

impl<T: ?Sized + 'static> FieldType for PhantomData<T> {
    const KIND: FieldKind = FieldKind::Nothing;
}

impl<T: FieldType, const N: usize> FieldType for [T; N] {
    const KIND: FieldKind = FieldKind::Array { element: &T::KIND, len: N };
}

impl<T: Entry> FieldType for SetHead<T> {
    const KIND: FieldKind = FieldKind::SetHead { name: T::NAME, version: T::VERSION };
}

#[diagnostic::do_not_recommend]
impl<T: Entry> FieldType for T {
    const KIND: FieldKind = FieldKind::Entry(T::LAYOUT);
}

impl EntryLayout {
    /// Layout of a struct that the derive macro rejected, so that entries that contain it compile.
    #[doc(hidden)]
    pub const REFUSED: Self =
        Self { name: "", version: 0, size: 0, align: 1, fields: &[], fingerprint: 0 };

    /// Returns the layout of the entry `T` with these fields.
    ///
    /// # Panics
    /// Panics if the fields do not cover `T` from its first byte to its last without gaps, if `T`
    /// has size 0, or if it is aligned to more than 16 bytes. In a constant that is a compile
    /// error.
    #[must_use]
    pub const fn of<T: Entry>(fields: &'static [Field]) -> Self {
        assert!(size_of::<T>() != 0, "an entry of size 0 can't be stored in a block");
        assert!(
            align_of::<T>() <= crate::abi::MAX_ENTRY_ALIGN,
            "an entry is aligned to at most 16 bytes"
        );
        let mut i = 0;
        while i < fields.len() {
            assert!(
                derive::begins_at_end(fields, i),
                "a field does not begin where the one before it ends"
            );
            i += 1;
        }
        assert!(
            derive::ends_at_end::<T>(fields),
            "the last field does not end where the entry ends"
        );
        Self::unchecked::<T>(fields)
    }

    const fn unchecked<T: Entry>(fields: &'static [Field]) -> Self {
        let mut layout = Self {
            name: T::NAME,
            version: T::VERSION,
            size: size_of::<T>(),
            align: align_of::<T>(),
            fields,
            fingerprint: 0,
        };
        layout.fingerprint = fingerprint::of(&layout);
        layout
    }
}

impl Field {
    /// Returns a field of `size` bytes and of the given kind, `offset` bytes into its entry.
    #[must_use]
    pub const fn new(name: &'static str, offset: usize, size: usize, kind: FieldKind) -> Self {
        Self { name, offset, size, kind }
    }

    /// Returns a field of type `T`, `offset` bytes into its entry.
    ///
    /// The type gives the meaning of the bytes. For `#[entry(text)]` and `#[entry(bytes)]` of the
    /// derive macro, use [`text`](Self::text) and [`bytes`](Self::bytes).
    #[must_use]
    pub const fn of<T: FieldType>(name: &'static str, offset: usize) -> Self {
        Self::new(name, offset, size_of::<T>(), T::KIND)
    }

    /// Returns a field of `N` bytes of text, `offset` bytes into its entry.
    #[must_use]
    pub const fn text<const N: usize>(name: &'static str, offset: usize) -> Self {
        Self::new(name, offset, N, FieldKind::Text)
    }

    /// Returns a field of type `T`, `offset` bytes into its entry, described by its size and the
    /// type's name only.
    #[must_use]
    pub const fn bytes<T>(name: &'static str, offset: usize, type_name: &'static str) -> Self {
        let size = size_of::<T>();
        Self::new(name, offset, size, FieldKind::Bytes { name: type_name, size })
    }
}
