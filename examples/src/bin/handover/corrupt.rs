//! Flips one bit of the blocks before they cross, to show that the successor notices.

use std::fmt;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use kho_block::abi::HEADER_SIZE;
use kho_block::{Entry, ForeignSet, PhysAddr, ReadMemory, RestoreError, SetHead};
use rustix::io::{pread, pwrite};
use xxhash_rust::xxh3::xxh3_64;

use crate::entries::{BLOCK_LIMIT, Snapshot};

/// A block of one of the sets, and how much of it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) addr: PhysAddr,
    /// Size of its entries in bytes. The bytes after them mean nothing, so a change there is not
    /// noticed.
    pub(crate) entry_bytes: usize,
}

/// One bit of a block, to be flipped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flip {
    pub(crate) block: PhysAddr,
    /// 0 to 63 is in `next`, 64 to 127 in `count`, the rest in the entries.
    pub(crate) bit: usize,
}

impl Flip {
    pub(crate) const HEADER_BITS: usize = HEADER_SIZE * 8;

    /// Returns the flip that `seed` selects. Half of all seeds select a header, half an entry.
    pub(crate) fn from_seed(blocks: &[Block], seed: u64) -> Self {
        let draw = |stream: u8, below: usize| {
            let mut input = [stream; 9];
            input[..8].copy_from_slice(&seed.to_le_bytes());
            let drawn = (u128::from(xxh3_64(&input)) * below as u128) >> 64;
            usize::try_from(drawn).unwrap_or(0)
        };
        let block = blocks[draw(0, blocks.len())];
        let bit = match draw(1, 2) {
            0 => draw(2, Self::HEADER_BITS),
            _ => Self::HEADER_BITS + draw(2, block.entry_bytes * 8),
        };
        Self { block: block.addr, bit }
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
        let Self { block, bit } = self;
        match bit {
            0..64 => write!(f, "bit {bit} of `next` in the header of block {block}"),
            64..128 => write!(f, "bit {} of `count` in the header of block {block}", bit - 64),
            _ => write!(f, "bit {} of byte {} of block {block}, in an entry", bit % 8, bit / 8),
        }
    }
}

/// Returns the blocks of all sets that the root leads to.
pub(crate) fn all_blocks(
    memory: &impl ReadMemory,
    root: SetHead<Snapshot>,
) -> anyhow::Result<Vec<Block>> {
    let mut blocks = Vec::new();
    for snapshot in &visit(memory, root, &mut blocks)? {
        let snapshot = snapshot?;
        for process in &visit(memory, snapshot.processes, &mut blocks)? {
            let process = process?;
            visit(memory, process.files, &mut blocks)?;
            visit(memory, process.mappings, &mut blocks)?;
        }
        visit(memory, snapshot.synthetic, &mut blocks)?;
        visit(memory, snapshot.generations, &mut blocks)?;
    }
    Ok(blocks)
}

/// Returns the set at `head`, and adds its blocks to `blocks`.
fn visit<'m, T: Entry, M: ReadMemory>(
    memory: &'m M,
    head: SetHead<T>,
    blocks: &mut Vec<Block>,
) -> Result<ForeignSet<'m, T, M>, RestoreError> {
    let set = ForeignSet::restore_with_limit(memory, head, BLOCK_LIMIT)?;
    let mut left = set.len();
    for &addr in set.blocks() {
        // This program fills every block but the last.
        let count = left.min(ForeignSet::<T, M>::COUNT_PER_BLOCK);
        blocks.push(Block { addr, entry_bytes: count * size_of::<T>() });
        left -= count;
    }
    Ok(set)
}
