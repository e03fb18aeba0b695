//! The values in attributes: literals, or what the compiler evaluates.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::parse::ParseStream;
use syn::token::Brace;
use syn::{Error, Expr, Lit, Path, Result, UnOp};

/// A constant expression of type `&'static str`. That a literal is not empty is checked here.
pub(crate) fn parse_name(input: ParseStream<'_>) -> Result<TokenStream> {
    let value = parse_expression(input)?;
    match literal(&value) {
        Some(Lit::Str(name)) if !name.value().is_empty() => Ok(name.to_token_stream()),
        Some(Lit::Str(name)) => Err(Error::new_spanned(
            name,
            "the name is empty: say what this is, or leave the name out to use the type's",
        )),
        Some(other) => Err(Error::new_spanned(other, "a name is a string: write it in quotes")),
        None => Ok(tokens(&value)),
    }
}

/// A constant expression of type `u32`. That a literal is one is checked here.
pub(crate) fn parse_version(input: ParseStream<'_>) -> Result<TokenStream> {
    let value = parse_expression(input)?;
    let is_version = match (literal(&value), &value) {
        (Some(Lit::Int(literal)), _) => {
            literal.base10_parse::<u32>().is_ok() && matches!(literal.suffix(), "" | "u32")
        }
        (Some(_), _) => false,
        (None, Expr::Unary(unary)) => !matches!(unary.op, UnOp::Neg(_)),
        (None, _) => true,
    };
    match is_version {
        true => Ok(tokens(&value)),
        false => Err(Error::new_spanned(value, "a version is a `u32`: 0 to 4294967295")),
    }
}

/// A path, plain or in quotes. Only a plain one may begin with `$crate`.
pub(crate) fn parse_crate(input: ParseStream<'_>) -> Result<Path> {
    let not_a_path = "this is not a path: write where `kho_block` is, as in `use`";
    if input.peek(Lit) {
        let literal: Lit = input.parse()?;
        let path = match &literal {
            Lit::Str(text) if text.value().starts_with('$') => Err("write `$crate` without quotes"),
            Lit::Str(text) => text.parse_with(Path::parse_mod_style).map_err(|_| not_a_path),
            _ => Err(not_a_path),
        };
        path.map_err(|message| Error::new_spanned(literal, message))
    } else {
        input.call(Path::parse_mod_style).map_err(|error| Error::new(error.span(), not_a_path))
    }
}

/// What syn takes for an expression without its feature for the whole language, or any in braces.
fn parse_expression(input: ParseStream<'_>) -> Result<Expr> {
    if input.peek(Brace) {
        let block: TokenTree = input.parse()?;
        return Ok(Expr::Verbatim(block.into()));
    }
    input.parse().map_err(|error| {
        Error::new(error.span(), "expected a constant: put one that is more than a path in braces")
    })
}

/// The literal that the expression is, also where it comes from a macro's `$name:expr`.
fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(value) => Some(&value.lit),
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

/// The expression; braces around it, which an attribute may need, are no reason for a warning.
fn tokens(value: &Expr) -> TokenStream {
    let mut tokens: Vec<_> = value.to_token_stream().into_iter().collect();
    if let [TokenTree::Group(group)] = &mut tokens[..] {
        if group.delimiter() != Delimiter::None {
            group.set_span(Span::call_site().located_at(group.span()));
        }
    }
    tokens.into_iter().collect()
}
