//! Writes the source into blocks. What can fail is done before the freeze; the freeze itself
//! allocates nothing.

use kho_block::{BlockSet, Entry, MemfdMemory, ReserveError, SetHead};
use kho_examples::entries::{MemoryMap, OpenFile, Process};
use kho_examples::live::LiveProcess;

use crate::clock;
use crate::entries::{BLOCK_LIMIT, Snapshot, Synthetic, Times};
use crate::progress::Progress;
use crate::room::Room;
use crate::source::Source;

type Set<'m, T> = BlockSet<T, &'m MemfdMemory>;

/// Sets with room for everything, and nothing in them yet.
pub(crate) struct Reserved<'m> {
    root: Set<'m, Snapshot>,
    processes: Set<'m, Process>,
    /// For each process, in order.
    nested: Vec<(Set<'m, OpenFile>, Set<'m, MemoryMap>)>,
    synthetic: Set<'m, Synthetic>,
}

/// What is known before the freeze.
pub(crate) struct Plan {
    pub(crate) process_digest: u64,
    pub(crate) synthetic_digest: u64,
    pub(crate) generations_wanted: u64,
    pub(crate) rows: u64,
    pub(crate) times: Times,
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
                Ok((reserve(memory, process.files.len())?, reserve(memory, process.maps.len())?))
            })
            .collect::<Result<_, ReserveError>>()?;
        room.check(source.synthetic_count, memory.usage().owned)?;
        let synthetic = reserve(memory, usize::try_from(source.synthetic_count)?)?;
        Ok(Self { root, processes, nested, synthetic })
    }

    /// Writes everything and hands it over, the root last.
    pub(crate) fn freeze(
        mut self,
        source: &Source,
        plan: Plan,
    ) -> anyhow::Result<SetHead<Snapshot>> {
        let started = clock::now();
        let mut blocks = 1; // the root's
        let mut file_count = 0;
        let mut map_count = 0;

        let mut writer = self.processes.writer();
        for (process, (mut files, mut maps)) in source.processes.iter().zip(self.nested) {
            write_nested(process, &mut files, &mut maps)?;
            blocks += files.block_count() + maps.block_count();
            file_count += files.len();
            map_count += maps.len();
            // The nested sets are handed over first: their heads are fields of this entry.
            let entry = process.to_entry(files.hand_over(), maps.hand_over());
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
        let mut snapshot = Snapshot {
            process_count: self.processes.len() as u64,
            synthetic_count: self.synthetic.len() as u64,
            processes: self.processes.hand_over(),
            synthetic: self.synthetic.hand_over(),
            generations: SetHead::EMPTY,
            process_digest: plan.process_digest,
            synthetic_digest: plan.synthetic_digest,
            file_count: file_count as u64,
            map_count: map_count as u64,
            blocks: blocks as u64,
            generations_wanted: plan.generations_wanted,
            rows: plan.rows,
            missed: source.missed,
            times: plan.times,
            digest: 0,
        };
        snapshot.times.left = clock::now();
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

fn write_nested(
    process: &LiveProcess,
    files: &mut Set<'_, OpenFile>,
    maps: &mut Set<'_, MemoryMap>,
) -> anyhow::Result<()> {
    let mut writer = files.writer();
    for file in &process.files {
        writer.push_within_capacity(file.to_entry())?;
    }
    drop(writer);
    let mut writer = maps.writer();
    for map in &process.maps {
        writer.push_within_capacity(map.to_entry())?;
    }
    Ok(())
}
