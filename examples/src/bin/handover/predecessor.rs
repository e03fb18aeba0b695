//! The first program: takes the snapshot, freezes it, and jumps.
//!
//! Everything that can fail is done before the freeze. The freeze itself allocates nothing.

use std::convert::Infallible;
use std::hash::Hash;
use std::mem;

use anyhow::Context as _;
use kho_block::bytemuck::{Zeroable as _, bytes_of};
use kho_block::{BlockSet, Entry, MemfdMemory, ReserveError, SetHead};
use kho_examples::entries::{Mapping, Missed, OpenFile, Process};
use kho_examples::live::{LiveFile, LiveMapping, LiveProcess};
use kho_examples::proc_table;
use kho_examples::progress::Progress;
use kho_examples::room::Room;
use xxhash_rust::xxh3::Xxh3;

use crate::entries::{BLOCK_LIMIT, Snapshot, Synthetic, Times, now};
use crate::jump::{self, Crossing};

pub(crate) struct Options {
    pub(crate) synthetic_count: u64,
    /// Number of successors to run; 0 for one that views the sealed file.
    pub(crate) generations: u64,
    pub(crate) rows: u64,
    pub(crate) corrupt: Option<u64>,
}

/// Returns only if something fails.
pub(crate) fn run(options: &Options) -> anyhow::Result<Infallible> {
    let mut times = Times::default();
    let mut lap = Lap(now());
    let (processes, missed) = proc_table::read()?;
    let source = Source { processes, missed, synthetic_count: options.synthetic_count };
    times.snapshot = lap.split();
    let memory = MemfdMemory::new(jump::FILE_NAME).context("can't create the memfd")?;
    let reserved = Reserved::new(&memory, &source).context("can't reserve the blocks")?;
    times.reserve = lap.split();
    let mut snapshot = source.snapshot();
    times.digest = lap.split();

    snapshot.generations_wanted = options.generations;
    snapshot.rows = options.rows;
    snapshot.times = times;
    let root = reserved.freeze(&source, snapshot)?;
    let crossing = Crossing { sealed: options.generations == 0, corrupt: options.corrupt };
    jump::jump(memory, root, crossing)
}

/// Time since the last split.
struct Lap(u64);

impl Lap {
    fn split(&mut self) -> u64 {
        let now = now();
        now - mem::replace(&mut self.0, now)
    }
}

/// Everything that the predecessor has to hand over.
pub(crate) struct Source {
    pub(crate) processes: Vec<LiveProcess>,
    pub(crate) missed: Missed,
    pub(crate) synthetic_count: u64,
}

impl Source {
    /// Returns a root with the digests, and without sets.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut processes = ProcessDigest::default();
        for process in &self.processes {
            processes.add(process);
        }
        let mut synthetic = Xxh3::new();
        let mut progress = Progress::new("digest", self.synthetic_count);
        for index in 0..self.synthetic_count {
            progress.at(index);
            synthetic.update(bytes_of(&Synthetic::new(index)));
        }
        Snapshot {
            process_digest: processes.finish(),
            synthetic_digest: synthetic.digest(),
            missed: self.missed,
            ..Snapshot::zeroed()
        }
    }
}

/// A digest of processes with their files and mappings, in order.
///
/// Both sides take it of live objects, so it also shows an error in the conversion to entries and
/// back. A derived `Hash` is good enough here, since both sides are the same program. Between
/// versions, write out what is hashed.
#[derive(Default)]
pub(crate) struct ProcessDigest(Xxh3);

impl ProcessDigest {
    pub(crate) fn add(&mut self, process: &LiveProcess) {
        process.hash(&mut self.0);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.digest()
    }
}

type Set<'m, T> = BlockSet<T, &'m MemfdMemory>;

/// Empty sets with room for everything.
pub(crate) struct Reserved<'m> {
    root: Set<'m, Snapshot>,
    processes: Set<'m, Process>,
    /// The sets of each process, in the order of the processes.
    nested: Vec<(Set<'m, OpenFile>, Set<'m, Mapping>)>,
    synthetic: Set<'m, Synthetic>,
}

impl<'m> Reserved<'m> {
    pub(crate) fn new(memory: &'m MemfdMemory, source: &Source) -> anyhow::Result<Self> {
        let room = Room::measure(memory);
        let root = reserve(memory, 1)?;
        let processes = reserve(memory, source.processes.len())?;
        let nested = source
            .processes
            .iter()
            .map(|process| {
                Ok((
                    reserve(memory, process.files.len())?,
                    reserve(memory, process.mappings.len())?,
                ))
            })
            .collect::<Result<_, ReserveError>>()?;
        let per_block = Set::<Synthetic>::COUNT_PER_BLOCK;
        room.check(source.synthetic_count, per_block, memory.usage().owned)?;
        let synthetic = reserve(memory, usize::try_from(source.synthetic_count)?)?;
        Ok(Self { root, processes, nested, synthetic })
    }

    /// Writes everything and hands it over, the root last.
    pub(crate) fn freeze(
        mut self,
        source: &Source,
        mut snapshot: Snapshot,
    ) -> anyhow::Result<SetHead<Snapshot>> {
        let started = now();
        let mut blocks = 1; // the root's
        let mut file_count = 0;
        let mut mapping_count = 0;

        let mut writer = self.processes.writer();
        for (process, (mut files, mut mappings)) in source.processes.iter().zip(self.nested) {
            files.try_extend(process.files.iter().map(LiveFile::to_entry))?;
            mappings.try_extend(process.mappings.iter().map(LiveMapping::to_entry))?;
            blocks += files.block_count() + mappings.block_count();
            file_count += files.len();
            mapping_count += mappings.len();
            // The nested sets are handed over first: their heads are fields of this entry.
            let entry = process.to_entry(files.hand_over(), mappings.hand_over());
            writer.push_within_capacity(entry)?;
        }
        drop(writer);

        let mut writer = self.synthetic.writer();
        let mut progress = Progress::new("freeze", source.synthetic_count);
        for index in 0..source.synthetic_count {
            progress.at(index);
            writer.push_within_capacity(Synthetic::new(index))?;
        }
        drop((writer, progress));

        blocks += self.processes.block_count() + self.synthetic.block_count();
        snapshot.process_count = self.processes.len() as u64;
        snapshot.synthetic_count = self.synthetic.len() as u64;
        snapshot.file_count = file_count as u64;
        snapshot.mapping_count = mapping_count as u64;
        snapshot.blocks = blocks as u64;
        snapshot.processes = self.processes.hand_over();
        snapshot.synthetic = self.synthetic.hand_over();
        snapshot.times.left = now();
        snapshot.times.freeze = snapshot.times.left - started;
        snapshot.digest = snapshot.expected_digest();
        self.root.writer().push_within_capacity(snapshot)?;
        Ok(self.root.hand_over())
    }
}

fn reserve<T: Entry>(memory: &MemfdMemory, count: usize) -> Result<Set<'_, T>, ReserveError> {
    let mut set = BlockSet::new_in(memory);
    set.set_block_limit(BLOCK_LIMIT);
    set.try_reserve(count)?;
    Ok(set)
}
