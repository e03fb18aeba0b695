//! Writes the implementation, and the checks that need the types, which only the compiler knows.
//!
//! Paths are absolute, so they do not depend on the scope in which the macro is used. Spans are
//! those of the derive attribute, by which lints recognise generated code; for errors they take the
//! location of the tokens at fault. The code has no `#[allow]`, which would be an error if the user
//! forbids the lint. Instead it repeats nothing that a lint could complain about, such as the types
//! of fields.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Data, Error, GenericParam, Generics, Member, Token, Type, parse_quote};

use crate::parse::{Entry, Field, Meaning};
use crate::tokens::{mentions, type_name_of};

pub(crate) fn expand(entry: &Entry<'_>) -> TokenStream {
    let krate = &entry.krate;
    let generics = with_bounds(entry);
    if entry.is_generic() {
        let checks = expand_checks(entry, &quote!(Self), &quote!(__fields));
        let fields = expand_fields(entry, &quote!(Self));
        let layout = quote! {{
            let __fields: &'static [#krate::Field] = const { &#fields };
            #(#checks)*
            &#krate::__derive::layout::<Self>(__fields)
        }};
        let lints = lints_of_user(entry);
        let implementation = expand_impl(entry, &generics, &layout);
        quote!(#(#lints)* #implementation)
    } else {
        // Each check is a constant of its own, evaluated here. If one fails, only this entry is at
        // fault, and not those that contain it.
        let ident = generated_ident(entry);
        let checks = expand_checks(entry, &quote!(#ident), &quote!(__FIELDS));
        let fields = expand_fields(entry, &quote!(#ident));
        let layout = quote!(&#krate::__derive::layout::<Self>(__FIELDS));
        let implementation = expand_impl(entry, &generics, &layout);
        quote! {
            const _: () = {
                const __FIELDS: &[#krate::Field] = &#fields;
                #implementation
                #(const _: () = { #checks };)*
            };
        }
    }
}

fn expand_impl(entry: &Entry<'_>, generics: &Generics, layout: &TokenStream) -> TokenStream {
    let Entry { name, version, krate, .. } = entry;
    let ident = generated_ident(entry);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::Entry for #ident #ty_generics #where_clause {
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: ::core::primitive::u32 = #version;
            const LAYOUT: &'static #krate::EntryLayout = #layout;
        }
    }
}

/// Writes the errors, and an implementation that prevents errors that would only follow from them.
pub(crate) fn fallback(entry: &Entry<'_>, errors: &Error) -> TokenStream {
    let Entry { input, krate, .. } = entry;
    let ident = generated_ident(entry);
    let errors = errors.to_compile_error();
    let (impl_generics, ty_generics, where_clause) = input.generics.split_for_impl();
    let predicates = where_clause.map(|clause| &clause.predicates).into_iter().flatten();
    quote! {
        #errors

        #[automatically_derived]
        impl #impl_generics #krate::Entry for #ident #ty_generics
        where
            #(#predicates,)*
            // With a lifetime, the compiler does not check here that there is a `Pod`.
            for<'workaround> #ident #ty_generics: #krate::bytemuck::Pod,
        {
            const NAME: &'static ::core::primitive::str = "";
            const VERSION: ::core::primitive::u32 = 0;
            const LAYOUT: &'static #krate::EntryLayout = &#krate::EntryLayout::REFUSED;
        }
    }
}

/// Writes an array of `kho_block::Field`. `this` is the struct.
fn expand_fields(entry: &Entry<'_>, this: &TokenStream) -> TokenStream {
    let krate = &entry.krate;
    let fields = entry.fields.iter().map(|field| expand_field(entry, field, this));
    let packed = match entry.repr.packed {
        Some(packed) => quote!(#packed as ::core::primitive::usize),
        None => quote!(::core::primitive::usize::MAX),
    };
    quote!(#krate::__derive::place(#packed, [#(#fields),*]))
}

fn expand_field(entry: &Entry<'_>, field: &Field<'_>, this: &TokenStream) -> TokenStream {
    let krate = &entry.krate;
    let Field { name, ty, meaning, .. } = field;
    let take = expand_take(field, this);
    match meaning {
        Meaning::Type => quote!(#krate::__derive::field(#name, #take)),
        Meaning::Text => quote!(#krate::__derive::text(#name, #take)),
        Meaning::Bytes(type_name) => {
            let type_name =
                type_name.clone().or_else(|| type_name_of(ty).map(|name| quote!(#name)));
            let type_of_field = quote!(#krate::__derive::type_of(#take));
            let kind = expand_kind(entry, ty, &type_of_field, &type_name.unwrap_or_default());
            quote!(#krate::__derive::unplaced(#name, #type_of_field, #kind))
        }
    }
}

/// Writes a closure that takes the field out of the struct, located at the field's type.
fn expand_take(field: &Field<'_>, this: &TokenStream) -> TokenStream {
    let last = field.ty.to_token_stream().into_iter().last();
    let end = at(last.map_or_else(|| field.ty.span(), |token| token.span()));
    let mut member = field.member.clone();
    match &mut member {
        Member::Named(ident) => ident.set_span(end),
        Member::Unnamed(index) => index.span = end,
    }
    quote_spanned!(at(field.ty.span())=> |__entry: #this| __entry.#member)
}

/// Writes the kind of an `#[entry(bytes)]` field, which may be an array. `type_of` is an expression
/// for the type.
fn expand_kind(
    entry: &Entry<'_>,
    ty: &Type,
    type_of: &TokenStream,
    name: &TokenStream,
) -> TokenStream {
    let krate = &entry.krate;
    match ty {
        Type::Array(array) => {
            let type_of_element = quote!(#krate::__derive::element(#type_of));
            let element = expand_kind(entry, &array.elem, &type_of_element, name);
            quote! {
                #krate::FieldKind::Array {
                    element: const { &#element },
                    len: #krate::__derive::len(#type_of),
                }
            }
        }
        Type::Group(group) => expand_kind(entry, &group.elem, type_of, name),
        Type::Paren(paren) => expand_kind(entry, &paren.elem, type_of, name),
        _ => quote!(#krate::__derive::bytes(#name, #type_of)),
    }
}

/// Returns the generics of the implementation, with a bound for each field that has a parameter.
///
/// Types that lead back to this struct get no bound: it could only be proven by the implementation
/// that it is a condition of.
fn with_bounds(entry: &Entry<'_>) -> Generics {
    let Entry { input, krate, fields, .. } = entry;
    let mut generics = input.generics.clone();
    if !entry.is_generic() {
        return generics;
    }
    let params: HashSet<&Ident> = input.generics.params.iter().filter_map(name_of).collect();
    let predicates = &mut generics.make_where_clause().predicates;
    for field in fields.iter().filter(|field| matches!(field.meaning, Meaning::Type)) {
        let ty = field.ty;
        let has_param = mentions(ty.to_token_stream(), &|ident| params.contains(ident));
        let is_recursive =
            mentions(ty.to_token_stream(), &|ident| ident == "Self" || *ident == input.ident);
        if has_param && !is_recursive {
            predicates.push(parse_quote!(#ty: #krate::FieldType));
        }
    }
    predicates.push(parse_quote!(Self: #krate::bytemuck::Pod));
    // Marks them as generated for the lint against duplicate bounds.
    generics.lt_token = Some(Token![<](Span::call_site()));
    generics.gt_token = Some(Token![>](Span::call_site()));
    generics
}

fn name_of(param: &GenericParam) -> Option<&Ident> {
    match param {
        GenericParam::Type(param) => Some(&param.ident),
        GenericParam::Const(param) => Some(&param.ident),
        GenericParam::Lifetime(_) => None,
    }
}

/// Returns the user's own `allow`s and `expect`s, for the types that the bounds repeat. A forbidden
/// lint has none.
fn lints_of_user(entry: &Entry<'_>) -> Vec<TokenStream> {
    let of_fields = match &entry.input.data {
        Data::Struct(data) => data.fields.iter().flat_map(|field| &field.attrs).collect(),
        Data::Enum(_) | Data::Union(_) => Vec::new(),
    };
    let is_allow =
        |attr: &&Attribute| attr.path().is_ident("allow") || attr.path().is_ident("expect");
    let lists = entry.input.attrs.iter().chain(of_fields).filter(is_allow);
    lists
        .filter_map(|attr| attr.meta.require_list().ok())
        .map(|list| {
            let lints = &list.tokens;
            quote!(#[allow(#lints)])
        })
        .collect()
}

/// Writes assertions that the name is not empty, and that the struct has bytes, no padding, and no
/// alignment over 16.
/// `this` is the struct, `fields` a slice of its fields.
fn expand_checks(entry: &Entry<'_>, this: &TokenStream, fields: &TokenStream) -> Vec<TokenStream> {
    let krate = &entry.krate;
    let ident = entry.input.ident.span();
    let mut checks = vec![
        expand_check(
            entry.name.span(),
            &quote!(#krate::__derive::has_name::<#this>()),
            "the name is empty: give one, or leave it out to use the name of the type",
        ),
        expand_check(
            ident,
            &quote!(::core::mem::size_of::<#this>() != 0),
            "a struct of size 0 can't be stored in a block: add a field",
        ),
        expand_check(
            ident,
            &quote!(::core::mem::align_of::<#this>() <= #krate::abi::MAX_ENTRY_ALIGN),
            "an entry follows a header of 16 bytes, so it can't be aligned to more than 16",
        ),
    ];
    for (index, Field { name, ty, .. }) in entry.fields.iter().enumerate() {
        let message = format!(
            "there is padding before field `{name}`: put a field in its place, or order the fields \
             by alignment, largest first"
        );
        let condition = quote!(#krate::__derive::begins_at_end(#fields, #index));
        checks.push(expand_check(ty.span(), &condition, &message));
    }
    if let Some(Field { name, ty, .. }) = entry.fields.last() {
        let message =
            format!("there is padding after `{name}`, the last field: put a field in its place");
        let condition = quote!(#krate::__derive::ends_at_end::<#this>(#fields));
        checks.push(expand_check(ty.span(), &condition, &message));
    }
    checks
}

/// Writes an assertion whose failure is reported at `location`.
fn expand_check(location: Span, condition: &TokenStream, message: &str) -> TokenStream {
    quote_spanned!(at(location)=> ::core::assert!(#condition, #message);)
}

/// Returns the struct's name with the span of generated code, in which the compiler does not warn
/// of deprecated items.
fn generated_ident(entry: &Entry<'_>) -> Ident {
    let mut ident = entry.input.ident.clone();
    ident.set_span(at(ident.span()));
    ident
}

/// Returns the span of generated code, located at `location`.
fn at(location: Span) -> Span {
    Span::call_site().located_at(location)
}
