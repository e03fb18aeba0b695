//! Reads the struct and its attributes. What is wrong with an attribute is noted, then parsing
//! goes on: one compile shows all mistakes.

use proc_macro2::{Span, TokenTree};
use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::{
    Attribute, Data, DeriveInput, Error, LitInt, LitStr, Member, Path, Result, Token, Type,
    parenthesized, parse_quote,
};

use crate::Errors;

/// The input, as far as it could be read.
pub(crate) struct Entry<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) name: String,
    pub(crate) version: u32,
    /// Path to `kho_block`.
    pub(crate) krate: Path,
    pub(crate) repr: Repr,
    /// Empty for enums and unions.
    pub(crate) fields: Vec<Field<'a>>,
}

pub(crate) struct Field<'a> {
    pub(crate) member: Member,
    /// The field's name; its index in a tuple struct.
    pub(crate) name: String,
    pub(crate) ty: &'a Type,
    /// `#[entry(text)]` is there.
    pub(crate) text: bool,
}

/// What the `#[repr(…)]` attributes say, as far as it matters here.
#[derive(Default)]
pub(crate) struct Repr {
    /// `C` or `transparent`: the compiler keeps the order of the fields.
    pub(crate) keeps_order: bool,
    /// The largest `align(N)` and the place of its number.
    pub(crate) align: Option<(u64, Span)>,
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
                text: parse_text(&field.attrs, errors),
            })
            .collect(),
        Data::Enum(_) | Data::Union(_) => Vec::new(),
    };
    Entry {
        input,
        name: attrs.name.unwrap_or_else(|| input.ident.unraw().to_string()),
        version: attrs.version.unwrap_or(1),
        krate: attrs.krate.unwrap_or_else(|| parse_quote!(::kho_block)),
        repr: Repr::parse(&input.attrs, errors),
        fields,
    }
}

/// `#[entry(name = "…", version = N, crate = "…")]` on the struct.
#[derive(Default)]
struct EntryAttrs {
    name: Option<String>,
    version: Option<u32>,
    krate: Option<Path>,
}

impl EntryAttrs {
    fn parse(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut this = Self::default();
        for_each_key(attrs, errors, |key| {
            if key.path.is_ident("name") {
                let value = parse_name(key);
                set_once(&mut this.name, value, key)
            } else if key.path.is_ident("version") {
                let value = parse_version(key);
                set_once(&mut this.version, value, key)
            } else if key.path.is_ident("crate") {
                let value = parse_crate(key);
                set_once(&mut this.krate, value, key)
            } else if key.path.is_ident("text") {
                Err(Error::new_spanned(&key.path, "`text` describes a field: put it on one"))
            } else {
                Err(Error::new_spanned(
                    &key.path,
                    "unknown key: an entry has `name`, `version` and `crate`",
                ))
            }
        });
        this
    }
}

fn parse_name(key: &ParseNestedMeta<'_>) -> Result<String> {
    let literal: LitStr = key.value()?.parse()?;
    let name = literal.value();
    if name.is_empty() {
        return Err(Error::new_spanned(
            literal,
            "the name is empty: say what the entry is, or leave `name` out to use the struct's",
        ));
    }
    Ok(name)
}

fn parse_version(key: &ParseNestedMeta<'_>) -> Result<u32> {
    let literal: LitInt = key.value()?.parse()?;
    match literal.base10_parse() {
        Ok(version) if matches!(literal.suffix(), "" | "u32") => Ok(version),
        _ => Err(Error::new_spanned(literal, "a version is a `u32`: 0 to 4294967295")),
    }
}

fn parse_crate(key: &ParseNestedMeta<'_>) -> Result<Path> {
    let literal: LitStr = key.value()?.parse()?;
    literal.parse_with(Path::parse_mod_style).map_err(|_| {
        Error::new_spanned(literal, "this is not a path: write where `kho_block` is, as in `use`")
    })
}

/// `#[entry(text)]` on a field.
fn parse_text(attrs: &[Attribute], errors: &mut Errors) -> bool {
    let mut text = None;
    for_each_key(attrs, errors, |key| {
        if key.path.is_ident("text") {
            set_once(&mut text, Ok(()), key)
        } else {
            Err(Error::new_spanned(&key.path, "unknown key: a field has only `text`"))
        }
    });
    text.is_some()
}

/// Calls `read` for each key in the `#[entry(…)]` attributes and goes on after an error.
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
        return Err(Error::new_spanned(&key.path, "this key is there twice: keep one of them"));
    }
    *slot = Some(value);
    Ok(())
}

/// Up to the comma before the next key.
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
                    let content;
                    parenthesized!(content in key.input);
                    let literal: LitInt = content.parse()?;
                    let align = literal.base10_parse()?;
                    if this.align.is_none_or(|(largest, _)| align > largest) {
                        this.align = Some((align, literal.span()));
                    }
                }
                // `packed`, and what the compiler itself refuses.
                skip_value(key.input)
            });
            errors.extend(parsed);
        }
        this
    }
}
