//! The entries that cross: plain data in blocks, all of it found from one root.
//!
//! ```text
//!  root: Snapshot ──┬── processes: Process ──┬── files: OpenFile
//!                   ├── synthetic: Synthetic └── mappings: Mapping
//!                   └── generations: Generation
//! ```

use kho_block::bytemuck::{self, Pod, Zeroable};
use kho_block::{Entry, SetHead};
use kho_examples::entries::{Missed, Process};
use rustix::time::{ClockId, clock_gettime};
use xxhash_rust::xxh3::xxh3_64;

/// The most blocks that a set may have here: a memfd of 64 GiB holds that many. The kernel follows
/// 10,000, which is 1.27 million entries of 32 bytes. Both sides must agree to go beyond that.
pub(crate) const BLOCK_LIMIT: usize = 1 << 24;

/// The root: the only entry of the only set whose head is not stored in a block.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "handover-snapshot", version = 1)]
pub(crate) struct Snapshot {
    pub(crate) processes: SetHead<Process>,
    pub(crate) synthetic: SetHead<Synthetic>,
    pub(crate) generations: SetHead<Generation>,
    /// Digest of the processes with their files and mappings, taken before they became entries.
    pub(crate) process_digest: u64,
    /// Digest of the synthetic entries, taken before they were written.
    pub(crate) synthetic_digest: u64,
    pub(crate) process_count: u64,
    pub(crate) file_count: u64,
    pub(crate) mapping_count: u64,
    pub(crate) synthetic_count: u64,
    /// Number of blocks of all sets together, including the root's.
    pub(crate) blocks: u64,
    /// Number of successors to run; 0 if the file crosses sealed.
    pub(crate) generations_wanted: u64,
    /// Number of processes that the report shows.
    pub(crate) rows: u64,
    pub(crate) missed: Missed,
    pub(crate) times: Times,
    /// Digest of the fields above.
    pub(crate) digest: u64,
}

impl Snapshot {
    /// Returns what `digest` has to be.
    pub(crate) fn expected_digest(&self) -> u64 {
        xxh3_64(bytemuck::bytes_of(&Self { digest: 0, ..*self }))
    }
}

/// Durations of the predecessor's steps, and the time at which it left, in nanoseconds of [`now`].
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "handover-times", version = 1)]
pub(crate) struct Times {
    pub(crate) snapshot: u64,
    pub(crate) digest: u64,
    pub(crate) reserve: u64,
    pub(crate) freeze: u64,
    pub(crate) left: u64,
}

/// Load for measurements: 32 bytes that are computed from an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "synthetic", version = 1)]
pub(crate) struct Synthetic {
    pub(crate) index: u64,
    pub(crate) values: [u64; 3],
}

impl Synthetic {
    pub(crate) fn new(index: u64) -> Self {
        let odd = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { index, values: [odd, odd.rotate_left(23) ^ index, !odd] }
    }
}

/// The record that each successor leaves of itself. Times are in nanoseconds of [`now`].
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "generation", version = 1)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) pid: u64,
    /// When its `main` began.
    pub(crate) entered: u64,
    /// When it had claimed every set.
    pub(crate) claimed: u64,
    /// When it handed over; 0 in the last one.
    pub(crate) left: u64,
    /// Number of entries it found in all sets.
    pub(crate) entries: u64,
}

/// Returns the monotonic clock in nanoseconds.
///
/// An `Instant` can't cross. This number means the same to the successor, as the clock goes on
/// across `exec`.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
