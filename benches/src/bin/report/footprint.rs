//! Memory that a set takes beyond its blocks: what the process has allocated, less the blocks.

use anyhow::{Context, Result, ensure};
use bytemuck::Zeroable;
use kho_benches::MemorySlot;
use kho_block::{BlockMemory, BlockSet, HeapMemory, MemfdMemory, ReadMemory, Usage};
use peak_alloc::PeakAlloc;

use crate::names::SETS;

/// Counts what is allocated.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// How many full blocks the sets have.
const BLOCKS: usize = 10_000;

/// What one set takes.
#[derive(Clone, Debug)]
pub(crate) struct Footprint {
    /// How the set came to be.
    pub(crate) workload: &'static str,
    /// Set and memory.
    pub(crate) contender: &'static str,
    /// How many entries the set has.
    pub(crate) entries: usize,
    /// How many blocks the set has.
    pub(crate) blocks: usize,
    /// Bytes that are allocated beyond the blocks: for the set, and for the table of its memory.
    pub(crate) bytes: usize,
}

impl Footprint {
    /// What each block costs beyond itself.
    pub(crate) fn bytes_per_block(&self) -> f64 {
        self.bytes as f64 / self.blocks as f64
    }
}

/// A memory that is measured.
trait Memory: BlockMemory {
    /// Bytes of blocks that come from the allocator.
    fn allocated(&self) -> usize;
}

impl Memory for &HeapMemory {
    fn allocated(&self) -> usize {
        let Usage { free, owned, preserved, .. } = self.usage();
        (free + owned + preserved) * HeapMemory::<4096>::BLOCK_SIZE
    }
}

/// Its blocks are in a file.
impl Memory for &MemfdMemory {
    fn allocated(&self) -> usize {
        0
    }
}

/// How a set came to be.
#[derive(Clone, Copy)]
enum State {
    Reserved,
    Grown,
    Restored,
}

impl State {
    const ALL: [Self; 3] = [Self::Reserved, Self::Grown, Self::Restored];

    fn workload(self) -> &'static str {
        match self {
            Self::Reserved => "footprint, reserved and filled",
            Self::Grown => "footprint, grown by pushing",
            Self::Restored => "footprint, restored",
        }
    }
}

/// Measures sets that were reserved, that grew entry by entry, and that were restored.
///
/// # Errors
/// The memory has no room, or its blocks are not where they are looked for.
pub(crate) fn measure() -> Result<Vec<Footprint>> {
    let mut footprints = Vec::new();
    for state in State::ALL {
        let before = ALLOCATOR.current_usage();
        let heap = HeapMemory::new();
        footprints.push(measure_in(SETS[0], &heap, state, before)?);
        drop(heap);

        let before = ALLOCATOR.current_usage();
        let memfd = MemfdMemory::new("footprint")?;
        footprints.push(measure_in(SETS[1], &memfd, state, before)?);
    }
    Ok(footprints)
}

/// Measures a set in a new memory, before which so many bytes were allocated.
fn measure_in<M: Memory + Copy>(
    contender: &'static str,
    memory: M,
    state: State,
    before: usize,
) -> Result<Footprint> {
    let entries = BLOCKS * BlockSet::<MemorySlot, M>::COUNT_PER_BLOCK;
    let mut set = BlockSet::new_in(memory);
    if !matches!(state, State::Grown) {
        set.try_reserve(entries)?;
    }
    let mut writer = set.writer();
    for _ in 0..entries {
        writer.push(MemorySlot::zeroed())?;
    }
    drop(writer);
    if matches!(state, State::Restored) {
        set = BlockSet::restore(memory, set.hand_over())?;
    }

    let after = ALLOCATOR.current_usage();
    let beyond = after.checked_sub(before + memory.allocated());
    let bytes = beyond.context("the heap's blocks did not come from the global allocator")?;
    let blocks = set.blocks().len();
    ensure!(blocks == BLOCKS, "{entries} entries are in {blocks} blocks, not {BLOCKS}");
    Ok(Footprint { workload: state.workload(), contender, entries, blocks, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roughly, since other tests allocate meanwhile: the blocks themselves are not counted.
    #[test]
    fn a_set_takes_some_bytes_beyond_its_blocks() -> Result<()> {
        let footprints = measure()?;
        assert_eq!(footprints.len(), 6);
        for footprint in footprints {
            let bytes = footprint.bytes_per_block();
            assert!((1.0..4096.0).contains(&bytes), "{footprint:?}");
        }
        Ok(())
    }
}
