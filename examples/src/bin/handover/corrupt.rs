//! Flips one bit of one header, to show that the successor notices.

use std::fmt;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use kho_block::abi::HEADER_SIZE;
use kho_block::{Entry, ForeignSet, PhysAddr, ReadMemory, RestoreError, SetHead};
use rustix::io::{pread, pwrite};
use xxhash_rust::xxh3::xxh3_64;

use crate::entries::{BLOCK_LIMIT, Snapshot};

/// A bit in the header of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flip {
    pub(crate) block: PhysAddr,
    /// 0 to 63 are in `next`, 64 to 127 in `count`.
    pub(crate) bit: usize,
}

impl Flip {
    pub(crate) const BITS: usize = HEADER_SIZE * 8;

    /// The flip that follows from `seed`.
    pub(crate) fn from_seed(blocks: &[PhysAddr], seed: u64) -> Self {
        let draw = |stream: u8, below: usize| {
            let mut input = [stream; 9];
            input[..8].copy_from_slice(&seed.to_le_bytes());
            (u128::from(xxh3_64(&input)) * below as u128) >> 64
        };
        let block = usize::try_from(draw(0, blocks.len())).unwrap_or(0);
        let bit = usize::try_from(draw(1, Self::BITS)).unwrap_or(0);
        Self { block: blocks[block], bit }
    }

    /// Flips the bit in the file.
    pub(crate) fn apply(self, fd: &OwnedFd) -> anyhow::Result<()> {
        let offset = self.block.get() + (self.bit / 8) as u64;
        let mut byte = [0];
        pread(fd, &mut byte, offset).context("can't read the memfd")?;
        byte[0] ^= 1 << (self.bit % 8);
        pwrite(fd, &byte, offset).context("can't write the memfd")?;
        Ok(())
    }
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.bit < 64 { "next" } else { "count" };
        write!(f, "bit {} of `{field}` in the header of block {}", self.bit % 64, self.block)
    }
}

/// The addresses of the blocks of all sets, which were handed over.
pub(crate) fn all_blocks(
    memory: &impl ReadMemory,
    root: SetHead<Snapshot>,
) -> anyhow::Result<Vec<PhysAddr>> {
    let root = foreign(memory, root)?;
    let mut blocks = root.blocks().to_vec();
    for snapshot in &root {
        let snapshot = snapshot?;
        let processes = foreign(memory, snapshot.processes)?;
        blocks.extend(processes.blocks());
        for process in &processes {
            let process = process?;
            blocks.extend(foreign(memory, process.files)?.blocks());
            blocks.extend(foreign(memory, process.maps)?.blocks());
        }
        blocks.extend(foreign(memory, snapshot.synthetic)?.blocks());
        blocks.extend(foreign(memory, snapshot.generations)?.blocks());
    }
    Ok(blocks)
}

fn foreign<T: Entry, M: ReadMemory>(
    memory: &M,
    head: SetHead<T>,
) -> Result<ForeignSet<'_, T, M>, RestoreError> {
    ForeignSet::restore_with_limit(memory, head, BLOCK_LIMIT)
}
