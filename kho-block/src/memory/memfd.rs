//! Blocks in a memfd, and memfds that can't change any more.
//!
//! Each module imports only from modules above it:
//!
//! ```text
//! error        why a memfd can't be used
//! file         what is asked of a file before it is mapped; its length and its memory
//! fork         mappings that a child of fork does not inherit
//! map          mappings of a file
//! sealed       a file that can't change: SealedMemfd
//! growing      a mapped file that gets longer
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
