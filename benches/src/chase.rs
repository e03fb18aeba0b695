//! A lower bound for restoring a chain: follow the links, check alignment and counts.
#![allow(unsafe_code)]

use std::ptr;

use kho_block::abi::{BlockHeader, DEFAULT_BLOCK_SIZE};
use kho_block::{BlockMemory as _, MemfdMemory, PhysAddr};

use crate::{Memory as _, MemorySlot, Restore, Sample, names};

/// A chain of headers in the kind of memory that sets are in. Restoring claims no block and keeps
/// no table.
///
/// # Invariants
/// This value owns the blocks, and the memory that they are in. Each block starts with an
/// initialised header, and pointers to all of them were exposed. From `head` on, each link is the
/// address of one of them in this process, or null.
pub struct PointerChase {
    _memory: MemfdMemory,
    head: PhysAddr,
}

impl Restore for PointerChase {
    const NAME: &'static str = names::POINTER_CHASE;

    /// The number of entries that the headers count.
    type Restored = usize;

    fn preserve(len: usize) -> Self {
        let memory = MemfdMemory::create();
        let mut blocks = Vec::new();
        let count = len.div_ceil(MemorySlot::PER_BLOCK);
        memory.allocate(count, |block| blocks.push(block)).expect("the memory has room");
        let mut next = PhysAddr::NULL;
        // The last block first, so that addresses rise along the chain, as they do in a set.
        for (position, block) in blocks.into_iter().enumerate().rev() {
            let count = (len - position * MemorySlot::PER_BLOCK).min(MemorySlot::PER_BLOCK);
            // SAFETY: the block was just allocated, so it is this function's alone, aligned to 16
            // and larger than a header (G1, G2).
            unsafe { block.cast().write(BlockHeader { next, count: count as u64 }) };
            next = PhysAddr::new(block.as_ptr().expose_provenance() as u64);
        }
        // INVARIANT: each block has a header whose link is the address of the next block, and was
        // exposed.
        Self { _memory: memory, head: next }
    }

    #[inline(never)]
    fn restore(&mut self) -> usize {
        let mut len = 0;
        let mut addr = self.head;
        while !addr.is_null() {
            assert!(addr.get().is_multiple_of(DEFAULT_BLOCK_SIZE as u64), "a link is misaligned");
            let block = usize::try_from(addr.get()).expect("an address of this process");
            let header = ptr::with_exposed_provenance::<BlockHeader>(block);
            // SAFETY: by the invariant this is a block that starts with a header, and was exposed.
            let header = unsafe { header.read() };
            let count = usize::try_from(header.count).expect("a number of entries");
            assert!((1..=MemorySlot::PER_BLOCK).contains(&count), "a count is wrong");
            len += count;
            addr = header.next;
        }
        len
    }

    fn hand_over(&mut self, restored: usize) -> usize {
        restored
    }
}
