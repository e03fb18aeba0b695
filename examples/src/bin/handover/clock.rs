//! The monotonic clock in nanoseconds. Unlike `Instant` its reading is a number that means the same
//! to the successor: the clock goes on across `exec`.

use rustix::time::{ClockId, clock_gettime};

pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
