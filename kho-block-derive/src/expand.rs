//! Writes the implementation, and the checks that need the compiler's knowledge of types.
//!
//! Paths are absolute, so that nothing the user names or leaves out of scope matters. Spans are
//! those of the derive attribute, so that lints know the code for generated; what an error is to
//! point to lends its location. There is no attribute for lints here: it would be an error where the
//! user forbids one. So nothing is repeated that lints could find fault with, such as the types of
//! fields.

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
        // The checks are done here and now, and each by itself. An entry that holds this one does
        // not fail with it.
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

/// The errors, and an implementation that spares the user those that would follow.
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
            // The lifetime keeps the compiler from asking for `Pod` here, where it may be missing.
            for<'workaround> #ident #ty_generics: #krate::bytemuck::Pod,
        {
            const NAME: &'static ::core::primitive::str = "";
            const VERSION: ::core::primitive::u32 = 0;
            const LAYOUT: &'static #krate::EntryLayout = &#krate::EntryLayout::REFUSED;
        }
    }
}

/// An array of `kho_block::Field`. `this` is the struct.
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

/// A closure that takes the field out of the struct, shown where the field's type is.
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

/// The kind of `#[entry(bytes)]`: of arrays, that of the elements. `type_of` is an expression for the
/// type.
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

/// The generics of the implementation: asks of the parameters what the fields need.
///
/// No bound is added for types without a parameter, nor for those that lead back to this type: to
/// prove them would need the implementation that they are a condition of.
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
    // Marks them as generated, for the lint that finds a bound twice.
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

/// The user's own `allow`s and `expect`s, for types that the bounds repeat. Where a lint is forbidden
/// there are none.
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

/// Assertions that there is a name, some size, not too large an alignment, and no padding.
/// `this` is the struct, `fields` a slice of its fields.
fn expand_checks(entry: &Entry<'_>, this: &TokenStream, fields: &TokenStream) -> Vec<TokenStream> {
    let krate = &entry.krate;
    let ident = entry.input.ident.span();
    let mut checks = vec![
        expand_check(
            entry.name.span(),
            &quote!(#krate::__derive::has_name::<#this>()),
            "the name is empty: say what this is, or leave the name out to use the type's",
        ),
        expand_check(
            ident,
            &quote!(::core::mem::size_of::<#this>() != 0),
            "an entry without size can't be stored in a block: add a field",
        ),
        expand_check(
            ident,
            &quote!(::core::mem::align_of::<#this>() <= #krate::abi::MAX_ENTRY_ALIGN),
            "an entry follows a header of 16 bytes: align its fields to at most 16 bytes",
        ),
    ];
    for (index, Field { name, ty, .. }) in entry.fields.iter().enumerate() {
        let message = format!(
            "there is padding before field `{name}`: fill it with a field of its own, or sort the \
             fields by alignment, largest first"
        );
        let condition = quote!(#krate::__derive::begins_at_end(#fields, #index));
        checks.push(expand_check(ty.span(), &condition, &message));
    }
    if let Some(Field { name, ty, .. }) = entry.fields.last() {
        let message = format!(
            "there is padding after field `{name}`, the last one: fill it with a field of its own"
        );
        let condition = quote!(#krate::__derive::ends_at_end::<#this>(#fields));
        checks.push(expand_check(ty.span(), &condition, &message));
    }
    checks
}

/// The error of a check that fails appears at `location`.
fn expand_check(location: Span, condition: &TokenStream, message: &str) -> TokenStream {
    quote_spanned!(at(location)=> ::core::assert!(#condition, #message);)
}

/// The struct's name as if the macro had thought of it: the compiler does not warn of what is
/// deprecated in the code of derive macros.
fn generated_ident(entry: &Entry<'_>) -> Ident {
    let mut ident = entry.input.ident.clone();
    ident.set_span(at(ident.span()));
    ident
}

/// Generated code, to be shown at `location`.
fn at(location: Span) -> Span {
    Span::call_site().located_at(location)
}
