//! Memories in memfds: writable, or sealed against every change.
//!
//! Each module imports only from modules above it:
//!
//! ```text
//! error        errors of memfds
//! file         checks of a file before it is mapped; its length and its memory
//! fork         mappings that a child of fork does not inherit
//! map          mappings of a file
//! sealed       a file that can't change: SealedMemfd
//! growing      a mapped file that grows
//! blocks       which blocks of a file are free, owned and preserved
//! writable     a file whose blocks are owned: MemfdMemory
//! owning       how its blocks are allocated, claimed, released and read
//! ```

mod blocks;
mod error;
mod file;
mod fork;
mod growing;
mod map;
mod owning;
mod sealed;
mod writable;

pub use error::{FromFdError, MemfdError};
pub use sealed::SealedMemfd;
pub use writable::MemfdMemory;
