//! From live objects to a successor that has read every entry.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use kho_benches::end_to_end::{
    Bitcode, Blocks, Crossing, Digest, Flatbuffers, Format, ParallelBlocks, Postcard, Rkyv,
    SerdeJson, Zerocopy, ZerocopyHuge, cross, processes, sessions,
};

/// As many sessions as 10,000 full blocks hold, the longest chain that Linux follows.
const SESSIONS: usize = 1_270_000;

/// A host's worth of processes.
const PROCESSES: usize = 1000;

/// How often a crossing is timed; serde_json's less often, which take long.
const SAMPLES: usize = 30;

/// What of a crossing is timed.
#[derive(Clone, Copy)]
struct Part {
    /// How its groups start.
    name: &'static str,
    time: fn(&Crossing) -> Duration,
    /// Whether the file is allocated before, as far as the format can.
    allocated: bool,
}

const PARTS: [Part; 4] = [
    Part {
        name: "end to end",
        time: |crossing| crossing.prepare + crossing.freeze + crossing.read,
        allocated: false,
    },
    Part {
        name: "end to end, write",
        time: |crossing| crossing.prepare + crossing.freeze,
        allocated: false,
    },
    Part { name: "end to end, read", time: |crossing| crossing.read, allocated: false },
    // A live update's downtime starts with the freeze: what can be done before costs nothing.
    Part {
        name: "freeze to read",
        time: |crossing| crossing.freeze + crossing.read,
        allocated: true,
    },
];

fn end_to_end(criterion: &mut Criterion) {
    let sessions = sessions(SESSIONS);
    let processes = processes(PROCESSES).expect("the process table can be read");
    for part in PARTS {
        let data = format!("sessions/32/{SESSIONS}");
        let mut run = group(criterion, part, &data, &sessions);
        let mut digest = compare(&mut run, part, &sessions);
        bench::<_, ParallelBlocks>(&mut run, part, &sessions, &mut digest);
        run.finish();

        let data = format!("process table/mixed/{PROCESSES}");
        let mut run = group(criterion, part, &data, &processes);
        compare(&mut run, part, &processes);
        run.finish();
    }
}

fn group<'c, Live>(
    criterion: &'c mut Criterion,
    part: Part,
    data: &str,
    live: &[Live],
) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(format!("{}, {data}", part.name));
    // One crossing is long enough to be a sample.
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(live.len() as u64));
    group
}

/// Runs every format; gives out what they read.
fn compare<Live>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    part: Part,
    live: &[Live],
) -> Option<Digest>
where
    Blocks: Format<Live>,
    Rkyv: Format<Live>,
    Zerocopy: Format<Live>,
    ZerocopyHuge: Format<Live>,
    Postcard: Format<Live>,
    Bitcode: Format<Live>,
    SerdeJson: Format<Live>,
    Flatbuffers: Format<Live>,
{
    let mut digest = None;
    bench::<Live, Blocks>(group, part, live, &mut digest);
    bench::<Live, Rkyv>(group, part, live, &mut digest);
    bench::<Live, Zerocopy>(group, part, live, &mut digest);
    bench::<Live, ZerocopyHuge>(group, part, live, &mut digest);
    bench::<Live, Postcard>(group, part, live, &mut digest);
    bench::<Live, Bitcode>(group, part, live, &mut digest);
    bench::<Live, Flatbuffers>(group, part, live, &mut digest);
    group.sample_size(10);
    bench::<Live, SerdeJson>(group, part, live, &mut digest);
    group.sample_size(SAMPLES);
    digest
}

/// Every format has to read what the first one has.
fn bench<Live, F: Format<Live>>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    part: Part,
    live: &[Live],
    digest: &mut Option<Digest>,
) {
    let first = cross::<Live, F>(live, None).expect("the format brings everything across");
    assert_eq!(first.digest, *digest.get_or_insert(first.digest), "{}", F::NAME);
    let len = part.allocated.then_some(first.len);
    group.bench_function(F::NAME, |bencher| {
        bencher.iter_custom(|times| {
            let crossings = (0..times).map(|_| cross::<Live, F>(live, len));
            crossings.map(|crossing| (part.time)(&crossing.expect("it did before"))).sum()
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
