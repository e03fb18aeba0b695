//! How the blocks of a [`MemfdMemory`] are allocated, claimed, released and read.

use core::ptr::NonNull;

use smallvec::SmallVec;

use super::blocks::Blocks;
use super::growing::GrowingFile;
use super::writable::MemfdMemory;
use crate::addr::PhysAddr;
use crate::error::{
    AllocError, AllocErrorKind, ClaimError, ClaimErrorKind, ReadError, ReadErrorKind,
};
use crate::memory::block::BlockMemory;
use crate::memory::claim::{ClaimVisitor, claim_each};
use crate::memory::ledger::State;
use crate::memory::read::ReadMemory;

/// Number of blocks allocated at a time, so that a lock is held for a bounded time.
const BATCH: usize = 64;
/// Numbers of blocks that were just made owned, each with a flag if the block is known to be zero.
type Batch = SmallVec<[(usize, bool); BATCH]>;

impl<const BLOCK_SIZE: usize> MemfdMemory<BLOCK_SIZE> {
    /// Makes up to `wanted` free blocks owned and puts them in `batch`. Grows if there is none.
    fn take_free(&self, batch: &mut Batch, wanted: usize) -> Result<(), AllocError> {
        loop {
            self.blocks.with(|blocks| {
                let free = core::iter::from_fn(|| blocks.ledger.allocate());
                batch.extend(free.take(wanted.min(BATCH)));
            });
            if !batch.is_empty() {
                return Ok(());
            }
            self.grow(wanted).map_err(AllocError::new)?;
        }
    }

    /// Adds at least one free block if there is none. Never locks `blocks` for long, although the
    /// kernel takes long to find memory.
    fn grow(&self, wanted: usize) -> Result<(), AllocErrorKind> {
        self.growth.with(|()| {
            let (is_done, len) =
                self.blocks.with(|blocks| (blocks.ledger.has_free(), blocks.file_len()));
            if is_done || self.fill_hole(wanted)? {
                return Ok(());
            }
            let planned = self.file.plan_growth(len, wanted)?;
            let count = planned.len() / BLOCK_SIZE;
            self.blocks.with(|blocks| blocks.ledger.reserve(count))?;
            let added = self.file.grow(planned)?;
            self.blocks.with(|blocks| blocks.ledger.grow(added.len() / BLOCK_SIZE))
        })
    }

    /// Allocates memory for a run of unbacked blocks. Returns whether there was such a run.
    fn fill_hole(&self, wanted: usize) -> Result<bool, AllocErrorKind> {
        let most = GrowingFile::<BLOCK_SIZE>::plan_fill(wanted);
        let Some(run) = self.blocks.with(|blocks| blocks.ledger.find_unbacked(most)) else {
            return Ok(false);
        };
        self.file.fill(Blocks::<BLOCK_SIZE>::bytes_of(run.clone()))?;
        self.blocks.with(|blocks| {
            for number in run {
                blocks.ledger.change(number, State::Unbacked, State::Free);
            }
        });
        Ok(true)
    }

    /// Zeroes a block that was just made owned, unless it `is_zero` already. Returns a pointer to
    /// it.
    #[inline]
    fn zeroed(&self, number: usize, is_zero: bool) -> NonNull<u8> {
        let block = self.block(number);
        if !is_zero {
            // SAFETY: the ledger has just made the block this caller's alone, so nobody else
            // uses it.
            unsafe { block.write_bytes(0, BLOCK_SIZE) };
        }
        block
    }

    /// Returns a pointer to the block with this number, which the ledger must have.
    #[inline]
    fn block(&self, number: usize) -> NonNull<u8> {
        self.file.map().at(Blocks::<BLOCK_SIZE>::bytes_of(number..number + 1).start)
    }

    /// Returns the number of an owned block.
    #[inline]
    fn number_of_owned(&self, block: NonNull<u8>) -> usize {
        self.offset(block) / BLOCK_SIZE - 1
    }

    #[inline]
    fn offset(&self, block: NonNull<u8>) -> usize {
        block.addr().get().wrapping_sub(self.file.map().base().addr().get())
    }

