//! Tests of the tokens that the macro writes.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{DeriveInput, Ident, parse_quote};

use crate::derive;

/// Returns an input for each branch of the expansion.
fn inputs() -> Vec<DeriveInput> {
    vec![
        parse_quote! {
            #[repr(C)]
            #[entry(crate = "renamed")]
            struct Plain { #[entry(text)] name: [u8; 8], token: u64 }
        },
        parse_quote! {
            #[repr(C)]
            #[entry(crate = "renamed")]
            struct Generic<T, const N: usize>(T, [u8; N]);
        },
        parse_quote! {
            #[repr(C)]
            #[entry(crate = renamed, name = N, version = { 1 + 1 })]
            struct Marked { #[entry(bytes)] regs: [kvm_regs; 2], #[entry(bytes = "r")] r: regs }
        },
        parse_quote! {
            #[entry(crate = "renamed")]
            struct Refused<T: Clone> where T: Copy { count: usize, value: T }
        },
    ]
}

/// Appends all tokens in order. Groups of any kind begin with `(`.
fn flatten(tokens: TokenStream, into: &mut Vec<String>) {
    for token in tokens {
        if let TokenTree::Group(group) = token {
            into.push("(".to_owned());
            flatten(group.stream(), into);
        } else {
            into.push(token.to_string());
        }
    }
}

fn expansion(input: &DeriveInput) -> Vec<String> {
    let mut tokens = Vec::new();
    flatten(derive(input), &mut tokens);
    tokens
}

#[test]
fn a_renamed_crate_is_the_only_one() {
    for input in inputs() {
        let tokens = expansion(&input);
        assert!(!tokens.iter().any(|token| token == "kho_block"), "{tokens:?}");
        assert!(tokens.iter().any(|token| token == "renamed"));
    }
}

#[test]
fn no_unsafe_code() {
    for input in inputs() {
        assert!(!expansion(&input).iter().any(|token| token == "unsafe"));
    }
}

#[test]
fn no_lint_attributes() {
    for input in inputs() {
        for lint_attribute in ["allow", "expect", "warn", "deny", "forbid"] {
            assert!(!expansion(&input).iter().any(|token| token == lint_attribute));
        }
    }
}

/// Every `core` has `::` before it, and no name before that.
#[test]
fn paths_to_core_are_absolute() {
    for input in inputs() {
        let tokens = expansion(&input);
        for (i, _) in tokens.iter().enumerate().filter(|(_, token)| *token == "core") {
            assert_eq!(tokens[i - 2..i], [":", ":"]);
            // After a name it would be the relative path `name::core`.
            let before = tokens.get(i.wrapping_sub(3)).map_or("", String::as_str);
            assert!(syn::parse_str::<Ident>(before).is_err(), "{before}::core");
        }
    }
}

#[test]
fn a_recursive_field_gets_no_bound() {
    let input: DeriveInput = parse_quote! {
        #[repr(C)]
        struct Node<T> { value: T, children: SetHead<Node<T>>, more: SetHead<Self>, token: u64 }
    };
    let bounds = quote! {
        where T: ::kho_block::FieldType, Self: ::kho_block::bytemuck::Pod
    };
    let expansion = derive(&input).to_string();
    assert!(expansion.contains(&bounds.to_string()), "{expansion}");
}
