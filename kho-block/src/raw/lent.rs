//! A chain in memory that lends its blocks.

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use super::Entries;
use crate::abi::{BlockHeader, HEADER_SIZE};
use crate::addr::{PhysAddr, SetHead};
use crate::entry::Entry;
use crate::error::{RestoreError, RestoreErrorKind};
use crate::memory::StableMemory;
use crate::walk::{ChainCheck, exact_error};

/// Entries whose blocks are borrowed for `'m`.
///
/// # Invariants
/// The pointers come from slices that were lent for `'m`, so for as long as this value may be used
/// they are valid for reads (E1), and nobody changes what they point to (E3).
pub(crate) struct LentChain<'m, T, M> {
    entries: Entries<T, M>,
    memory: PhantomData<&'m M>,
}

impl<T, M> Deref for LentChain<'_, T, M> {
    type Target = Entries<T, M>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<'m, T: Entry, M: StableMemory> LentChain<'m, T, M> {
    /// Borrows every block of the chain, checking each.
    pub(crate) fn lend(
        memory: &'m M,
        head: SetHead<T>,
        limit: usize,
    ) -> Result<Self, RestoreError> {
        let mut chain = Self { entries: Entries::empty(), memory: PhantomData };
        chain.entries.head = head.addr();
        let mut walk = ChainCheck::new(M::BLOCK_SIZE, Entries::<T, M>::COUNT_PER_BLOCK, limit);
        let mut addr = head.addr();
        while !addr.is_null() {
            addr = chain
                .lend_block(memory, &mut walk, addr)
                .map_err(|error| exact_error(error, chain.blocks()))?;
        }
        Ok(chain)
    }

    /// Adds the block at `addr`; returns the address of the next.
    fn lend_block(
        &mut self,
        memory: &'m M,
        walk: &mut ChainCheck,
        addr: PhysAddr,
    ) -> Result<PhysAddr, RestoreError> {
        let position = walk.position();
        walk.enter(addr)?;
        let error = |kind| RestoreError { addr, position, kind };
        let block: &'m [u8] =
            memory.lend(addr, M::BLOCK_SIZE).map_err(|failed| error(failed.kind.into()))?;
        // Anyone may implement the trait, so its word is not taken for the length.
        if block.len() != M::BLOCK_SIZE {
            return Err(error(RestoreErrorKind::Failed));
        }
        let (header, slots) = block.split_at(HEADER_SIZE);
        if slots.as_ptr().addr() % align_of::<T>() != 0 {
            return Err(error(RestoreErrorKind::EntriesMisaligned));
        }
        let header: BlockHeader = bytemuck::pod_read_unaligned(header);
        let link = walk.leave(addr, header)?;

        let entries = &mut self.entries;
        entries.blocks.try_reserve(1).map_err(|_| error(RestoreErrorKind::OutOfMemory))?;
        entries
            .starts
            .add_block(position, entries.len, Entries::<T, M>::COUNT_PER_BLOCK)
            .map_err(|_| error(RestoreErrorKind::OutOfMemory))?;
        // INVARIANT: the block is borrowed for `'m`.
        entries.blocks.push(NonNull::from(block).cast());
        entries.linked += 1;
        entries.len += link.count;
        Ok(link.next)
    }
}
