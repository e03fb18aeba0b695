//! Workloads and contenders of the benches.
//!
//! Each workload is written once, for whatever is a [`Contender`] or can be restored; so every
//! contender does the same work, and the tests hold them to the same result.

mod chase;
mod contender;
pub mod end_to_end;
mod malloc;
mod nested;
mod restore;
mod sample;
mod threads;
mod workload;

pub use chase::PointerChase;
pub use contender::{
    Arena, Array, Blocks, Contender, Cursor, Memory, Pieces, Push, Reversible, VecCursor,
    VecWriter, Write, block_limit,
};
pub use kho_linux_c::linux;
pub use malloc::allocate_large_ones_afresh;
pub use nested::{FILES, Nested, ReadNested, SESSIONS, SetSessions, VecSessions};
#[cfg(kho_linux)]
pub use restore::PreservedByC;
pub use restore::{Evictor, Kept, Preserved, ReadBack, Restore};
pub use sample::{Bytes8, Bytes64, Bytes80, Bytes512, MemorySlot, Sample};
pub use threads::{Parallel, par_fill, par_fold, pool};
pub use workload::{
    WORKLOADS, bulk_append, chunks, copy, fill, filled, fold, for_count, for_loop, gather,
    grow_and_push, numbered, push, random_indices, reserve_and_fill, reverse, rewrite, roll_back,
    seek,
};

/// What the results call the kernel's C code.
pub const KERNEL: &str = "kernel's C";

/// How few entries the smallest runs have: one block of them.
pub const TINY: usize = 100;

/// How many entries the small runs have: they fit in a core's caches.
pub const SMALL: usize = 10_000;

/// How many entries the large runs have: 10,000 full blocks, the longest chain that Linux follows.
pub const LARGE: usize = 10_000 * SLOTS_PER_BLOCK;

/// How many entries the largest runs have: 3.2 GB.
pub const HUGE: usize = 100_000_000;

/// How many slots fit in a block of 4 KiB.
pub const SLOTS_PER_BLOCK: usize = <MemorySlot as Sample>::PER_BLOCK;
