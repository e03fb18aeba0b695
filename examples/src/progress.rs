//! A progress bar for work that takes longer than a second.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar on standard error.
///
/// Nothing is shown in the first second, nor if standard error is not a terminal.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    started: Instant,
    /// Number of steps at which the clock is read again.
    next: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    const STRIDE: u64 = 1 << 16;

    /// Creates the bar, called `what`, for `total` steps.
    #[must_use]
    pub fn new(what: &'static str, total: u64) -> Self {
        Self { what, total, started: Instant::now(), next: Self::STRIDE, bar: None }
    }

    /// Reports that `done` steps are done.
    #[inline]
    pub fn at(&mut self, done: u64) {
        if done >= self.next {
            self.next = done + Self::STRIDE;
            self.show(done);
        }
    }

    #[cold]
    fn show(&mut self, done: u64) {
        if self.bar.is_none() {
            if self.started.elapsed() < Duration::from_secs(1) || !std::io::stderr().is_terminal() {
                return;
            }
            let style = ProgressStyle::with_template("{msg:8} {bar:40} {human_pos} of {human_len}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bar = Some(ProgressBar::new(self.total).with_style(style).with_message(self.what));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // No half-drawn line may stay behind: the next thing this process does may be an exec.
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
