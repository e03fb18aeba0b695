//! Reads the values in attributes: literals, or expressions that the compiler evaluates.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::parse::ParseStream;
use syn::token::Brace;
use syn::{Error, Expr, Lit, Path, Result, UnOp};

/// Reads a constant expression of type `&'static str`, and checks that a literal is not empty.
pub(crate) fn parse_name(input: ParseStream<'_>) -> Result<TokenStream> {
    let value = parse_expression(input)?;
    match literal(&value) {
        Some(Lit::Str(name)) if !name.value().is_empty() => Ok(name.to_token_stream()),
        Some(Lit::Str(name)) => Err(Error::new_spanned(
            name,
            "the name is empty: give one, or leave it out to use the name of the type",
        )),
        Some(other) => {
            Err(Error::new_spanned(other, "a name has to be a string: write it in quotes"))
        }
        None => Ok(tokens(&value)),
    }
}

/// Reads a constant expression of type `u32`, and checks that a literal is one.
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
        false => Err(Error::new_spanned(value, "a version has to be a `u32`: 0 to 4294967295")),
    }
}

/// Reads a path, plain or in quotes. Only a plain one may begin with `$crate`.
pub(crate) fn parse_crate(input: ParseStream<'_>) -> Result<Path> {
    let not_a_path = "expected the path of `kho_block`, as in a `use` declaration";
    if input.peek(Lit) {
        let literal: Lit = input.parse()?;
        let path = match &literal {
            Lit::Str(text) if text.value().starts_with('$') => {
                Err("a path with `$crate` can't be in quotes: remove them")
            }
            Lit::Str(text) => text.parse_with(Path::parse_mod_style).map_err(|_| not_a_path),
            _ => Err(not_a_path),
        };
        path.map_err(|message| Error::new_spanned(literal, message))
    } else {
        input.call(Path::parse_mod_style).map_err(|error| Error::new(error.span(), not_a_path))
    }
}

/// Reads an expression: one that syn knows without its feature `full`, or any in braces.
fn parse_expression(input: ParseStream<'_>) -> Result<Expr> {
    if input.peek(Brace) {
        let block: TokenTree = input.parse()?;
        return Ok(Expr::Verbatim(block.into()));
    }
    input.parse().map_err(|error| {
        Error::new(
            error.span(),
            "expected a constant: put an expression in braces, as in `{ 1 + 1 }`",
        )
    })
}

/// Returns the literal that the expression is, even if it is a macro's `$name:expr`.
fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(value) => Some(&value.lit),
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

/// Returns the tokens of the expression, such that the compiler does not warn of needless braces.
fn tokens(value: &Expr) -> TokenStream {
    let mut tokens: Vec<_> = value.to_token_stream().into_iter().collect();
    if let [TokenTree::Group(group)] = &mut tokens[..] {
        if group.delimiter() != Delimiter::None {
            group.set_span(Span::call_site().located_at(group.span()));
        }
    }
    tokens.into_iter().collect()
}
