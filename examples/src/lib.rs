//! What the example programs share: the process table that `handover` hands over, and what a program
//! needs besides its subject.

pub mod entries;
pub mod live;
pub mod proc_table;
pub mod program;
pub mod progress;
pub mod room;
