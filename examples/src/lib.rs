//! What the examples and the benches share: the process table, which crosses in the example
//! `handover` and which the benches measure (read from `/proc`, as live objects, and as entries), and
//! how a program starts and ends.

pub mod entries;
pub mod live;
pub mod proc_table;
pub mod program;
mod text;

/// The example in the project's README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
