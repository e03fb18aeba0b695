//! The least that restoring a chain could be: follow the links, check alignment and counts.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use kho_block::PhysAddr;
use kho_block::abi::{BlockHeader, DEFAULT_BLOCK_SIZE};

use crate::{Memory, Restore, Sample};

/// A chain of headers in blocks of a memory, which nobody but this value has.
///
/// # Invariants
/// The memory owns the blocks, and this value owns them of it. Each starts with an initialised
/// header; the pointers to all of them were exposed. From `head`, each link is the address of one of
/// them, or null. `bias` added to a block's address makes the pointer's.
pub struct PointerChase<T, M> {
    _memory: M,
    head: PhysAddr,
    bias: usize,
    entries: PhantomData<T>,
}

impl<T: Sample, M: Memory> PointerChase<T, M> {
    /// The header of the block at an address that is not null.
    #[inline]
    fn header(&self, addr: PhysAddr) -> BlockHeader {
        let addr = usize::try_from(addr.get()).expect("an address of this process");
        let block = ptr::with_exposed_provenance::<BlockHeader>(self.bias.wrapping_add(addr));
        // SAFETY: by the invariant this is a block that starts with a header, and was exposed.
        unsafe { block.read() }
    }
}

/// Writes a header in front of a block's bytes, and makes the block reachable by its address.
///
/// # Safety
/// The caller owns the block, and no reference into it is left.
unsafe fn write_header(block: NonNull<u8>, header: BlockHeader) {
    // SAFETY: the block is the caller's alone, aligned to 16 and larger than a header (G1, G2).
    unsafe { block.cast().write(header) };
    block.as_ptr().expose_provenance();
}

impl<T: Sample, M: Memory> Restore for PointerChase<T, M> {
    const NAME: &'static str = M::CHASE;

    /// How many entries the headers count; `None` if one is not valid.
    type Restored = Option<usize>;

    fn preserve(len: usize) -> Self {
        let memory = M::create();
        let blocks: Vec<_> = (0..len.div_ceil(T::PER_BLOCK))
            .map(|_| memory.allocate().expect("the memory has room"))
            .collect();
        let mut head = PhysAddr::NULL;
        let mut bias = 0;
        // The last block first, so that addresses rise along the chain, as they do in a set.
        for (position, block) in blocks.into_iter().enumerate().rev() {
            let count = (len - position * T::PER_BLOCK).min(T::PER_BLOCK);
            // SAFETY: the block was just allocated, so it is this function's alone.
            unsafe { write_header(block, BlockHeader { next: head, count: count as u64 }) };
            head = memory.addr_of(block);
            let addr = usize::try_from(head.get()).expect("an address of this process");
            let before = bias;
            bias = block.addr().get().wrapping_sub(addr);
            assert!(before == 0 || before == bias, "the memory is mapped in one piece");
        }
        // INVARIANT: each block got a header whose link is the address of the one behind it, and was
        // exposed; that the bias is the same for all was checked.
        Self { _memory: memory, head, bias, entries: PhantomData }
    }

    #[inline(never)]
    fn restore(&mut self) -> Option<usize> {
        let mut len = 0;
        let mut addr = self.head;
        while !addr.is_null() {
            if !addr.get().is_multiple_of(DEFAULT_BLOCK_SIZE as u64) {
                return None;
            }
            let header = self.header(addr);
            let count = usize::try_from(header.count).ok()?;
            if !(1..=T::PER_BLOCK).contains(&count) {
                return None;
            }
            len += count;
            addr = header.next;
        }
        Some(len)
    }

    fn hand_over(&mut self, restored: Option<usize>) -> usize {
        restored.expect("the chain is valid")
    }
}
