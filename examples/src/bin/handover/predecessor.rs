//! The first program: takes the snapshot, freezes it and jumps.

use std::convert::Infallible;

use anyhow::Context as _;
use kho_block::MemfdMemory;
use kho_examples::proc_table;

use crate::entries::Times;
use crate::freeze::{Plan, Reserved};
use crate::jump::{Crossing, jump};
use crate::source::Source;
use crate::{clock, inherited};

pub(crate) struct Options {
    pub(crate) synthetic_count: u64,
    /// How many successors there are to be; 0 for one that views the sealed file.
    pub(crate) generations: u64,
    pub(crate) rows: u64,
    pub(crate) corrupt: Option<u64>,
}

/// Returns only if something fails.
pub(crate) fn run(options: &Options) -> anyhow::Result<Infallible> {
    let mut times = Times::default();
    let mut lap = Lap(clock::now());
    let (processes, missed) = proc_table::read()?;
    let source = Source { processes, missed, synthetic_count: options.synthetic_count };
    times.snapshot = lap.split();
    let memory = MemfdMemory::new(inherited::NAME).context("can't make the memfd")?;
    let reserved = Reserved::new(&memory, &source).context("can't reserve the blocks")?;
    times.reserve = lap.split();

    let process_digest = source.process_digest();
    let synthetic_digest = source.synthetic_digest();
    times.digest = lap.split();

    let plan = Plan {
        process_digest,
        synthetic_digest,
        generations_wanted: options.generations,
        rows: options.rows,
        times,
    };
    let root = reserved.freeze(&source, plan)?;
    let crossing = Crossing { sealed: options.generations == 0, corrupt: options.corrupt };
    jump(memory, root, crossing)
}

/// Time since the last split.
struct Lap(u64);

impl Lap {
    fn split(&mut self) -> u64 {
        let now = clock::now();
        now - std::mem::replace(&mut self.0, now)
    }
}
