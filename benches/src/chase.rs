//! The least that restoring a chain could be: follow the links, check alignment and counts.

use std::sync::Arc;

use kho_block::abi::{BlockHeader, DEFAULT_BLOCK_SIZE};
use kho_block::{MemfdMemory, SealedMemfd, SetHead};

use crate::{MemorySlot, Restore, Sample, Set, filled};

/// A chain in a sealed memfd, whose links are followed. It claims no block and keeps no table.
pub struct PointerChase {
    memory: SealedMemfd,
    head: SetHead<MemorySlot>,
}

impl Restore for PointerChase {
    const NAME: &'static str = crate::POINTER_CHASE;

    /// The number of entries that the headers count.
    type Restored = usize;

    fn preserve(len: usize) -> Self {
        let set: Set<MemorySlot, MemfdMemory> = filled(len);
        let memory = Arc::clone(set.memory());
        let head = set.hand_over();
        let memory = Arc::into_inner(memory).expect("the set is gone");
        Self { memory: memory.seal().expect("nobody else maps the file"), head }
    }

    #[inline(never)]
    fn restore(&mut self) -> usize {
        let bytes = self.memory.as_bytes();
        let mut len = 0;
        let mut addr = self.head.addr();
        while !addr.is_null() {
            assert!(addr.get().is_multiple_of(DEFAULT_BLOCK_SIZE as u64), "a link is misaligned");
            let start = usize::try_from(addr.get()).expect("an offset in the file");
            let header = &bytes[start..start + size_of::<BlockHeader>()];
            let header: &BlockHeader = bytemuck::from_bytes(header);
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
