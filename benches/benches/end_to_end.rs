//! From live objects to a successor that has read every entry.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use kho_benches::end_to_end::{
    Bitcode, Crossing, Digest, Format, KhoBlock, Postcard, Rkyv, SerdeJson, Zerocopy, cross,
    processes, sessions,
};
use kho_benches::{LARGE, PROCESSES};

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// Number of timed crossings. serde_json, which is slow, makes a third as many.
const SAMPLES: usize = 30;

/// The part of a crossing that is timed.
#[derive(Clone, Copy)]
struct Phase {
    /// First part of its groups' names.
    name: &'static str,
    time: fn(&Crossing) -> Duration,
    /// Whether the file is allocated beforehand, if the format can do that.
    allocated: bool,
}

const PHASES: [Phase; 2] = [
    Phase {
        name: "end to end",
        time: |crossing| crossing.prepare + crossing.freeze + crossing.read,
        allocated: false,
    },
    // The blackout of a live update starts with the freeze. Work before it costs nothing.
    Phase {
        name: "freeze to read",
        time: |crossing| crossing.freeze + crossing.read,
        allocated: true,
    },
];

fn end_to_end(criterion: &mut Criterion) {
    let (sessions, processes) = (sessions(LARGE), processes(PROCESSES));
    for phase in PHASES {
        compare(criterion, phase, "sessions", &sessions);
        compare(criterion, phase, "processes", &processes);
    }
}

/// Times every format.
fn compare<Live>(criterion: &mut Criterion, phase: Phase, objects: &str, live: &[Live])
where
    KhoBlock: Format<Live>,
    Rkyv: Format<Live>,
    Zerocopy<false>: Format<Live>,
    Zerocopy<true>: Format<Live>,
    Postcard: Format<Live>,
    Bitcode: Format<Live>,
    SerdeJson: Format<Live>,
{
    let mut group = criterion.benchmark_group(format!("{} {objects}", phase.name));
    // One crossing is long enough to be a sample.
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(live.len() as u64));
    let mut digest = None;
    bench::<Live, KhoBlock>(&mut group, phase, live, &mut digest);
    bench::<Live, Rkyv>(&mut group, phase, live, &mut digest);
    bench::<Live, Zerocopy<false>>(&mut group, phase, live, &mut digest);
    bench::<Live, Zerocopy<true>>(&mut group, phase, live, &mut digest);
    bench::<Live, Postcard>(&mut group, phase, live, &mut digest);
    bench::<Live, Bitcode>(&mut group, phase, live, &mut digest);
    group.sample_size(SAMPLES / 3);
    bench::<Live, SerdeJson>(&mut group, phase, live, &mut digest);
    group.finish();
}

/// Times a format, after checking that it reads the same as the first one.
fn bench<Live, F: Format<Live>>(
    group: &mut Group<'_>,
    phase: Phase,
    live: &[Live],
    digest: &mut Option<Digest>,
) {
    let first = cross::<Live, F>(live, None).expect("the format brings everything across");
    assert_eq!(first.digest, *digest.get_or_insert(first.digest), "{}", F::NAME);
    let len = phase.allocated.then_some(first.len);
    group.bench_function(F::NAME, |bencher| {
        bencher.iter_custom(|times| {
            let crossings = (0..times).map(|_| cross::<Live, F>(live, len));
            crossings
                .map(|crossing| (phase.time)(&crossing.expect("an earlier crossing succeeded")))
                .sum()
        });
    });
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(10))
}

criterion_group! {
    name = benches;
    config = config();
    targets = end_to_end
}
criterion_main!(benches);
