//! How a workload is timed: what is in the time, what is not.

use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use kho_benches::{HUGE, TINY, WORKLOADS};

/// The contenders of one workload at one size. They follow each other, so that they meet the same
/// machine.
pub(crate) struct Group<'c> {
    group: BenchmarkGroup<'c, WallTime>,
    /// How many entries each contender has.
    pub(crate) len: usize,
    /// How many times work that needs something done before it is done in a row, on a subject each.
    /// Where it is short, reading the clock for each would take too much of the time.
    in_a_row: usize,
}

/// Runs the contenders of a workload. The results know them by workload, entry size and length.
///
/// # Panics
/// Nothing explains the workload.
pub(crate) fn group(
    criterion: &mut Criterion,
    (workload, entry, len): (&str, impl ToString, usize),
    run: impl FnOnce(&mut Group<'_>),
) {
    assert!(WORKLOADS.iter().any(|(name, _)| *name == workload), "{workload}: what is that?");
    let entry = entry.to_string();
    let mut group = criterion.benchmark_group(format!("{workload}/{entry}/{len}"));
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(len as u64));
    if len >= HUGE {
        group.sample_size(10);
    }
    let in_a_row = if len <= TINY { 32 } else { 1 };
    run(&mut Group { group, len: black_box(len), in_a_row });
}

impl Group<'_> {
    /// Says that one run of the workload is so many operations, whatever the length.
    pub(crate) fn operations(&mut self, count: usize) {
        self.group.throughput(Throughput::Elements(count as u64));
    }

    /// Says that what is done before the work takes much longer, and is for one subject only.
    pub(crate) fn long_before(&mut self) {
        self.group.sample_size(10);
        self.in_a_row = 1;
    }

    /// Times `work`, which leaves its subject as it was.
    pub(crate) fn time<S, R>(
        &mut self,
        name: &str,
        prepare: impl FnOnce() -> S,
        mut work: impl FnMut(&mut S) -> R,
    ) {
        // Here and below nothing is prepared for what the command line leaves out.
        let mut prepare = Some(prepare);
        let mut subject = None;
        self.group.bench_function(name, |bencher| {
            if let Some(prepare) = prepare.take() {
                subject = Some(prepare());
            }
            let subject = subject.as_mut().expect("it was prepared");
            bencher.iter(|| work(black_box(&mut *subject)));
        });
    }

    /// Times `work` after `before`, which is not timed.
    pub(crate) fn time_after<S, R>(
        &mut self,
        name: &str,
        prepare: impl Fn() -> S,
        mut before: impl FnMut(&mut S),
        mut work: impl FnMut(&mut S) -> R,
    ) {
        let count = self.in_a_row;
        let mut subjects = Vec::new();
        self.group.bench_function(name, |bencher| {
            subjects.resize_with(count, &prepare);
            bencher.iter_custom(|times| time_each(&mut subjects, times, &mut before, &mut work));
        });
    }

    /// Times `make`, from nothing; not the end of what it made.
    pub(crate) fn time_making<S>(&mut self, name: &str, mut make: impl FnMut() -> S) {
        self.time_after(name, || None, |made| *made = None, |made| *made = Some(make()));
    }
}

/// How long it takes to work `times` times, on one subject after the other.
fn time_each<S, R>(
    subjects: &mut [S],
    times: u64,
    mut before: impl FnMut(&mut S),
    mut work: impl FnMut(&mut S) -> R,
) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = times;
    while left > 0 {
        let count = usize::try_from(left).map_or(subjects.len(), |left| left.min(subjects.len()));
        let subjects = &mut subjects[..count];
        subjects.iter_mut().for_each(&mut before);
        let start = Instant::now();
        for subject in subjects {
            black_box(work(black_box(subject)));
        }
        total += start.elapsed();
        left -= count as u64;
    }
    total
}

/// Whether each bench is only run once, to see that it runs. Criterion decides alike.
pub(crate) fn is_test() -> bool {
    let has = |option: &str| env::args().any(|arg| arg == option);
    has("--test") || !has("--bench")
}
