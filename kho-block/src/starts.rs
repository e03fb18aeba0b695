//! The index at which each block of a chain starts, and the block that holds each index.

use alloc::vec::Vec;

/// The indices of the blocks' first entries.
///
/// A chain is *uniform* when every block but the last is full; then the indices are products, and
/// nothing is stored.
///
/// # Invariants
/// Empty, or one value for each block: strictly rising, the first one 0, none larger than the
/// block's position times `per_block`. There are at most [`countable_blocks`] blocks, so no such
/// product overflows.
///
/// [`countable_blocks`]: crate::abi::countable_blocks
#[derive(Clone, Default)]
pub(crate) struct Starts(Vec<usize>);

impl Starts {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns whether every block but the last is full, in which case nothing is stored.
    #[inline(always)]
    pub(crate) fn is_uniform(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the block at `position`, the next one, which starts with entry `start`.
    ///
    /// Allocates only if the chain stops being uniform, or if room was not
    /// [reserved](Self::reserve).
    #[inline]
    pub(crate) fn add_block(
        &mut self,
        position: usize,
        start: usize,
        per_block: usize,
    ) -> Result<(), OutOfMemory> {
        if self.is_uniform() && start == position * per_block {
            return Ok(());
        }
        self.store(position, start, per_block)
    }

    /// Stores the start of the block at `position`, and those before it if nothing is stored yet.
    fn store(
        &mut self,
        position: usize,
        start: usize,
        per_block: usize,
    ) -> Result<(), OutOfMemory> {
        if self.is_uniform() {
            self.try_reserve(position + 1)?;
            self.0.extend((0..position).map(|position| position * per_block));
        }
        self.try_reserve(1)?;
        self.0.push(start);
        Ok(())
    }

    /// Makes room for `blocks` blocks in all, so that adding them does not allocate.
    pub(crate) fn reserve(&mut self, blocks: usize) -> Result<(), OutOfMemory> {
        if self.is_uniform() {
            return Ok(());
        }
        self.try_reserve(blocks.saturating_sub(self.0.len()))
    }

    fn try_reserve(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        self.0.try_reserve(additional).map_err(|_| OutOfMemory)
    }

    /// Keeps the first `blocks` blocks.
    pub(crate) fn truncate(&mut self, blocks: usize, per_block: usize) {
        self.0.truncate(blocks);
        // If the last block starts where it would in a uniform chain, all blocks before it are
        // full.
        if self.0.last().is_some_and(|last| *last == (self.0.len() - 1) * per_block) {
            self.0.clear();
        }
    }

    /// Returns the index of the first entry of the block at `position`.
    #[inline]
    pub(crate) fn start(&self, position: usize, per_block: usize) -> usize {
        if self.is_uniform() { position * per_block } else { self.0[position] }
    }

    /// Returns the position of the block that holds entry `index`, and the entry's index in that
    /// block.
    #[inline]
    pub(crate) fn locate(&self, index: usize, per_block: usize) -> (usize, usize) {
        if self.is_uniform() { (index / per_block, index % per_block) } else { self.search(index) }
    }

    #[cold]
    fn search(&self, index: usize) -> (usize, usize) {
        let position = self.0.partition_point(|start| *start <= index) - 1;
        (position, index - self.0[position])
    }
}

/// The error returned when the table of a chain's blocks can't be allocated.
#[derive(Debug)]
pub(crate) struct OutOfMemory;