    #[inline]
    fn claim_in(
        &self,
        blocks: &mut Blocks<BLOCK_SIZE>,
        addr: PhysAddr,
    ) -> Result<NonNull<u8>, ClaimError> {
        let error = |kind| ClaimError::new(addr, kind);
        if !addr.is_aligned_to(BLOCK_SIZE) {
            return Err(error(ClaimErrorKind::Misaligned));
        }
        let number = Blocks::<BLOCK_SIZE>::number_at(addr).ok_or(error(ClaimErrorKind::Outside))?;
        blocks.ledger.claim(number).map_err(error)?;
        if blocks.complete(number..=number, &self.file).is_err() {
            blocks.ledger.hand_over(number);
            return Err(error(ClaimErrorKind::OutOfMemory));
        }
        Ok(self.block(number))
    }
}

impl<const BLOCK_SIZE: usize> ReadMemory for MemfdMemory<BLOCK_SIZE> {
    const BLOCK_SIZE: usize = BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let error = |kind| ReadError::new(addr, kind);
        let outside = error(ReadErrorKind::Outside);
        let last = addr.checked_add(buf.len().saturating_sub(1) as u64).ok_or(outside)?;
        let number_at = |addr| Blocks::<BLOCK_SIZE>::number_at(addr).ok_or(outside);
        let numbers = number_at(addr)?..=number_at(last)?;
        self.blocks.with(|blocks| {
            if *numbers.end() >= blocks.ledger.len() {
                return Err(outside);
            }
            if !blocks.ledger.all_preserved(numbers.clone()) {
                return Err(error(ReadErrorKind::NotPreserved));
            }
            blocks.complete(numbers, &self.file).map_err(|_| error(ReadErrorKind::Failed))?;
            #[allow(clippy::cast_possible_truncation)] // It is inside the file, which is mapped.
            let from = self.file.map().at(addr.get() as usize);
            let len = buf.len();
            // SAFETY: the bytes are in preserved blocks, inside the file, and can't be claimed
            // while this closure has the lock (G2), so nobody writes them. The buffer is borrowed
            // exclusively, so it is in none of these blocks.
            unsafe { from.copy_to_nonoverlapping(NonNull::from(buf).cast(), len) };
            Ok(())
        })
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        let end = self.blocks.with(|blocks| blocks.file_len()) as u64;
        let next = PhysAddr::new(addr.get().max(BLOCK_SIZE as u64));
        (next.get() < end).then_some(next)
    }
}

// SAFETY:
// G1: blocks lie in the mapping, which is aligned to a page, never moves and lives as long as the
//     memory. The file holds every block of the ledger and can't shrink, and the bytes of a file
//     are initialised. A block that is given out has memory behind it (H5).
// G2, G5: the ledger changes under the lock, and gives a block out only when it is not owned. No
//     child of this process inherits the mapping. The descriptor is given away only when the file
//     is unmapped. Nobody else writes through one that came in, as `from_fd` asks (I4).
// G3: a file of our own grows by zeros. `zeroed` zeroes a block that was used before, and each
//     block of a file from outside.
// G4: the address is the block's offset, which is at least a block size.
// G6: the type is not `Clone`.
unsafe impl<const BLOCK_SIZE: usize> BlockMemory for MemfdMemory<BLOCK_SIZE> {
    fn allocate<F>(&self, count: usize, mut visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        let mut left = count;
        let mut batch = Batch::new();
        while left > 0 {
            self.take_free(&mut batch, left)?;
            left -= batch.len();
            for (number, is_zero) in batch.drain(..) {
                visit(self.zeroed(number, is_zero));
            }
        }
        Ok(())
    }

    #[inline]
    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error> {
        let claim = |blocks: &mut Blocks<BLOCK_SIZE>, addr| self.claim_in(blocks, addr);
        let hand_over = |blocks: &mut Blocks<BLOCK_SIZE>, block| {
            blocks.ledger.hand_over(self.number_of_owned(block));
        };
        self.blocks.with(|blocks| claim_each(blocks, first, visitor, claim, hand_over))
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        PhysAddr::new(self.offset(block) as u64)
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.blocks.with(|state| {
            for block in blocks {
                state.ledger.free(self.number_of_owned(block));
            }
        });
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        self.blocks.with(|state| {
            for block in blocks {
                state.ledger.hand_over(self.number_of_owned(block));
            }
        });
    }
}
