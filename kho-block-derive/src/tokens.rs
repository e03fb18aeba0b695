//! Searches tokens and types for names.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::Type;
use syn::ext::IdentExt as _;

/// Returns whether a wanted identifier is among the tokens, at any depth.
pub(crate) fn mentions(tokens: TokenStream, is_wanted: &dyn Fn(&Ident) -> bool) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => is_wanted(&ident),
        TokenTree::Group(group) => mentions(group.stream(), is_wanted),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Returns the name of a type or of an array's elements: the last part of its path.
pub(crate) fn type_name_of(ty: &Type) -> Option<String> {
    match ty {
        Type::Array(array) => type_name_of(&array.elem),
        Type::Group(group) => type_name_of(&group.elem),
        Type::Paren(paren) => type_name_of(&paren.elem),
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.unraw().to_string()),
        _ => None,
    }
}
