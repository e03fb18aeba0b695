//! The process table, which crosses in the example `handover`, and which the benches measure: read
//! from `/proc`, as live objects, and as entries.

pub mod entries;
pub mod live;
pub mod proc_table;
mod text;
