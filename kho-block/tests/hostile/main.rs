//! Chains from outside: whatever their bytes, `restore` returns the right error, claims nothing and
//! changes nothing.
#![allow(unsafe_code)]
// For 64-bit machines.
#![allow(clippy::cast_possible_truncation)]

mod arena;
#[path = "../common/mod.rs"]
mod common;
mod counts;
mod lying;
mod named;
mod plan;
mod race;
mod random;
