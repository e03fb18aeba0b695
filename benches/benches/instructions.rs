//! Counts the instructions of each workload under valgrind. `src/bin/gate.rs` runs this and
//! compares the counts with those on record.
//!
//! Only the workload itself is counted. Its arguments are made before, and its results are dropped
//! after.
// The items that gungraun's macros generate have no documentation.
#![allow(missing_docs)]

use std::env;
use std::hint::black_box;
use std::process::{Command, Stdio};

use gungraun::{LibraryBenchmarkConfig, library_benchmark, library_benchmark_group};
use kho_benches::{Array, MemorySlot, Preserved, Restore, SMALL, filled, numbered, random_indices};
use kho_block::{BlockSet, HeapMemory, MemfdMemory, SealedMemfd, SetHead, SetView};

type Slots = Vec<MemorySlot>;
type Set = kho_benches::Set<MemorySlot, HeapMemory>;
type HandedOver = Preserved<MemorySlot, HeapMemory>;
type View = SetView<'static, MemorySlot, SealedMemfd>;

/// Makes an empty collection with room, in memory that was written before.
fn with_room<C: Array<MemorySlot>>() -> C {
    let mut set = full::<C>();
    set.clear();
    set
}

fn full<C: Array<MemorySlot>>() -> C {
    filled(SMALL)
}

#[library_benchmark]
#[bench::vec(with_room::<Slots>())]
#[bench::block_set(with_room::<Set>())]
fn push<C: Array<MemorySlot>>(mut set: C) -> C {
    kho_benches::fill(&mut set, black_box(SMALL));
    set
}

#[library_benchmark]
#[bench::vec(with_room::<Slots>(), numbered::<MemorySlot>(SMALL))]
#[bench::block_set(with_room::<Set>(), numbered::<MemorySlot>(SMALL))]
fn bulk_append<C: Array<MemorySlot>>(mut set: C, slots: Slots) -> (C, Slots) {
    kho_benches::bulk_append(&mut set, &slots);
    (set, slots)
}

#[library_benchmark]
#[bench::vec(full::<Slots>())]
#[bench::block_set(full::<Set>())]
fn for_loop<C: Array<MemorySlot>>(mut set: C) -> (C, u64) {
    let sum = kho_benches::for_loop(&mut set);
    (set, sum)
}

#[library_benchmark]
#[bench::vec(full::<Slots>())]
#[bench::block_set(full::<Set>())]
fn for_count<C: Array<MemorySlot>>(mut set: C) -> (C, usize) {
    let count = kho_benches::for_count(&mut set, black_box(1 << 30));
    (set, count)
}

#[library_benchmark]
#[bench::vec(full::<Slots>())]
#[bench::block_set(full::<Set>())]
fn fold<C: Array<MemorySlot>>(mut set: C) -> (C, u64) {
    let sum = kho_benches::fold(&mut set);
    (set, sum)
}

#[library_benchmark]
#[bench::vec(full::<Slots>())]
#[bench::block_set(full::<Set>())]
fn chunks<C: Array<MemorySlot>>(mut set: C) -> (C, u64) {
    let sum = kho_benches::chunks(&mut set);
    (set, sum)
}

#[library_benchmark]
#[bench::vec(full::<Slots>())]
#[bench::block_set(full::<Set>())]
fn reverse<C: Array<MemorySlot>>(mut set: C) -> (C, u64) {
    let sum = kho_benches::reverse(&mut set);
    (set, sum)
}

#[library_benchmark]
#[bench::vec(full::<Slots>(), random_indices(10_000, SMALL))]
#[bench::block_set(full::<Set>(), random_indices(10_000, SMALL))]
fn random_get<C: Array<MemorySlot>>(mut set: C, indices: Vec<usize>) -> (C, Vec<usize>, u64) {
    let sum = kho_benches::gather(&mut set, &indices);
    (set, indices, sum)
}

#[library_benchmark]
#[bench::vec(full::<Slots>(), random_indices(1_000, SMALL))]
#[bench::block_set(full::<Set>(), random_indices(1_000, SMALL))]
fn seek<C: Array<MemorySlot>>(mut set: C, indices: Vec<usize>) -> (C, Vec<usize>, u64) {
    let sum = kho_benches::seek(&mut set, &indices);
    (set, indices, sum)
}

