//! Sets beside `Vec`: pushing, reading, restoring.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use kho_benches::{
    Blocks, Contender, Evictor, LARGE, MemorySlot, PointerChase, Preserved, Restore, SMALL, chunks,
    fill, fold, for_count, for_loop, gather, random_indices, reserve_and_fill,
};
use kho_block::{HeapMemory, MemfdMemory};

/// The contenders follow each other within a workload, so that they meet the same machine.
macro_rules! beside_vec {
    ($workload:ident, $group:expr, $len:expr) => {
        $workload::<Vec<MemorySlot>>($group, $len);
        $workload::<Blocks<HeapMemory>>($group, $len);
        $workload::<Blocks<MemfdMemory>>($group, $len);
    };
}

macro_rules! beside_pointer_chase {
    ($workload:ident, $group:expr, $len:expr) => {
        $workload::<PointerChase>($group, $len);
        $workload::<Preserved<HeapMemory>>($group, $len);
        $workload::<Preserved<MemfdMemory>>($group, $len);
    };
}

fn sets(criterion: &mut Criterion) {
    for len in [SMALL, LARGE] {
        let mut in_group = |workload: &str, run: fn(&mut BenchmarkGroup<'_, WallTime>, usize)| {
            let mut group = criterion.benchmark_group(format!("{workload}/{len}"));
            group.throughput(Throughput::Elements(len as u64));
            run(&mut group, len);
            group.finish();
        };
        in_group("push", |group, len| {
            beside_vec!(bench_push, group, len);
        });
        in_group("reserve and push", |group, len| {
            beside_vec!(bench_reserve_and_push, group, len);
        });
        in_group("for", |group, len| {
            beside_vec!(bench_for, group, len);
        });
        in_group("for, count", |group, len| {
            beside_vec!(bench_for_count, group, len);
        });
        in_group("fold", |group, len| {
            beside_vec!(bench_fold, group, len);
        });
        in_group("chunks", |group, len| {
            beside_vec!(bench_chunks, group, len);
        });
        in_group("random get", |group, len| {
            group.throughput(Throughput::Elements(GETS as u64));
            beside_vec!(bench_get, group, len);
        });
        in_group("restore", |group, len| {
            beside_pointer_chase!(bench_restore, group, len);
        });
        in_group("restore, cold", |group, len| {
            beside_pointer_chase!(bench_restore_cold, group, len);
        });
    }
}

/// In memory that was written before: neither side meets a page fault.
fn bench_push<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, len: usize) {
    let mut set = reserve_and_fill::<C>(len);
    group.bench_function(C::NAME, |bencher| bencher.iter(|| fill(black_box(&mut set), len)));
}

/// With the allocation and the first touch of the memory, wherever each side pays for them.
fn bench_reserve_and_push<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, len: usize) {
    group.bench_function(C::NAME, |bencher| {
        bencher.iter_batched(|| (), |()| reserve_and_fill::<C>(len), BatchSize::PerIteration);
    });
}

fn bench_for<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, len: usize)
where
    for<'a> &'a C: IntoIterator<Item = &'a MemorySlot>,
{
    let set = reserve_and_fill::<C>(len);
    group.bench_function(C::NAME, |bencher| bencher.iter(|| for_loop(black_box(&set))));
}

fn bench_for_count<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, len: usize)
where
    for<'a> &'a C: IntoIterator<Item = &'a MemorySlot>,
{
    let set = reserve_and_fill::<C>(len);
    group.bench_function(C::NAME, |bencher| bencher.iter(|| for_count(black_box(&set), 1 << 30)));
}

fn bench_fold<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, len: usize) {
    let set = reserve_and_fill::<C>(len);
    group.bench_function(C::NAME, |bencher| bencher.iter(|| fold(black_box(&set))));
}

fn bench_chunks<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, len: usize) {
    let set = reserve_and_fill::<C>(len);
    group.bench_function(C::NAME, |bencher| bencher.iter(|| chunks(black_box(&set))));
}

/// How many slots one run of `random get` looks up.
const GETS: usize = 10_000;

fn bench_get<C: Contender>(group: &mut BenchmarkGroup<'_, WallTime>, len: usize) {
    let set = reserve_and_fill::<C>(len);
    let indices = random_indices(GETS, len);
    group.bench_function(C::NAME, |bencher| {
        bencher.iter(|| gather(black_box(&set), black_box(&indices)));
    });
}

/// A cycle of handing over and restoring, of which restoring is timed.
fn time_restore<R: Restore>(preserved: &mut R, before: impl Fn(), times: u64) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..times {
        before();
        let start = Instant::now();
        let restored = black_box(&mut *preserved).restore();
        total += start.elapsed();
        black_box(preserved.put_back(restored));
    }
    total
}

fn bench_restore<R: Restore>(group: &mut BenchmarkGroup<'_, WallTime>, len: usize) {
    let mut preserved = R::preserve(len);
    group.bench_function(R::NAME, |bencher| {
        bencher.iter_custom(|times| time_restore(&mut preserved, || (), times));
    });
}

/// With the headers out of the caches, as they are after a reboot.
fn bench_restore_cold<R: Restore>(group: &mut BenchmarkGroup<'_, WallTime>, len: usize) {
    let evictor = Evictor::new();
    let mut preserved = R::preserve(len);
    // Evicting takes much longer than restoring, and its time is not counted.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.measurement_time(Duration::from_millis(2)).warm_up_time(Duration::from_millis(100));
    group.bench_function(R::NAME, |bencher| {
        bencher.iter_custom(|times| time_restore(&mut preserved, || evictor.evict(), times));
    });
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(40)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
}

criterion_group! {
    name = benches;
    config = config();
    targets = sets
}
criterion_main!(benches);
