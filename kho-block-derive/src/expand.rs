//! Writes the implementation, and the checks that need the compiler's knowledge of types.
//!
//! Paths are absolute, so that nothing the user names or leaves out of scope matters. Spans are
//! those of the derive attribute, so that lints know the code for generated; the checks borrow no
//! more than the location of a field.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, GenericParam, Generics, parse_quote};

use crate::parse::{Entry, Field};
use crate::validate::text_len;

pub(crate) fn expand(entry: &Entry<'_>) -> TokenStream {
    let Entry { input, name, version, krate, fields, .. } = entry;
    let ident = &input.ident;
    let allow = allow();
    let generics = with_bounds(entry);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let checks = expand_checks(entry);
    let fields = fields.iter().map(|field| expand_field(entry, field));
    // Without parameters the checks are done here and now, and not where the layout is first used.
    let evaluate = input.generics.params.is_empty().then(|| {
        quote! {
            #allow
            const _: &#krate::EntryLayout = <#ident as #krate::Entry>::LAYOUT;
        }
    });
    quote! {
        #[automatically_derived]
        #allow
        impl #impl_generics #krate::Entry for #ident #ty_generics #where_clause {
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: ::core::primitive::u32 = #version;
            const LAYOUT: &'static #krate::EntryLayout = {
                #checks
                &#krate::EntryLayout::of::<Self>(const { &[#(#fields),*] })
            };
        }
        #evaluate
    }
}

/// The errors, and an implementation that spares the user those that would follow.
pub(crate) fn fallback(entry: &Entry<'_>, errors: &Error) -> TokenStream {
    let Entry { input, krate, .. } = entry;
    let ident = &input.ident;
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

fn expand_field(entry: &Entry<'_>, field: &Field<'_>) -> TokenStream {
    let krate = &entry.krate;
    let Field { member, name, ty, .. } = field;
    let offset = quote!(::core::mem::offset_of!(Self, #member));
    match text_len(ty).filter(|_| field.text) {
        Some(len) => quote!(#krate::Field::text::<{ #len }>(#name, #offset)),
        None => quote!(#krate::Field::of::<#ty>(#name, #offset)),
    }
}

/// The generics of the implementation: asks of the parameters what the fields need.
///
/// No bound is added for types without a parameter, nor for those that lead back to this type: to
/// prove them would need the implementation that they are a condition of.
fn with_bounds(entry: &Entry<'_>) -> Generics {
    let Entry { input, krate, fields, .. } = entry;
    let mut generics = input.generics.clone();
    if generics.params.is_empty() {
        return generics;
    }
    let params: HashSet<Ident> = generics
        .params
        .iter()
        .filter_map(|param| match param {
            GenericParam::Type(param) => Some(param.ident.clone()),
            GenericParam::Const(param) => Some(param.ident.clone()),
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    let predicates = &mut generics.make_where_clause().predicates;
    for field in fields.iter().filter(|field| !field.text) {
        let ty = field.ty;
        let has_param = mentions(ty.to_token_stream(), &|ident| params.contains(ident));
        let is_recursive =
            mentions(ty.to_token_stream(), &|ident| ident == "Self" || *ident == input.ident);
        if has_param && !is_recursive {
            predicates.push(parse_quote!(#ty: #krate::FieldType));
        }
    }
    predicates.push(parse_quote!(Self: #krate::bytemuck::Pod));
    generics
}

/// Assertions that there is no padding, some size, and not too large an alignment.
///
/// `EntryLayout::of` asserts the same, but can't point to the field.
fn expand_checks(entry: &Entry<'_>) -> TokenStream {
    let krate = &entry.krate;
    let ident = &entry.input.ident;
    let mut checks = expand_check(
        ident.span(),
        &quote!(::core::mem::size_of::<Self>() != 0),
        "an entry without size can't be stored in a block: add a field",
    );
    checks.extend(expand_check(
        ident.span(),
        &quote!(::core::mem::align_of::<Self>() <= #krate::abi::MAX_ENTRY_ALIGN),
        "an entry follows a header of 16 bytes: align its fields to at most 16 bytes",
    ));

    // Where the field before ends.
    let mut end = quote!(0);
    for Field { member, name, ty, .. } in &entry.fields {
        let offset = quote!(::core::mem::offset_of!(Self, #member));
        let message = format!(
            "there is padding before field `{name}`: fill it with a field of its own, or sort the \
             fields by alignment, largest first"
        );
        checks.extend(expand_check(ty.span(), &quote!(#offset == #end), &message));
        end = quote!(#offset + ::core::mem::size_of::<#ty>());
    }
    if let Some(Field { name, ty, .. }) = entry.fields.last() {
        let message = format!(
            "there is padding after field `{name}`, the last one: fill it with a field of its own"
        );
        let condition = quote!(::core::mem::size_of::<Self>() == #end);
        checks.extend(expand_check(ty.span(), &condition, &message));
    }
    checks
}

/// The error of a check that fails appears at `location`.
fn expand_check(location: Span, condition: &TokenStream, message: &str) -> TokenStream {
    let span = Span::call_site().located_at(location);
    quote_spanned!(span=> ::core::assert!(#condition, #message);)
}

/// Lints that would blame the user for what is repeated: types of fields, bounds.
fn allow() -> TokenStream {
    quote! {
        #[allow(
            clippy::trait_duplication_in_bounds,
            deprecated,
            unused_braces,
            unused_qualifications
        )]
    }
}

fn mentions(tokens: TokenStream, is_wanted: &dyn Fn(&Ident) -> bool) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => is_wanted(&ident),
        TokenTree::Group(group) => mentions(group.stream(), is_wanted),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}