#[library_benchmark]
#[bench::vec(full::<Slots>())]
#[bench::block_set(full::<Set>())]
fn rewrite<C: Array<MemorySlot>>(mut set: C) -> C {
    kho_benches::rewrite(&mut set, black_box(SMALL));
    set
}

#[library_benchmark]
#[bench::vec(with_room::<Slots>())]
#[bench::block_set(with_room::<Set>())]
fn roll_back<C: Array<MemorySlot>>(mut set: C) -> C {
    kho_benches::roll_back(&mut set, black_box(SMALL));
    set
}

#[library_benchmark]
#[bench::block_set(HandedOver::preserve(SMALL))]
fn restore(mut chain: HandedOver) -> (HandedOver, Set) {
    let set = chain.restore();
    (chain, set)
}

/// Makes a chain and restores it as a set.
fn restored() -> (HandedOver, Set) {
    let mut chain = HandedOver::preserve(SMALL);
    let set = chain.restore();
    (chain, set)
}

#[library_benchmark]
#[bench::block_set(restored())]
fn hand_over((mut chain, set): (HandedOver, Set)) -> HandedOver {
    black_box(chain.hand_over(set));
    chain
}

/// Makes a sealed memfd with a set, as a successor gets it. It is leaked.
fn sealed() -> (&'static SealedMemfd, SetHead<MemorySlot>) {
    // Under valgrind there is less address space than a memfd reserves by default.
    let memory = MemfdMemory::with_max_len("instructions", 1 << 24);
    let memory: MemfdMemory = memory.expect("a memfd can be made and mapped");
    let mut set = BlockSet::new_in(&memory);
    set.writer().extend_from_slice(&numbered(SMALL)).expect("the memory has room");
    let head = set.hand_over();
    (Box::leak(Box::new(memory.seal().expect("nobody else maps it"))), head)
}

#[library_benchmark]
#[bench::set_view(sealed())]
fn restore_view((memory, head): (&'static SealedMemfd, SetHead<MemorySlot>)) -> View {
    SetView::restore(memory, head).expect("the chain is valid")
}

library_benchmark_group!(name = writing, benchmarks = [push, bulk_append, rewrite, roll_back]);
library_benchmark_group!(
    name = reading,
    benchmarks = [for_loop, for_count, fold, chunks, reverse, random_get, seek]
);
library_benchmark_group!(name = crossing, benchmarks = [restore, hand_over, restore_view]);

/// Holds the `main` that gungraun generates from the groups. Ours first checks for missing
/// programs.
mod harness {
    use gungraun::main;

    use super::{crossing, reading, writing};

    main!(config = super::config(), library_benchmark_groups = [writing, reading, crossing]);

    pub(super) fn run() {
        main();
    }
}

/// Returns a configuration under which the C library copies bytes with the same code, the oldest,
/// on every processor.
fn config() -> LibraryBenchmarkConfig {
    let features =
        ["AVX512VL", "AVX512F", "AVX2", "AVX", "AVX_Fast_Unaligned_Load", "SSSE3", "ERMS", "FSRM"];
    let hwcaps = features.map(|feature| format!("-{feature}")).join(",");
    let threshold = "glibc.cpu.x86_non_temporal_threshold=0x10000000";
    let mut config = LibraryBenchmarkConfig::default();
    config.env("GLIBC_TUNABLES", format!("glibc.cpu.hwcaps={hwcaps}:{threshold}"));
    config
}

/// Returns a program that is missing. The benches need gungraun's runner; counting also needs
/// valgrind.
fn missing() -> Option<&'static str> {
    let mut args = env::args().skip(1);
    let first = args.next();
    if first.as_deref() == Some("--gungraun-run") {
        // The runner started this process, so it exists.
        return None;
    }
    let counts = first.into_iter().chain(args).any(|arg| arg == "--bench");
    let runner = option_env!("GUNGRAUN_RUNNER").unwrap_or("gungraun-runner");
    let programs: &[_] = if counts { &[runner, "valgrind"] } else { &[runner] };
    programs.iter().copied().find(|program| !exists(program))
}

/// Returns whether a program can be started, even if it then fails.
fn exists(program: &str) -> bool {
    let (out, err) = (Stdio::null(), Stdio::null());
    Command::new(program).arg("--version").stdout(out).stderr(err).status().is_ok()
}

fn main() {
    match missing() {
        None => harness::run(),
        Some(program) => println!("skipped: instruction counts: no {program} here"),
    }
}
