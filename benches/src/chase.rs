//! The least that restoring a chain could be: follow the links, check the counts.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

use kho_block::abi::{BlockHeader, DEFAULT_BLOCK_SIZE};
use kho_block::{BlockMemory, HeapMemory, PhysAddr};

use crate::{Restore, SLOTS_PER_BLOCK};

/// A chain of headers in blocks of a [`HeapMemory`], which nobody but this value has.
///
/// # Invariants
/// The memory owns the blocks, and this value owns them of it. Each starts with an initialised
/// header; the pointers to all of them were exposed. From `head`, each link is the address of one of
/// them, or null.
pub struct PointerChase {
    _memory: HeapMemory,
    head: PhysAddr,
}

impl PointerChase {
    /// Writes a header with `count` in front of the chain.
    fn link(&mut self, block: NonNull<u8>, count: usize) {
        let header = BlockHeader { next: self.head, count: count as u64 };
        // SAFETY: the block was just allocated, so it is this value's alone, aligned to 16 and
        // larger than a header.
        unsafe { block.cast().write(header) };
        // INVARIANT: the block is owned, exposed and has a header, whose link was `head`.
        self.head = PhysAddr::new(block.as_ptr().expose_provenance() as u64);
    }

    /// The header of the block at an address that is not null.
    #[inline]
    fn header(addr: PhysAddr) -> BlockHeader {
        let addr = usize::try_from(addr.get()).expect("an address of this process");
        let block = ptr::with_exposed_provenance::<BlockHeader>(addr);
        // SAFETY: by the invariant this is a block that starts with a header, and was exposed.
        unsafe { block.read() }
    }
}

impl Restore for PointerChase {
    const NAME: &'static str = "pointer chase";

    /// How many slots the headers count; `None` if one is not valid.
    type Restored = Option<usize>;

    fn preserve(len: usize) -> Self {
        let memory = HeapMemory::new();
        let blocks: Vec<_> = (0..len.div_ceil(SLOTS_PER_BLOCK))
            .map(|_| memory.allocate().expect("the memory has room"))
            .collect();
        let mut chase = Self { _memory: memory, head: PhysAddr::NULL };
        // The last block first, so that addresses rise along the chain, as they do in a set.
        for (position, block) in blocks.iter().enumerate().rev() {
            chase.link(*block, (len - position * SLOTS_PER_BLOCK).min(SLOTS_PER_BLOCK));
        }
        chase
    }

    fn restore(&mut self) -> Option<usize> {
        let mut len = 0;
        let mut addr = self.head;
        while !addr.is_null() {
            if addr.get() % DEFAULT_BLOCK_SIZE as u64 != 0 {
                return None;
            }
            let header = Self::header(addr);
            let count = usize::try_from(header.count).ok()?;
            if !(1..=SLOTS_PER_BLOCK).contains(&count) {
                return None;
            }
            len += count;
            addr = header.next;
        }
        Some(len)
    }

    fn put_back(&mut self, restored: Option<usize>) -> usize {
        restored.expect("the chain is valid")
    }
}
