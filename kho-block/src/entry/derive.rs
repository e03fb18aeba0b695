//! What the code that `derive(Entry)` writes calls. Not for anyone else: it changes without notice.
//!
//! The macro does not repeat the types of fields, which may be deprecated, come from another macro
//! or mention a const parameter: it writes a closure that takes the field out of the struct, and the
//! types follow from that. No such closure is ever called.

use core::marker::PhantomData;

use super::{Entry, EntryLayout, Field, FieldKind, FieldType};

/// A type that follows from an argument.
pub type Type<T> = PhantomData<T>;

/// A type that text may be stored in.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't hold text",
    label = "not an array of bytes",
    note = "`#[entry(text)]` is for bytes of UTF-8: make this field a `[u8; N]`, or leave `text` out"
)]
pub trait Text {}

impl<const N: usize> Text for [u8; N] {}

/// A field whose place is not known yet.
#[derive(Clone, Copy)]
pub struct Unplaced {
    field: Field,
    align: usize,
}

/// The type of a field of `S`.
#[must_use]
pub const fn type_of<S, T>(_: fn(S) -> T) -> Type<T> {
    PhantomData
}

/// The type of an array's elements.
#[must_use]
pub const fn element<T, const N: usize>(_: Type<[T; N]>) -> Type<T> {
    PhantomData
}

/// The number of an array's elements.
#[must_use]
pub const fn len<T, const N: usize>(_: Type<[T; N]>) -> usize {
    N
}

/// A field of a type that tells itself what it means.
#[must_use]
pub const fn field<S, T: FieldType>(name: &'static str, take: fn(S) -> T) -> Unplaced {
    unplaced(name, type_of(take), T::KIND)
}

/// A field of text.
#[must_use]
pub const fn text<S, T: Text>(name: &'static str, take: fn(S) -> T) -> Unplaced {
    unplaced(name, type_of(take), FieldKind::Text)
}

/// A field of any type, which means `kind`.
#[must_use]
pub const fn unplaced<T>(name: &'static str, _: Type<T>, kind: FieldKind) -> Unplaced {
    let field = Field { name, offset: 0, size: size_of::<T>(), kind };
    Unplaced { field, align: align_of::<T>() }
}

/// The kind of a field whose bytes belong to a type called `name`.
#[must_use]
pub const fn bytes<T>(name: &'static str, _: Type<T>) -> FieldKind {
    assert!(!name.is_empty(), "the name is empty: say what the bytes are");
    FieldKind::Bytes { name, size: size_of::<T>() }
}

/// The fields at the places where C puts them, aligned to at most `packed`.
///
/// That is where they are if there is no padding, which the macro checks with [`begins_at_end`] and
/// [`ends_at_end`]. `offset_of!` would tell as well, but warns of a field that is deprecated.
#[must_use]
pub const fn place<const N: usize>(packed: usize, unplaced: [Unplaced; N]) -> [Field; N] {
    let mut fields = [Field { name: "", offset: 0, size: 0, kind: FieldKind::Nothing }; N];
    let mut end = 0_usize;
    let mut i = 0;
    while i < N {
        let Unplaced { mut field, align } = unplaced[i];
        field.offset = end.next_multiple_of(if align < packed { align } else { packed });
        end = field.offset + field.size;
        fields[i] = field;
        i += 1;
    }
    fields
}

/// Whether there is no padding before the field with this index.
#[must_use]
pub const fn begins_at_end(fields: &[Field], index: usize) -> bool {
    let end = match index {
        0 => 0,
        _ => fields[index - 1].offset + fields[index - 1].size,
    };
    fields[index].offset == end
}

/// Whether there is no padding after the last field.
#[must_use]
pub const fn ends_at_end<S>(fields: &[Field]) -> bool {
    match fields.last() {
        Some(last) => last.offset + last.size == size_of::<S>(),
        None => size_of::<S>() == 0,
    }
}

/// Whether the entry has a name.
#[must_use]
pub const fn has_name<T: Entry>() -> bool {
    !T::NAME.is_empty()
}

/// The layout of `T`, which the macro has checked in a way that points to the mistake.
#[must_use]
pub const fn layout<T: Entry>(fields: &'static [Field]) -> EntryLayout {
    EntryLayout::unchecked::<T>(fields)
}
