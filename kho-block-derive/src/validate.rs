//! Rejects mistakes that the tokens alone show. The code that `expand` writes rejects the rest:
//! padding, types that are not `FieldType`s, an alignment that comes from a field.

use quote::ToTokens as _;
use syn::{Data, Error, GenericParam, Generics, Type, TypePath};

use crate::Errors;
use crate::parse::{Entry, Field, Meaning};
use crate::tokens::{mentions, type_name_of};

/// The largest alignment of an entry: the size of the header before the first one.
const MAX_ALIGN: u64 = 16;

pub(crate) fn validate(entry: &Entry<'_>, errors: &mut Errors) {
    match &entry.input.data {
        Data::Struct(_) => validate_struct(entry, errors),
        Data::Enum(data) => errors.push(Error::new_spanned(
            data.enum_token,
            "an enum can't be an entry, since not every bit pattern is valid: use a struct with the \
             discriminant as an integer",
        )),
        Data::Union(data) => errors.push(Error::new_spanned(
            data.union_token,
            "a union can't be an entry, since nothing says what its bytes mean: use a struct",
        )),
    }
}

fn validate_struct(entry: &Entry<'_>, errors: &mut Errors) {
    let ident = &entry.input.ident;
    if !entry.repr.keeps_order {
        errors.push(Error::new_spanned(
            ident,
            "the compiler may reorder the fields of this struct: add `#[repr(C)]`, or \
             `#[repr(transparent)]` if it has one field",
        ));
    }
    if let Some((align, span)) = entry.repr.align {
        if align > MAX_ALIGN {
            errors.push(Error::new(
                span,
                "an entry follows a header of 16 bytes, so it can't be aligned to more than 16",
            ));
        }
    }
    if entry.fields.is_empty() {
        errors.push(Error::new_spanned(
            ident,
            "a struct of size 0 can't be stored in a block: add a field",
        ));
    }
    let mut refused = Vec::new();
    for field in &entry.fields {
        if let Err(error) = validate_type(field.ty) {
            errors.push(error);
            refused.push(field.ty);
        } else if let Err(error) = validate_bytes(field, &entry.input.generics) {
            errors.push(error);
        }
    }
    for param in &entry.input.generics.params {
        if let GenericParam::Lifetime(param) = param {
            let lifetime = &param.lifetime;
            // If a field borrows, that is the mistake, and the lifetime only follows from it.
            let is_reported = refused
                .iter()
                .any(|ty| mentions(ty.to_token_stream(), &|ident| *ident == lifetime.ident));
            if !is_reported {
                errors.push(Error::new_spanned(
                    lifetime,
                    "an entry can't borrow, since it outlives the kernel that wrote it: store values",
                ));
            }
        }
    }
}

/// Checks that the type of a field of bytes has a name, or the attribute gives one.
fn validate_bytes(field: &Field<'_>, generics: &Generics) -> syn::Result<()> {
    let is_named = match (&field.meaning, type_name_of(field.ty)) {
        (Meaning::Bytes(None), Some(name)) => {
            !generics.type_params().any(|param| param.ident == name)
        }
        (Meaning::Bytes(None), None) => false,
        _ => true,
    };
    match is_named {
        true => Ok(()),
        false => Err(Error::new_spanned(
            field.ty,
            "this type has no name: give it one with `#[entry(bytes = \"…\")]`",
        )),
    }
}

/// Rejects types by their name or form, for better messages. A name may be an alias, so the bound
/// `FieldType` has the last word.
fn validate_type(ty: &Type) -> syn::Result<()> {
    let message = match ty {
        Type::Array(array) => return validate_type(&array.elem),
        Type::Group(group) => return validate_type(&group.elem),
        Type::Paren(paren) => return validate_type(&paren.elem),
        Type::Reference(_) | Type::Ptr(_) | Type::FnPtr(_) => {
            "a pointer is meaningless in the successor: store the value, or a `PhysAddr` or \
             `SetHead<T>` that leads to it"
        }
        Type::Slice(_) | Type::TraitObject(_) => UNSIZED,
        Type::Tuple(tuple) if !tuple.elems.is_empty() => {
            "the layout of a tuple is not fixed: use a struct that derives `Entry`"
        }
        Type::Path(path) => match ident_of(path).as_deref() {
            Some("usize") => "the size of `usize` differs between machines: use `u64`",
            Some("isize") => "the size of `isize` differs between machines: use `i64`",
            Some("bool") => "not every byte is a valid `bool`: use `u8`, with 0 for false",
            Some("char") => "not every number is a valid `char`: use `u32` and `char::from_u32`",
            Some("str") => UNSIZED,
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(Error::new_spanned(ty, message))
}

const UNSIZED: &str =
    "an entry has a fixed size: use an array, or a `SetHead<T>` that leads to a set";

fn ident_of(path: &TypePath) -> Option<String> {
    path.path.get_ident().filter(|_| path.qself.is_none()).map(ToString::to_string)
}
