//! Deadlines. No wait in this program is without one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A point in time at which something has to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// Returns the deadline at the end of `time` from now.
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Returns this deadline, or the one at the end of `time` from now if that is earlier.
    pub(crate) fn at_most(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// Returns the time left. It is never zero, which a socket would treat as no limit.
    pub(crate) fn left(self) -> Result<Duration> {
        self.0
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
            .context("out of time")
    }
}
