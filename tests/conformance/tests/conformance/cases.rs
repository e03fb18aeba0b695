//! Random cases: their number, their seeds, and the seed of one that fails.

use std::io::Write;
use std::time::Instant;

/// A random number generator, SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// Returns a number less than `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns true once in `times`, on average.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// A running case. If it panics, its seed is printed.
struct Case<'a> {
    test: &'a str,
    seed: u64,
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: again with KHO_SEED={} KHO_CASES=1", self.test, self.seed);
        }
    }
}

/// Runs `percent` of all cases, each with a seed of its own.
pub(crate) fn run(test: &str, percent: u64, mut case: impl FnMut(&mut Random)) {
    let count = (number("KHO_CASES").unwrap_or(100_000) * percent).div_ceil(100);
    let first = number("KHO_SEED").unwrap_or(0);
    let start = Instant::now();
    for seed in first..first + count {
        let named = Case { test, seed };
        case(&mut Random::new(seed));
        drop(named);
    }
    let seconds = start.elapsed().as_secs_f32();
    say(&format!("{test}: {count} cases in {seconds:.1} s"));
}

/// Prints a line, even if the output of tests is captured.
pub(crate) fn say(line: &str) {
    // In one write, so that lines of different threads do not mix.
    let _ = std::io::stderr().write_all(format!("\n{line}\n").as_bytes());
}
