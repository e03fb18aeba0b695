//! Deadlines. No wait in this program is without one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A point in time at which something has to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// Returns the deadline in so much time from now.
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Returns the deadline in so much time from now, or this one if it is earlier.
    pub(crate) fn at_most(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// Returns the time left. It is never zero, which a socket takes for no limit.
    pub(crate) fn left(self) -> Result<Duration> {
        self.0
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
            .context("out of time")
    }
}
