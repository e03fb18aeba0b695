//! The workloads of the benches, and the collections and formats that are compared.
//!
//! Each workload is written once and generic, so that `Vec`, sets and the formats do equal work.
//! The tests hold all of them to equal results. The loops over the kernel's C code are in C.

mod array;
mod chase;
pub mod end_to_end;
pub mod names;
mod restore;
mod sample;
mod workload;

pub use array::{Array, Cursor, Memory, Set, VecCursor, VecWriter, Write};
pub use chase::PointerChase;
pub use kho_linux_c::linux;
#[cfg(kho_linux)]
pub use restore::PreservedByC;
pub use restore::{Evictor, Preserved, Restore};
pub use sample::{Bytes80, MemorySlot, Sample};
pub use workload::{
    bulk_append, chunks, copy, fill, fill_with, filled, fold, for_count, for_loop, gather,
    numbered, random_indices, reverse, rewrite, roll_back, seek,
};

/// Number of entries in small runs. They fit in a core's caches.
pub const SMALL: usize = 10_000;

/// Number of entries in large runs. They fill 10,000 blocks, the longest chain that Linux follows.
pub const LARGE: usize = 10_000 * <MemorySlot as Sample>::PER_BLOCK;

/// Number of processes that cross from end to end.
pub const PROCESSES: u32 = 1000;
