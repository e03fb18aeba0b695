//! An owned block. Only this module of the tests accesses blocks.

use std::ptr::NonNull;

use kho_block::{BlockMemory, ClaimError, ClaimErrorKind, PhysAddr};

use crate::common::OneBlock as _;

/// An owned block, freed on drop.
///
/// # Invariants
/// `block` came from `memory`, by `allocate` or a claim, and is still owned.
pub(crate) struct Owner<'m, M: BlockMemory> {
    memory: &'m M,
    block: NonNull<u8>,
}

// SAFETY: the block is this value's alone and may be used on any thread; the memory is shared.
unsafe impl<M: BlockMemory + Sync> Send for Owner<'_, M> {}

impl<'m, M: BlockMemory> Owner<'m, M> {
    pub(crate) fn allocate(memory: &'m M) -> Self {
        Self::new(memory, memory.allocate_one().unwrap())
    }

    pub(crate) fn claim(memory: &'m M, addr: PhysAddr) -> Result<Self, ClaimErrorKind> {
        let check = |error: ClaimError| {
            assert_eq!(error.addr, addr);
            error.kind
        };
        Ok(Self::new(memory, memory.claim_one(addr).map_err(check)?))
    }

    /// Wraps a block that `memory` has just allocated or claimed.
    pub(crate) fn new(memory: &'m M, block: NonNull<u8>) -> Self {
        assert_eq!(block.addr().get() % 16, 0, "a block is aligned to 16");
        Self { memory, block }
    }

    pub(crate) fn addr(&self) -> PhysAddr {
        self.memory.addr_of(self.block)
    }

    /// Returns the address of the block in this process.
    pub(crate) fn place(&self) -> usize {
        self.block.addr().get()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: an owned block is valid for reads, initialised, and changed by nobody else
        // (G1, G2).
        unsafe { NonNull::slice_from_raw_parts(self.block, M::BLOCK_SIZE).as_ref() }
    }

    /// Fills the block with a pattern that differs between seeds.
    pub(crate) fn fill(&mut self, seed: usize) {
        // SAFETY: an owned block is valid for writes and this value's alone (G1, G2).
        let bytes = unsafe { NonNull::slice_from_raw_parts(self.block, M::BLOCK_SIZE).as_mut() };
        bytes.copy_from_slice(&pattern(seed, M::BLOCK_SIZE));
    }

    pub(crate) fn has(&self, seed: usize) -> bool {
        self.bytes() == pattern(seed, M::BLOCK_SIZE)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.bytes().iter().all(|byte| *byte == 0)
    }

    pub(crate) fn hand_over(self) -> PhysAddr {
        let addr = self.addr();
        // SAFETY: the block is owned, and given up by forgetting the value.
        unsafe { self.memory.hand_over_one(self.block) };
        std::mem::forget(self);
        addr
    }
}

impl<M: BlockMemory> Drop for Owner<'_, M> {
    fn drop(&mut self) {
        // SAFETY: the block is owned, and given up here.
        unsafe { self.memory.free_one(self.block) }
    }
}

/// Returns the bytes that `Owner::fill` writes, of which none is zero.
pub(crate) fn pattern(seed: usize, len: usize) -> Vec<u8> {
    let word = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 0x0101_0101_0101_0101;
    word.to_ne_bytes().repeat(len / 8)
}
