//! Claiming a chain that was handed over.

use core::ptr::NonNull;

use super::header::read_header;
use super::owned::OwnedChain;
use super::prefetch::prefetch;
use super::table::BlockTable;
use crate::addr::{PhysAddr, SetHead};
use crate::entry::Entry;
use crate::error::{ClaimError, ClaimErrorKind, RestoreError, RestoreErrorKind};
use crate::memory::{BlockMemory, ClaimVisitor};
use crate::walk::{ChainCheck, exact_error};

/// Number of blocks ahead at which a header is prefetched. Memories allocate blocks in the order of
/// their addresses, and a set links them in that order.
const BLOCKS_AHEAD: usize = 16;

impl<T: Entry, M: BlockMemory> OwnedChain<T, M> {
    /// Claims every block of the chain, checking each. After an error none is claimed, and nobody
    /// saw one claimed.
    pub(crate) fn claim(memory: M, head: SetHead<T>, limit: usize) -> Result<Self, RestoreError> {
        let mut chain = Self::new(memory);
        let Self { table, memory } = &mut chain;
        if head.is_empty() {
            return Ok(chain);
        }
        table.set_head(head.addr());
        let check = ChainCheck::new(M::BLOCK_SIZE, BlockTable::<T, M>::COUNT_PER_BLOCK, limit);
        let mut claim = Claim { table, check };
        claim.prepare(head.addr())?;
        // SAFETY: a `Claim` gives back what is in the table, which is what it visited, and takes
        // it out.
        unsafe { memory.claim(head.addr(), &mut claim) }?;
        table.trim();
        Ok(chain)
    }
}

/// The claim of a chain whose blocks go into a table.
struct Claim<'a, T, M> {
    table: &'a mut BlockTable<T, M>,
    check: ChainCheck,
}

impl<T: Entry, M: BlockMemory> Claim<'_, T, M> {
    /// Checks the address of a block and makes room for it in the table before the block is
    /// claimed, so that nothing can fail between the claim and the table.
    #[inline]
    fn prepare(&mut self, addr: PhysAddr) -> Result<(), RestoreError> {
        self.check.enter(addr)?;
        match self.table.reserve_one() {
            Ok(()) => Ok(()),
            Err(_) => Err(self.check.error(addr, RestoreErrorKind::OutOfMemory)),
        }
    }

    /// Adds a claimed block to the table, then checks it. Returns the address of the next block,
    /// prepared for its claim, or null at the end.
    #[inline]
    fn add(&mut self, addr: PhysAddr, block: NonNull<u8>) -> Result<PhysAddr, RestoreError> {
        let position = self.check.position();
        // SAFETY: the block was just claimed, so it is valid, initialised and aligned (G1), and
        // this chain's alone (G2). A `ChainCheck` lets no more blocks pass than can be counted.
        unsafe { self.table.push_block(block) };
        prefetch(block.as_ptr().wrapping_add(BLOCKS_AHEAD * M::BLOCK_SIZE));
        // SAFETY: the block is valid for reads (G1). Not through the table: storing and loading the
        // pointer would slow the pointer chase.
        let header = unsafe { read_header(block) };
        let info = self.check.leave(addr, header)?;
        let out_of_memory = RestoreError { addr, position, kind: RestoreErrorKind::OutOfMemory };
        self.table.link_block(info.count).map_err(|_| out_of_memory)?;
        if !info.next.is_null() {
            self.prepare(info.next)?;
        }
        Ok(info.next)
    }

    /// Returns the error of the block where the fault shows. All blocks are still owned, so their
    /// links can be followed.
    #[inline]
    fn exact_error(&self, error: RestoreError) -> RestoreError {
        exact_error(error, self.table.block_addrs())
    }
}

impl<T: Entry, M: BlockMemory> ClaimVisitor for Claim<'_, T, M> {
    type Error = RestoreError;

    #[inline]
    fn visit(
        &mut self,
        addr: PhysAddr,
        block: NonNull<u8>,
    ) -> Result<Option<PhysAddr>, RestoreError> {
        match self.add(addr, block) {
            Ok(PhysAddr::NULL) => Ok(None),
            Ok(next) => Ok(Some(next)),
            Err(error) => Err(self.exact_error(error)),
        }
    }

    #[cold]
    fn refuse(&mut self, error: ClaimError) -> RestoreError {
        let kind = match error.kind {
            ClaimErrorKind::Owned if self.table.block_addrs().any(|addr| addr == error.addr) => {
                RestoreErrorKind::Cycle
            }
            kind => kind.into(),
        };
        self.exact_error(self.check.error(error.addr, kind))
    }

    fn give_back(&mut self) -> Option<NonNull<u8>> {
        self.table.unlink_all();
        self.table.pop_spare()
    }
}
