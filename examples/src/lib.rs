//! Code that the example programs share: the process table that `handover` hands over, and the
//! parts that every program needs.

pub mod entries;
pub mod live;
pub mod proc_table;
pub mod program;
pub mod progress;
pub mod room;

/// The example in the project's README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
