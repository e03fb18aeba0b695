//! A process that is killed while it writes leaves a prefix of what it pushed.
//!
//! The test runs itself again as a child that writes into a memfd, kills it with SIGKILL at a
//! random moment, and restores the set it left. The child gets the memfd as its standard input. Its
//! standard error is another memfd, the control file: in it the child reports, before each step,
//! which entries may be found during the step, and after it, which must be found from then on.
#![cfg(target_os = "linux")]
#![cfg(not(miri))]
#![allow(unsafe_code)]
// For 64-bit machines.
#![allow(clippy::cast_possible_truncation)]

mod child;
#[path = "../common/mod.rs"]
mod common;
mod control;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, ForeignSet, MemfdMemory, PhysAddr, RestoreErrorKind, SetHead};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

use common::{OneBlock as _, itself};
use control::{Control, Random, Seen, Word};

/// Environment variable of the child: the seed of its actions.
const SEED: &str = "KHO_BLOCK_CRASH_SEED";

/// An entry with a checksum, which shows whether all of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "record", version = 1)]
pub(crate) struct Record {
    id: u64,
    checks: [u64; 3],
}

impl Record {
    pub(crate) fn new(id: u64) -> Self {
        let check = |i: u64| (id ^ i << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { id, checks: [check(1), check(2), check(3)] }
    }

    pub(crate) fn id(&self) -> u64 {
        assert_eq!(*self, Self::new(self.id), "an entry is not whole");
        self.id
    }
}

/// Block sizes: one entry to a block, three, and the size that Linux has.
const SIZES: u64 = 3;

#[test]
fn killed_200_times() {
    kill_and_look(0..200);
}

#[test]
#[ignore = "takes minutes"]
fn killed_10_000_times() {
    kill_and_look(1_000..11_000);
}

/// Runs the child. It is not a test by itself.
#[test]
#[ignore = "run by the other tests"]
fn writer_to_be_killed() {
    let Ok(seed) = std::env::var(SEED) else { return };
    let seed = seed.parse().unwrap();
    match seed % SIZES {
        0 => child::run::<64>(seed),
        1 => child::run::<128>(seed),
        _ => child::run::<4096>(seed),
    }
}

fn kill_and_look(seeds: std::ops::Range<u64>) {
    let mut steps = 0;
    let mut lens = Vec::new();
    for seed in seeds {
        let (step, len) = match seed % SIZES {
            0 => round::<64>(seed),
            1 => round::<128>(seed),
            _ => round::<4096>(seed),
        };
        steps += step;
        lens.push(len);
    }
    let rounds = lens.len();
    // The children ran, and were killed at different moments.
    assert!(steps > 10 * rounds as u64, "{steps} steps in {rounds} rounds");
    lens.sort_unstable();
    lens.dedup();
    assert!(lens.len() > rounds.min(300) / 10, "only {} different lengths", lens.len());
}

/// Runs and kills one child. Returns how many steps it finished, and how many entries it left.
fn round<const SIZE: usize>(seed: u64) -> (u64, usize) {
    let data = memfd_create("crash", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    fallocate(&data, FallocateFlags::empty(), 0, 256 << 10).unwrap();
    let control = Control::create();
    let mut random = Random(seed);
    let mut child = itself()
        .args(["--exact", "writer_to_be_killed", "--ignored", "--nocapture", "--test-threads=1"])
        .env(SEED, seed.to_string())
        .stdin(data.try_clone().unwrap())
        .stdout(Stdio::null())
        .stderr(control.messages())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while control.get(Word::Ready) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "{}", control.read_messages());
        assert!(Instant::now() < deadline, "the child does nothing");
        thread::sleep(Duration::from_micros(50));
    }
    let delay = Duration::from_micros(random.below(5000));
    let start = Instant::now();
    if delay > Duration::from_micros(300) {
        thread::sleep(delay - Duration::from_micros(100));
    }
    while start.elapsed() < delay {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{}", control.read_messages());

    let seen = look::<SIZE>(data, &control, seed);
    let allowed = control.allowed();
    assert!(allowed.contains(&seen), "seed {seed}: {} entries, {allowed:?}", seen.0.len());
    (control.get(Word::Steps), seen.0.len())
}

/// Restores the set that the child left.
fn look<const SIZE: usize>(data: OwnedFd, control: &Control, seed: u64) -> Seen {
    let blocks = File::from(data.try_clone().unwrap()).metadata().unwrap().len() as usize / SIZE;
    // SAFETY: the child is dead; the other descriptors are this function's and write nothing.
    let memory = unsafe { MemfdMemory::<SIZE>::from_fd(data) }.unwrap();
    let head = SetHead::<Record>::new(PhysAddr::new(control.get(Word::Head)));
    let copied: Result<Vec<_>, _> = ForeignSet::restore(&memory, head)
        .map(|set| set.iter().map(|record| record.unwrap().id()).collect());
    let set = match BlockSet::restore(&memory, head) {
        Ok(set) => set,
        Err(error) => {
            // The set is empty: its first block exists and is refused.
            assert_eq!((error.kind, error.position), (RestoreErrorKind::NoEntries, 0), "{seed}");
            assert_eq!(copied, Err(error));
            // No block is lost. Blocks that were never written may be holes.
            let usage = memory.usage();
            assert_eq!(usage.preserved + usage.unbacked, blocks - 1);
            return Seen(Vec::new());
        }
    };
    let seen: Vec<_> = set.iter().map(Record::id).collect();
    assert_eq!(copied.unwrap(), seen);

    // The successor can go on from there.
    let _ = set.hand_over();
    let mut set = BlockSet::restore(&memory, head).unwrap();
    memory.free_preserved();
    for id in 0..10 {
        set.push(Record::new(id)).unwrap();
    }
    assert_eq!(set.len(), seen.len() + 10);
    assert!(memory.allocate_one().is_ok());
    Seen(seen)
}
