//! A chain whose blocks are borrowed.

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use super::table::BlockTable;
use crate::abi::{BlockHeader, HEADER_SIZE};
use crate::addr::{PhysAddr, SetHead};
use crate::entry::Entry;
use crate::error::{RestoreError, RestoreErrorKind};
use crate::memory::StableMemory;
use crate::walk::{ChainCheck, exact_error};

/// A table whose blocks are borrowed for `'m`.
///
/// # Invariants
/// The pointers come from slices that were lent for `'m`, so for as long as this value may be used
/// they are valid for reads (E1), and nobody changes what they point to (E3).
pub(crate) struct LentChain<'m, T, M> {
    table: BlockTable<T, M>,
    memory: PhantomData<&'m M>,
}

impl<T, M> Deref for LentChain<'_, T, M> {
    type Target = BlockTable<T, M>;

    fn deref(&self) -> &Self::Target {
        &self.table
    }
}

impl<'m, T: Entry, M: StableMemory> LentChain<'m, T, M> {
    /// Borrows every block of the chain, checking each.
    pub(crate) fn lend(
        memory: &'m M,
        head: SetHead<T>,
        limit: usize,
    ) -> Result<Self, RestoreError> {
        let mut chain = Self { table: BlockTable::empty(), memory: PhantomData };
        chain.table.set_head(head.addr());
        let mut check = ChainCheck::new(M::BLOCK_SIZE, BlockTable::<T, M>::COUNT_PER_BLOCK, limit);
        let mut addr = head.addr();
        while !addr.is_null() {
            addr = chain
                .lend_block(memory, &mut check, addr)
                .map_err(|error| exact_error(error, chain.block_addrs()))?;
        }
        chain.table.trim();
        Ok(chain)
    }

    /// Adds the block at `addr`. Returns the address of the next one.
    fn lend_block(
        &mut self,
        memory: &'m M,
        check: &mut ChainCheck,
        addr: PhysAddr,
    ) -> Result<PhysAddr, RestoreError> {
        let position = check.position();
        check.enter(addr)?;
        let error = |kind| RestoreError { addr, position, kind };
        let block: &'m [u8] =
            memory.lend(addr, M::BLOCK_SIZE).map_err(|failed| error(failed.kind.into()))?;
        // The trait is safe to implement, so the length is not trusted.
        if block.len() != M::BLOCK_SIZE {
            return Err(error(RestoreErrorKind::Failed));
        }
        let (header, slots) = block.split_at(HEADER_SIZE);
        if slots.as_ptr().addr() % align_of::<T>() != 0 {
            return Err(error(RestoreErrorKind::EntriesMisaligned));
        }
        let header: BlockHeader = bytemuck::pod_read_unaligned(header);
        let info = check.leave(addr, header)?;
        self.table.reserve_one().map_err(|_| error(RestoreErrorKind::OutOfMemory))?;
        // SAFETY: the block is borrowed for `'m`, as long as a block, and aligned as was checked. A
        // `ChainCheck` lets no more blocks pass than can be counted.
        unsafe { self.table.push_block(NonNull::from(block).cast()) };
        self.table.link_block(info.count).map_err(|_| error(RestoreErrorKind::OutOfMemory))?;
        Ok(info.next)
    }
}

impl<T: Entry, M: StableMemory> Clone for LentChain<'_, T, M> {
    fn clone(&self) -> Self {
        // SAFETY: the blocks are lent for as long as the clone may be used, and shared (E1, E3).
        let table = unsafe { self.table.duplicate() };
        Self { table, memory: PhantomData }
    }
}
