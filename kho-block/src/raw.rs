//! All unsafe code of sets: blocks by pointer, behind safe functions.
//!
//! ```text
//!  block: NonNull<u8>   first_slot: NonNull<T>
//!  │                    │
//!  ▼                    ▼
//!  ┌─────────┬──────────┬─────────┬─────────┬─ ─ ─┬─────────┬─────────┐
//!  │ next u64│ count u64│ entry 0 │ entry 1 │     │ CPB - 1 │ (unused)│
//!  └─────────┴──────────┴─────────┴─────────┴─ ─ ─┴─────────┴─────────┘
//!  0         8          16        16 + size                           BLOCK_SIZE
//! ```
//!
//! SAFETY comments cite invariants by number; `invariants.rs` says where each is stated.

mod append;
mod chunks_mut;
mod claim;
mod copy;
mod entries;
mod header;
mod lent;
mod owned;
mod prefetch;
mod retain;
#[cfg(feature = "rayon")]
mod slots;
mod table;

pub(crate) use append::Appender;
pub use chunks_mut::ChunksMut;
pub use entries::Entries;
pub(crate) use lent::LentChain;
pub(crate) use owned::OwnedChain;
#[cfg(feature = "rayon")]
pub(crate) use slots::Slots;
pub(crate) use table::BlockTable;
