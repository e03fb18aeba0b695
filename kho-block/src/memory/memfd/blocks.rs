//! The states of a file's blocks: free, owned or preserved.

use core::ops::{Range, RangeInclusive};

use super::growing::GrowingFile;
use crate::addr::PhysAddr;
use crate::error::AllocErrorKind;
use crate::memory::ledger::{Ledger, State};
use crate::memory::packed::Packed;

/// The states of a file's blocks, by number. The first block of the file has no number.
///
/// # Invariants
/// The file has every block of the ledger, and can't shrink. There is memory behind each block that
/// is not unbacked and not partial.
pub(super) struct Blocks<const BLOCK_SIZE: usize> {
    pub(super) ledger: Ledger,
    /// The numbers of preserved blocks that contain part of a hole are [`PARTIAL`] here.
    partial: Packed,
    /// How many blocks are partial.
    partial_count: usize,
}

const WHOLE: u8 = 0;
const PARTIAL: u8 = 1;

impl<const BLOCK_SIZE: usize> Blocks<BLOCK_SIZE> {
    /// Returns the states of the blocks of a file that has only its first block.
    pub(super) const fn new() -> Self {
        Self { ledger: Ledger::new(), partial: Packed::new(), partial_count: 0 }
    }

    /// Returns the states of the blocks of a file that is one hole. Its length of `len` bytes must
    /// be a multiple of the block size.
    pub(super) fn of_hole(len: usize) -> Result<Self, AllocErrorKind> {
        let count = len / BLOCK_SIZE - 1;
        let ledger = Ledger::unbacked(count)?;
        let partial = Packed::zeros(count).ok_or(AllocErrorKind::OutOfMemory)?;
        Ok(Self { ledger, partial, partial_count: 0 })
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
            if is_whole || self.mark_partial(number) {
                self.ledger.change(number, State::Unbacked, State::Preserved);
            }
        }
    }

    /// Marks a block as partial. Returns whether it was not marked before.
    fn mark_partial(&mut self, number: usize) -> bool {
        let is_new = self.partial.change_if(number, WHOLE, PARTIAL);
        self.partial_count += usize::from(is_new);
        is_new
    }

    /// Fills the holes in these blocks with memory.
    #[inline]
    pub(super) fn complete(
        &mut self,
        numbers: RangeInclusive<usize>,
        file: &GrowingFile<BLOCK_SIZE>,
    ) -> Result<(), AllocErrorKind> {
        if self.partial_count == 0 {
            return Ok(());
        }
        for number in numbers {
            if self.partial.get(number) == Some(PARTIAL) {
                file.fill(Self::bytes_of(number..number + 1))?;
                self.partial.change(number, PARTIAL, WHOLE);
                self.partial_count -= 1;
            }
        }
        Ok(())
    }

    /// Frees every preserved block and returns their number.
    pub(super) fn free_preserved(&mut self) -> usize {
        let partial_count = core::mem::take(&mut self.partial_count);
        let mut first = 0;
        for _ in 0..partial_count {
            let Some(number) = self.partial.find(PARTIAL, first) else { break };
            self.partial.change(number, PARTIAL, WHOLE);
            self.ledger.change(number, State::Preserved, State::Unbacked);
            first = number + 1;
        }
        partial_count + self.ledger.free_preserved()
    }
}
