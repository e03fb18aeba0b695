//! Sets in a memfd beside `Vec`, the kernel's C code, and the limits.

use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    Bencher, BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use kho_benches::names::MEMCPY;
use kho_benches::{
    Array, Bytes80, Evictor, LARGE, MemorySlot, PointerChase, Preserved, Restore, SMALL, Sample,
    Set, bulk_append, copy, fill, fill_with, filled, fold, for_loop, gather, linux, numbered,
    random_indices,
};
#[cfg(kho_linux)]
use kho_benches::{PreservedByC, names::KERNEL};
use kho_block::MemfdMemory;
#[cfg(kho_linux)]
use kho_linux_c::KernelSet;

type Group<'c> = BenchmarkGroup<'c, WallTime>;

type Slots = Vec<MemorySlot>;
type SlotSet = Set<MemorySlot, MemfdMemory>;
type Set80 = Set<Bytes80, MemfdMemory>;

/// Number of entries that are looked up at random.
const LOOKUPS: usize = 10_000;

fn sets(criterion: &mut Criterion) {
    if let Err(why) = linux() {
        println!("skipped: the kernel's C code: {why}");
    }
    // Criterion's own rule: in a test each bench runs only once.
    let has = |option: &str| env::args().any(|arg| arg == option);
    let is_test = has("--test") || !has("--bench");
    let [small, large] = if is_test { [100, 1000] } else { [SMALL, LARGE] };
    for len in [small, large] {
        write(criterion, len);
        read(criterion, len);
        restore(criterion, len);
    }
    write_80_bytes(criterion, small);
    restore_cold(criterion, large);
}

/// Starts a group. Its contenders run one after the other, so that conditions are the same for all.
fn group<'c>(criterion: &'c mut Criterion, work: &str, len: usize) -> Group<'c> {
    let mut group = criterion.benchmark_group(format!("{work} {len}"));
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(len as u64));
    group
}

fn write(criterion: &mut Criterion, len: usize) {
    let mut run = group(criterion, "push", len);
    push::<MemorySlot, Slots>(&mut run, len);
    push::<MemorySlot, SlotSet>(&mut run, len);
    #[cfg(kho_linux)]
    time_after(&mut run, KERNEL, || filled_by_c(len), KernelSet::clear, |set| set.fill(len));
    memcpy(&mut run, len);
    run.finish();

    let mut run = group(criterion, "append", len);
    append::<Slots>(&mut run, len);
    append::<SlotSet>(&mut run, len);
    memcpy(&mut run, len);
    run.finish();
}

/// Times pushes to memory that was written before, so that no page fault is timed.
fn push<T: Sample, C: Array<T>>(group: &mut Group<'_>, len: usize) {
    time_after(group, C::NAME, || filled::<T, C>(len), C::clear, |set| fill(set, len));
}

fn append<C: Array<MemorySlot>>(group: &mut Group<'_>, len: usize) {
    let prepare = || (filled::<MemorySlot, C>(len), numbered(len));
    let work = |(set, entries): &mut (C, Slots)| bulk_append(set, entries);
    time_after(group, C::NAME, prepare, |(set, _)| set.clear(), work);
}

/// Times the limit for `push` and `append`. Unlike `push`, it also reads an array.
fn memcpy(group: &mut Group<'_>, len: usize) {
    let prepare = || (filled::<MemorySlot, Slots>(len), numbered(len));
    time(group, MEMCPY, prepare, |(to, from): &mut (Slots, Slots)| copy(to, from));
}

fn read(criterion: &mut Criterion, len: usize) {
    let mut run = group(criterion, "for", len);
    time(&mut run, Slots::NAME, || filled(len), for_loop::<_, Slots>);
    time(&mut run, SlotSet::NAME, || filled(len), for_loop::<_, SlotSet>);
    #[cfg(kho_linux)]
    time(&mut run, KERNEL, || filled_by_c(len), |set| set.sum());
    run.finish();

    let mut run = group(criterion, "fold", len);
    time(&mut run, Slots::NAME, || filled(len), fold::<_, Slots>);
    time(&mut run, SlotSet::NAME, || filled(len), fold::<_, SlotSet>);
    run.finish();

    let mut run = group(criterion, "get", len);
    run.throughput(Throughput::Elements(LOOKUPS as u64));
    get::<Slots>(&mut run, len);
    get::<SlotSet>(&mut run, len);
    run.finish();
}

fn get<C: Array<MemorySlot>>(group: &mut Group<'_>, len: usize) {
    let prepare = || (filled(len), random_indices(LOOKUPS, len));
    time(group, C::NAME, prepare, |(set, indices): &mut (C, Vec<usize>)| gather(set, indices));
}

