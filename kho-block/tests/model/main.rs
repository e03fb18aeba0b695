//! Every operation of a set against a plain `Vec`, on every memory, for entries of many sizes.
//!
//! `PROPTEST_CASES` sets how many plans each test runs.

#![allow(unsafe_code)] // a memory for the tests, and chains that are made by hand

use std::panic::resume_unwind;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use kho_block::{BlockSet, Entry, FaultyMemory, HeapMemory, MemfdMemory};
use proptest::test_runner::{Config, TestRunner};
use rayon::ThreadPoolBuilder;

use crate::common::{Bytes, Wide, Words};
use crate::memories::TestMemory;

mod changing;
#[path = "../common/mod.rs"]
mod common;
mod counting;
mod crossing;
mod cursor;
mod driver;
mod memories;
mod naive;
mod ops;
mod parallel;
mod reading;
mod watched;
mod writing;

/// Plans that each test runs, unless the environment says otherwise.
const CASES: u32 = 48;

/// Plans and operations of all tests so far.
static TOTAL: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// An entry that threads can share.
pub(crate) trait TestEntry: Entry + Send + Sync {}

impl<T: Entry + Send + Sync> TestEntry for T {}

/// The stack of a thread, in bytes. Entries of 64 KiB are passed by value, which takes much of it
/// without optimisation.
const STACK: usize = 32 << 20;

/// Runs plans for entries of type `T` on memories of type `M`.
fn model<T: TestEntry, M: TestMemory + 'static>() {
    static POOL: Once = Once::new();
    POOL.call_once(|| {
        let pool = ThreadPoolBuilder::new().num_threads(3).stack_size(STACK);
        pool.build_global().expect("rayon was used before this");
    });
    let thread = thread::Builder::new().stack_size(STACK).spawn(run::<T, M>).unwrap();
    if let Err(payload) = thread.join() {
        resume_unwind(payload);
    }
}

fn run<T: TestEntry, M: TestMemory>() {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    TestRunner::new(config)
        .run(&ops::plan(), |plan| {
            let ops = driver::run::<T, M>(&plan);
            TOTAL[0].fetch_add(1, Relaxed);
            TOTAL[1].fetch_add(ops, Relaxed);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let [cases, ops] = TOTAL.each_ref().map(|total| total.load(Relaxed));
    eprintln!("{cases} plans with {ops} operations so far");
}

#[test]
#[should_panic(expected = "index 3 is past the end of a set of 3 entries")]
fn indexing_past_the_end_panics() {
    let set = three_entries();
    let _ = set[3];
}

#[test]
#[should_panic(expected = "index 3 is past the end of a set of 3 entries")]
fn changing_past_the_end_panics() {
    let mut set = three_entries();
    set[3] = set[0];
}

#[test]
#[should_panic(expected = "the range ends at 4, past the end of a set of 3 entries")]
fn slices_past_the_end_panic() {
    let _ = three_entries().slices(2..=3);
}

#[test]
#[should_panic(expected = "the range starts at 3 but ends at 2")]
#[allow(clippy::reversed_empty_ranges)]
fn slices_that_end_before_they_start_panic() {
    let _ = three_entries().slices(3..2);
}

#[test]
#[should_panic(expected = "past the end of a set of 3 entries")]
fn slices_up_to_the_last_number_panic() {
    let _ = three_entries().slices(..=usize::MAX);
}

#[test]
#[should_panic(expected = "the range ends at 4, past the end of a set of 3 entries")]
fn copying_past_the_end_panics() {
    let mut copy = [common::sample(0); 3];
    three_entries().copy_to_slice(1, &mut copy);
}

#[test]
fn ranges_may_be_empty_anywhere() {
    let set = three_entries();
    assert_eq!(set.slices(3..).len() + set.slices(..0).len() + set.slices(1..1).len(), 0);
    assert_eq!(set.slices(1..).next(), Some(&[set[1], set[2]][..]));
    set.copy_to_slice(3, &mut []);
}

fn three_entries() -> BlockSet<Wide, HeapMemory> {
    let mut set = BlockSet::new_in(HeapMemory::new());
    for seed in 0..3 {
        set.push(common::sample(seed)).unwrap();
    }
    set
}

macro_rules! tests {
    ($($memory:ident = $type:ty: $($name:ident $entry:ty),+;)+) => {$(
        mod $memory {
            use super::*;

            $(
                #[test]
                fn $name() {
                    crate::model::<$entry, $type>();
                }
            )+
        }
    )+};
}

tests! {
    heap_4k = HeapMemory<4096>:
        bytes_1 Bytes<1>, bytes_2 Bytes<2>, bytes_3 Bytes<3>, words_1 Words<1>, wide Wide,
        words_3 Words<3>, words_4 Words<4>, words_8 Words<8>, words_10 Words<10>,
        bytes_511 Bytes<511>, words_64 Words<64>, words_125 Words<125>, bytes_2040 Bytes<2040>,
        bytes_2041 Bytes<2041>, bytes_4079 Bytes<4079>, words_510 Words<510>;
    heap_16k = HeapMemory<16384>:
        bytes_3 Bytes<3>, wide Wide, words_10 Words<10>, bytes_2041 Bytes<2041>,
        words_2046 Words<2046>;
    heap_64k = HeapMemory<65536>:
        words_3 Words<3>, wide Wide, words_125 Words<125>, bytes_65519 Bytes<65519>,
        words_8190 Words<8190>;
    memfd_4k = MemfdMemory<4096>:
        bytes_1 Bytes<1>, bytes_2 Bytes<2>, bytes_3 Bytes<3>, words_1 Words<1>, wide Wide,
        words_3 Words<3>, words_4 Words<4>, words_8 Words<8>, words_10 Words<10>,
        bytes_511 Bytes<511>, words_64 Words<64>, words_125 Words<125>, bytes_2040 Bytes<2040>,
        bytes_2041 Bytes<2041>, bytes_4079 Bytes<4079>, words_510 Words<510>;
    memfd_16k = MemfdMemory<16384>:
        wide Wide, words_10 Words<10>, bytes_2041 Bytes<2041>, words_2046 Words<2046>;
    memfd_64k = MemfdMemory<65536>:
        words_3 Words<3>, wide Wide, words_125 Words<125>, words_8190 Words<8190>;
    faulty_heap = FaultyMemory<HeapMemory<4096>>:
        bytes_3 Bytes<3>, wide Wide, words_4 Words<4>, words_10 Words<10>, bytes_2040 Bytes<2040>,
        words_510 Words<510>;
    faulty_memfd = FaultyMemory<MemfdMemory<4096>>:
        words_4 Words<4>, words_125 Words<125>, words_510 Words<510>;
    faulty_16k = FaultyMemory<HeapMemory<16384>>: words_4 Words<4>, bytes_2041 Bytes<2041>;
    faulty_64k = FaultyMemory<MemfdMemory<65536>>: words_125 Words<125>, words_8190 Words<8190>;
}
