//! Reads the struct and its attributes. Parsing continues after an error in an attribute, so that
//! one compilation reports all mistakes.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::{
    Attribute, Data, DeriveInput, Error, LitInt, Member, Path, Result, Token, Type, parenthesized,
    parse_quote,
};

use crate::Errors;
use crate::value::{parse_crate, parse_name, parse_version};

/// The struct that the macro is on, as far as it could be read.
pub(crate) struct Entry<'a> {
    pub(crate) input: &'a DeriveInput,
    /// Name of the entry: an expression of type `&'static str`.
    pub(crate) name: TokenStream,
    /// Version of the entry: an expression of type `u32`.
    pub(crate) version: TokenStream,
    /// Path of `kho_block`.
    pub(crate) krate: Path,
    pub(crate) repr: Repr,
    /// The fields; none for enums and unions.
    pub(crate) fields: Vec<Field<'a>>,
}

impl Entry<'_> {
    pub(crate) fn is_generic(&self) -> bool {
        !self.input.generics.params.is_empty()
    }
}

pub(crate) struct Field<'a> {
    pub(crate) member: Member,
    /// Name of the field; in a tuple struct its index.
    pub(crate) name: String,
    pub(crate) ty: &'a Type,
    pub(crate) meaning: Meaning,
}

/// The source of a field's meaning: its type, or an attribute.
pub(crate) enum Meaning {
    /// The type of the field.
    Type,
    /// `#[entry(text)]`.
    Text,
    /// `#[entry(bytes)]`, with an expression for the name of the type if one is given.
    Bytes(Option<TokenStream>),
}

/// The parts of the `#[repr(…)]` attributes that matter here.
#[derive(Default)]
pub(crate) struct Repr {
    /// Whether the struct is `C` or `transparent`, so that the compiler keeps the order of the
    /// fields.
    pub(crate) keeps_order: bool,
    /// The largest `align(N)`, and where its number is.
    pub(crate) align: Option<(u64, Span)>,
    /// The `N` of `packed(N)`: the largest alignment of a field.
    pub(crate) packed: Option<u64>,
}

pub(crate) fn parse<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Entry<'a> {
    let attrs = EntryAttrs::parse(&input.attrs, errors);
    let fields = match &input.data {
        Data::Struct(data) => data
            .fields
            .members()
            .zip(&data.fields)
            .map(|(member, field)| Field {
                name: match &member {
                    Member::Named(ident) => ident.unraw().to_string(),
                    Member::Unnamed(index) => index.index.to_string(),
                },
                member,
                ty: &field.ty,
                meaning: parse_meaning(&field.attrs, errors),
            })
            .collect(),
        Data::Enum(_) | Data::Union(_) => Vec::new(),
    };
    Entry {
        input,
        name: attrs.name.unwrap_or_else(|| {
            let name = input.ident.unraw().to_string();
            parse_quote!(#name)
        }),
        version: attrs.version.unwrap_or_else(|| parse_quote!(1)),
        krate: attrs.krate.unwrap_or_else(|| parse_quote!(::kho_block)),
        repr: Repr::parse(&input.attrs, errors),
        fields,
    }
}

/// The values of `#[entry(name = "…", version = N, crate = path)]` on the struct.
#[derive(Default)]
struct EntryAttrs {
    name: Option<TokenStream>,
    version: Option<TokenStream>,
    krate: Option<Path>,
}

impl EntryAttrs {
    fn parse(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut this = Self::default();
        for_each_key(attrs, errors, |key| {
            if key.path.is_ident("name") {
                let value = parse_name(key.value()?);
                set_once(&mut this.name, value, key)
            } else if key.path.is_ident("version") {
                let value = parse_version(key.value()?);
                set_once(&mut this.version, value, key)
            } else if key.path.is_ident("crate") {
                let value = parse_crate(key.value()?);
                set_once(&mut this.krate, value, key)
            } else if key.path.is_ident("text") || key.path.is_ident("bytes") {
                Err(Error::new_spanned(&key.path, "this key describes a field: move it to one"))
            } else {
                Err(Error::new_spanned(
                    &key.path,
                    "unknown key: expected `name`, `version` or `crate`",
                ))
            }
        });
        this
    }
}

/// Reads `#[entry(text)]` or `#[entry(bytes)]` on a field.
fn parse_meaning(attrs: &[Attribute], errors: &mut Errors) -> Meaning {
    let mut text = None;
    let mut bytes = None;
    for_each_key(attrs, errors, |key| {
        if key.path.is_ident("text") {
            set_once(&mut text, Ok(()), key)?;
        } else if key.path.is_ident("bytes") {
            let has_name = key.input.peek(Token![=]);
            let name = has_name.then(|| parse_name(key.value()?)).transpose();
            set_once(&mut bytes, name, key)?;
        } else {
            return Err(Error::new_spanned(&key.path, "unknown key: expected `text` or `bytes`"));
        }
        if text.is_some() && bytes.is_some() {
            return Err(Error::new_spanned(
                &key.path,
                "a field can't be both `text` and `bytes`: keep one of them",
            ));
        }
        Ok(())
    });
    match (text, bytes) {
        (_, Some(name)) => Meaning::Bytes(name),
        (Some(()), None) => Meaning::Text,
        (None, None) => Meaning::Type,
    }
}

/// Calls `read` for each key in the `#[entry(…)]` attributes, and continues after an error.
fn for_each_key(
    attrs: &[Attribute],
    errors: &mut Errors,
    mut read: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>,
) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("entry")) {
        let parsed = attr.parse_nested_meta(|key| {
            if let Err(error) = read(&key) {
                errors.push(error);
                skip_value(key.input)?;
            }
            Ok(())
        });
        errors.extend(parsed);
    }
}

fn set_once<T>(slot: &mut Option<T>, value: Result<T>, key: &ParseNestedMeta<'_>) -> Result<()> {
    let value = value?;
    if slot.is_some() {
        return Err(Error::new_spanned(&key.path, "duplicate key: keep one of them"));
    }
    *slot = Some(value);
    Ok(())
}

/// Skips everything up to the comma before the next key.
fn skip_value(input: ParseStream<'_>) -> Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

impl Repr {
    fn parse(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut this = Self::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
            let parsed = attr.parse_nested_meta(|key| {
                if key.path.is_ident("C") || key.path.is_ident("transparent") {
                    this.keeps_order = true;
                } else if key.path.is_ident("align") {
                    let literal = parse_number(key.input)?;
                    let align = literal.base10_parse()?;
                    if this.align.is_none_or(|(largest, _)| align > largest) {
                        this.align = Some((align, literal.span()));
                    }
                } else if key.path.is_ident("packed") {
                    let has_number = !key.input.is_empty() && !key.input.peek(Token![,]);
                    this.packed = Some(match has_number {
                        true => parse_number(key.input)?.base10_parse()?,
                        false => 1,
                    });
                }
                // If the rest is wrong, the compiler says so itself.
                skip_value(key.input)
            });
            errors.extend(parsed);
        }
        this
    }
}

/// Reads `(N)`.
fn parse_number(input: ParseStream<'_>) -> Result<LitInt> {
    let content;
    parenthesized!(content in input);
    content.parse()
}