fn restore(criterion: &mut Criterion, len: usize) {
    let mut run = group(criterion, "restore", len);
    warm::<Preserved<MemorySlot, MemfdMemory>>(&mut run, len);
    #[cfg(kho_linux)]
    warm::<PreservedByC>(&mut run, len);
    warm::<PointerChase>(&mut run, len);
    run.finish();
}

/// With the headers out of the caches, as they are after a reboot.
fn restore_cold(criterion: &mut Criterion, len: usize) {
    let mut run = group(criterion, "restore cold", len);
    let evictor = Evictor::new();
    run.sample_size(10);
    cold::<Preserved<MemorySlot, MemfdMemory>>(&mut run, len, &evictor);
    #[cfg(kho_linux)]
    cold::<PreservedByC>(&mut run, len, &evictor);
    cold::<PointerChase>(&mut run, len, &evictor);
    run.finish();
}

fn warm<R: Restore>(group: &mut Group<'_>, len: usize) {
    time_after(group, R::NAME, || Cycle::<R>::new(len), Cycle::hand_over, Cycle::restore);
}

fn cold<R: Restore>(group: &mut Group<'_>, len: usize, evictor: &Evictor) {
    let hand_over = |cycle: &mut Cycle<R>| {
        cycle.hand_over();
        evictor.evict();
    };
    time_after(group, R::NAME, || Cycle::<R>::new(len), hand_over, Cycle::restore);
}

/// A chain that is handed over and restored in turn.
struct Cycle<R: Restore> {
    preserved: R,
    restored: Option<R::Restored>,
}

impl<R: Restore> Cycle<R> {
    fn new(len: usize) -> Self {
        Self { preserved: R::preserve(len), restored: None }
    }

    fn restore(&mut self) {
        self.restored = Some(self.preserved.restore());
    }

    fn hand_over(&mut self) {
        if let Some(restored) = self.restored.take() {
            self.preserved.hand_over(restored);
        }
    }
}

/// Larger entries, which are computed on the way into `push`.
fn write_80_bytes(criterion: &mut Criterion, len: usize) {
    let mut run = group(criterion, "push of 80 bytes", len);
    push::<Bytes80, Vec<Bytes80>>(&mut run, len);
    push::<Bytes80, Set80>(&mut run, len);
    run.finish();

    let mut run = group(criterion, "push_with of 80 bytes", len);
    push::<Bytes80, Vec<Bytes80>>(&mut run, len);
    time_after(&mut run, Set80::NAME, || filled(len), Set80::clear, |set| fill_with(set, len));
    run.finish();
}

#[cfg(kho_linux)]
fn filled_by_c(len: usize) -> KernelSet {
    let mut set = KernelSet::with_capacity(len);
    set.fill(len);
    set
}

/// Times work that does not change its subject.
fn time<S, R>(
    group: &mut Group<'_>,
    name: &str,
    prepare: impl FnOnce() -> S,
    mut work: impl FnMut(&mut S) -> R,
) {
    on_one_subject(group, name, prepare, |bencher, subject| {
        bencher.iter(|| work(black_box(&mut *subject)));
    });
}

/// Times work, and runs `before`, untimed, ahead of each repetition.
fn time_after<S, R>(
    group: &mut Group<'_>,
    name: &str,
    prepare: impl FnOnce() -> S,
    mut before: impl FnMut(&mut S),
    mut work: impl FnMut(&mut S) -> R,
) {
    on_one_subject(group, name, prepare, |bencher, subject| {
        bencher.iter_custom(|times| {
            let mut total = Duration::ZERO;
            for _ in 0..times {
                before(subject);
                let start = Instant::now();
                black_box(work(black_box(subject)));
                total += start.elapsed();
            }
            total
        });
    });
}

/// Runs a bench on one subject. The subject is prepared only if the command line selects the bench.
fn on_one_subject<S>(
    group: &mut Group<'_>,
    name: &str,
    prepare: impl FnOnce() -> S,
    mut run: impl FnMut(&mut Bencher<'_>, &mut S),
) {
    let mut prepare = Some(prepare);
    let mut subject = None;
    group.bench_function(name, |bencher| {
        if let Some(prepare) = prepare.take() {
            subject = Some(prepare());
        }
        run(bencher, subject.as_mut().expect("the subject was prepared"));
    });
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
}

criterion_group! {
    name = benches;
    config = config();
    targets = sets
}
criterion_main!(benches);
