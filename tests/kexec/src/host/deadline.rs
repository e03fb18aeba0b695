//! Nothing here waits forever.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The end of the time that something has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The time given, and not past this end.
    pub(crate) fn at_most(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// The time left; never zero, which sockets take for no limit.
    pub(crate) fn left(self) -> Result<Duration> {
        self.0
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
            .context("out of time")
    }
}
