//! Workloads and contenders of the benches.
//!
//! Each workload is written once, for whatever is a [`Contender`] or can be restored; so every
//! contender does the same work, and the tests hold them to the same result.

mod chase;
mod contender;
mod restore;
mod workload;

use bytemuck::{Pod, Zeroable};
use kho_block::Entry;

pub use chase::PointerChase;
pub use contender::{Blocks, Contender, Memory, Push};
pub use restore::{Evictor, Preserved, Restore};
pub use workload::{
    chunks, fill, fold, for_count, for_loop, gather, random_indices, reserve_and_fill,
};

/// An entry of four `u64`; 127 fit in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
pub struct MemorySlot {
    /// Where the guest sees it.
    pub guest: u64,
    /// Where the host has it.
    pub host: u64,
    /// Its length.
    pub len: u64,
    /// Its flags.
    pub flags: u64,
}

impl MemorySlot {
    /// A slot whose fields follow from a number.
    #[inline]
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        Self { guest: number << 21, host: !number, len: 1 << 21, flags: number & 3 }
    }

    /// A sum that every field has a part in.
    #[inline]
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.guest.wrapping_add(self.host).wrapping_add(self.len).wrapping_add(self.flags)
    }
}

/// How many slots the small runs have: they fit in a core's caches.
pub const SMALL: usize = 10_000;

/// How many slots the large runs have: 10,000 full blocks, the longest chain that Linux follows.
pub const LARGE: usize = 10_000 * SLOTS_PER_BLOCK;

/// How many slots fit in a block of 4 KiB.
pub const SLOTS_PER_BLOCK: usize = kho_block::abi::count_per_block(4096, size_of::<MemorySlot>());
