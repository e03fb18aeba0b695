//! Entries: plain data whose layout is known.

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
/// The trait can be implemented by hand, for a type that another macro makes, or that is not laid
/// out as its fields say. [`EntryLayout::of`] makes the layout from a [`Field`] for each field, in
/// order. The last line below checks the layout when the crate is compiled, not only where it is
/// first used.
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
/// // What the macro makes of it is equal.
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
/// No unsafe code relies on what an implementation says of itself, only on [`Pod`], and on the size
/// and alignment that the compiler knows.
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

    /// Version of the entry's meaning. Its author raises it when bytes come to mean something else.
    const VERSION: u32;

    /// Layout of the entry, field by field.
    const LAYOUT: &'static EntryLayout;
}

/// Size, alignment and fields of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EntryLayout {
    /// Name of the entry.
    pub name: &'static str,
    /// Version of the entry's meaning.
    pub version: u32,
    /// Size in bytes, which is the distance between entries in a block.
    pub size: usize,
    /// Alignment in bytes, from 1 to 16.
    pub align: usize,
    /// Fields in the order of their offsets, without gaps.
    pub fields: &'static [Field],
    /// Hash of the name, version, size, alignment and fields. Two layouts with the same fingerprint
    /// are almost certainly equal. It guards against mistakes, not against malice.
    ///
    /// Entries of a nested set count by name and version only: raise their version with every
    /// change, or compare their fingerprint as well.
    pub fingerprint: u64,
}

/// A field of an entry: its name, its place, and what its bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Field {
    /// Name of the field, or its index in a tuple struct.
    pub name: &'static str,
    /// Offset from the start of the entry, in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
    /// What the bytes mean.
    pub kind: FieldKind,
}

/// What the bytes of a field mean. Numbers are in the byte order of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldKind {
    /// An unsigned integer of the field's size.
    Unsigned,
    /// A signed integer of the field's size, two's complement.
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
    /// The head of a set. Has the name and version of the set's entries and not their layout, so
    /// that entries may nest in themselves.
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
            `SetHead<T>`, `PhantomData<T>` and other entries",
    note = "a struct of your own: derive `Entry` for it",
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
    /// Stands in for the layout of a struct that the derive macro rejected, so that entries that
    /// hold it compile.
    #[doc(hidden)]
    pub const REFUSED: Self =
        Self { name: "", version: 0, size: 0, align: 1, fields: &[], fingerprint: 0 };

    /// Returns the layout of the entry `T` with these fields.
    ///
    /// # Panics
    /// The fields do not follow one another from the first byte of `T` to its last, `T` has no
    /// size, or it is aligned to more than 16 bytes. In a constant that is a compile error.
    #[must_use]
    pub const fn of<T: Entry>(fields: &'static [Field]) -> Self {
        assert!(size_of::<T>() != 0, "an entry without size can't be stored in a block");
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
    /// Returns a field of `size` bytes, `offset` bytes into its entry, whose bytes mean `kind`.
    #[must_use]
    pub const fn new(name: &'static str, offset: usize, size: usize, kind: FieldKind) -> Self {
        Self { name, offset, size, kind }
    }

    /// Returns a field of type `T`, `offset` bytes into its entry.
    ///
    /// The type says what the bytes mean. For `#[entry(text)]` and `#[entry(bytes)]` of the derive
    /// macro, use [`text`](Self::text) and [`bytes`](Self::bytes).
    #[must_use]
    pub const fn of<T: FieldType>(name: &'static str, offset: usize) -> Self {
        Self::new(name, offset, size_of::<T>(), T::KIND)
    }

    /// Returns a field of `N` bytes of text, `offset` bytes into its entry.
    #[must_use]
    pub const fn text<const N: usize>(name: &'static str, offset: usize) -> Self {
        Self::new(name, offset, N, FieldKind::Text)
    }

    /// Returns a field of type `T`, `offset` bytes into its entry, of which only the size and the
    /// type's name are known.
    #[must_use]
    pub const fn bytes<T>(name: &'static str, offset: usize, type_name: &'static str) -> Self {
        let size = size_of::<T>();
        Self::new(name, offset, size, FieldKind::Bytes { name: type_name, size })
    }
}
