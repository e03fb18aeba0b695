//! Functions for the code that `derive(Entry)` generates. Do not use them elsewhere: they change
//! without notice.
//!
//! The macro does not repeat the type of a field, which may be deprecated, come from another macro
//! or mention a const parameter. Instead it generates a closure that takes the field out of the
//! struct, from which the compiler infers the type. No such closure is ever called.

use core::marker::PhantomData;

use super::{Entry, EntryLayout, Field, FieldKind, FieldType};

/// A stand-in for a type that is inferred from an argument.
pub type Type<T> = PhantomData<T>;

/// A type that can hold text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't hold text",
    label = "not an array of bytes",
    note = "`#[entry(text)]` is for bytes of UTF-8: make this field a `[u8; N]`, or leave `text` out"
)]
pub trait Text {}

impl<const N: usize> Text for [u8; N] {}

/// A field whose offset is not known yet.
#[derive(Clone, Copy)]
pub struct Unplaced {
    field: Field,
    align: usize,
}

/// Returns the type of a field of `S`.
#[must_use]
pub const fn type_of<S, T>(_: fn(S) -> T) -> Type<T> {
    PhantomData
}

/// Returns the type of an array's elements.
#[must_use]
pub const fn element<T, const N: usize>(_: Type<[T; N]>) -> Type<T> {
    PhantomData
}

/// Returns the number of elements in an array.
#[must_use]
pub const fn len<T, const N: usize>(_: Type<[T; N]>) -> usize {
    N
}

/// Describes a field whose type gives the meaning of its bytes.
#[must_use]
pub const fn field<S, T: FieldType>(name: &'static str, take: fn(S) -> T) -> Unplaced {
    unplaced(name, type_of(take), T::KIND)
}

/// Describes a field of text.
#[must_use]
pub const fn text<S, T: Text>(name: &'static str, take: fn(S) -> T) -> Unplaced {
    unplaced(name, type_of(take), FieldKind::Text)
}

/// Describes a field of any type, of the given kind.
#[must_use]
pub const fn unplaced<T>(name: &'static str, _: Type<T>, kind: FieldKind) -> Unplaced {
    let field = Field { name, offset: 0, size: size_of::<T>(), kind };
    Unplaced { field, align: align_of::<T>() }
}

/// Returns the kind of a field whose bytes belong to a type called `name`.
#[must_use]
pub const fn bytes<T>(name: &'static str, _: Type<T>) -> FieldKind {
    assert!(!name.is_empty(), "the name is empty: give the type of the bytes a name");
    FieldKind::Bytes { name, size: size_of::<T>() }
}

/// Returns the fields with the offsets that C gives them, aligned to at most `packed`.
///
/// The offsets are right if there is no padding, which the macro checks with [`begins_at_end`] and
/// [`ends_at_end`]. `offset_of!` would do as well, but warns of deprecated fields.
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

/// Returns whether there is no padding before the field with this index.
#[must_use]
pub const fn begins_at_end(fields: &[Field], index: usize) -> bool {
    let end = match index {
        0 => 0,
        _ => fields[index - 1].offset + fields[index - 1].size,
    };
    fields[index].offset == end
}

/// Returns whether there is no padding after the last field.
#[must_use]
pub const fn ends_at_end<S>(fields: &[Field]) -> bool {
    match fields.last() {
        Some(last) => last.offset + last.size == size_of::<S>(),
        None => size_of::<S>() == 0,
    }
}

/// Returns whether the entry has a name.
#[must_use]
pub const fn has_name<T: Entry>() -> bool {
    !T::NAME.is_empty()
}

/// Returns the layout of `T` without checks. The macro generates its own, which point to the
/// mistake.
#[must_use]
pub const fn layout<T: Entry>(fields: &'static [Field]) -> EntryLayout {
    EntryLayout::unchecked::<T>(fields)
}
