//! The states of a file's blocks: free, owned or preserved.

use alloc::collections::BTreeSet;
use core::ops::{Range, RangeInclusive};

use super::growing::GrowingFile;
use crate::addr::PhysAddr;
use crate::error::AllocErrorKind;
use crate::memory::ledger::{Ledger, State};

/// The states of a file's blocks, by number. The first block of the file has no number.
///
/// # Invariants
/// The file has every block of the ledger, and can't shrink. There is memory behind each block that
/// is not unbacked and not in `partial`.
pub(super) struct Blocks<const BLOCK_SIZE: usize> {
    pub(super) ledger: Ledger,
    /// Preserved blocks that contain part of a hole.
    partial: BTreeSet<usize>,
}

impl<const BLOCK_SIZE: usize> Blocks<BLOCK_SIZE> {
    /// Returns the states of the blocks of a file that has only its first block.
    pub(super) const fn new() -> Self {
        Self { ledger: Ledger::new(), partial: BTreeSet::new() }
    }

    /// Returns the states of the blocks of a file that is one hole. Its length of `len` bytes must
    /// be a multiple of the block size.
    pub(super) fn of_hole(len: usize) -> Result<Self, AllocErrorKind> {
        let ledger = Ledger::unbacked(len / BLOCK_SIZE - 1)?;
        Ok(Self { ledger, partial: BTreeSet::new() })
    }

    /// Returns the range of bytes of these blocks in the file.
    pub(super) fn bytes_of(numbers: Range<usize>) -> Range<usize> {
        (numbers.start + 1) * BLOCK_SIZE..(numbers.end + 1) * BLOCK_SIZE
    }

    /// Returns the number of the block that holds the byte at an offset, or `None` if no block can
    /// be there.
    #[inline]
    pub(super) fn number_at(offset: PhysAddr) -> Option<usize> {
        (usize::try_from(offset.get()).ok()? / BLOCK_SIZE).checked_sub(1)
    }

    /// Returns the length of the file that has these blocks.
    pub(super) fn file_len(&self) -> usize {
        (self.ledger.len() + 1) * BLOCK_SIZE
    }

    /// Makes each block that contains some of these bytes preserved. The bytes have memory, and the
    /// bytes on either side have none.
    pub(super) fn add_backed(&mut self, bytes: &Range<usize>) {
        let blocks = bytes.start / BLOCK_SIZE..bytes.end.div_ceil(BLOCK_SIZE);
        // The first block of the file has no number.
        for block in blocks.start.max(1)..blocks.end {
            let number = block - 1;
            let whole = Self::bytes_of(number..number + 1);
            let is_whole = bytes.start <= whole.start && whole.end <= bytes.end;
            // A block with a hole may hold several ranges.
            if is_whole || self.partial.insert(number) {
                self.ledger.change(number, State::Unbacked, State::Preserved);
            }
        }
    }

    /// Fills the holes in these blocks with memory.
    #[inline]
    pub(super) fn complete(
        &mut self,
        numbers: RangeInclusive<usize>,
        file: &GrowingFile<BLOCK_SIZE>,
    ) -> Result<(), AllocErrorKind> {
        if self.partial.is_empty() {
            return Ok(());
        }
        for number in numbers {
            if self.partial.contains(&number) {
                file.fill(Self::bytes_of(number..number + 1))?;
                self.partial.remove(&number);
            }
        }
        Ok(())
    }

    /// Frees every preserved block and returns their number.
    pub(super) fn free_preserved(&mut self) -> usize {
        let partial = core::mem::take(&mut self.partial);
        for number in &partial {
            self.ledger.change(*number, State::Preserved, State::Unbacked);
        }
        partial.len() + self.ledger.free_preserved()
    }
}
