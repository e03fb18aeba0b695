//! Chains built by hand.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use kho_block::bytemuck::cast_slice;
use kho_block::{BlockMemory, Entry, PhysAddr, SetHead};

use super::one::OneBlock;

/// Preserves a chain with blocks of these counts, in falling order of addresses.
pub(crate) fn preserve_chain<T: Entry, M: BlockMemory>(
    memory: &M,
    counts: &[usize],
    entries: &[T],
) -> SetHead<T> {
    assert_eq!(entries.len(), counts.iter().sum::<usize>());
    let mut blocks: Vec<_> = counts.iter().map(|_| memory.allocate_one().unwrap()).collect();
    blocks.rotate_left(counts.len() / 2);
    let addrs: Vec<_> = blocks.iter().map(|block| memory.addr_of(*block)).collect();
    let mut rest = entries;
    for (position, (block, count)) in blocks.into_iter().zip(counts).enumerate() {
        let next = addrs.get(position + 1).map_or(0, |next| next.get());
        let (now, later) = rest.split_at(*count);
        let mut bytes = next.to_ne_bytes().to_vec();
        bytes.extend((*count as u64).to_ne_bytes());
        bytes.extend_from_slice(cast_slice::<T, u8>(now));
        assert!(bytes.len() <= M::BLOCK_SIZE);
        let from = NonNull::from(&bytes[..]).cast();
        // SAFETY: the block was just allocated, so it is ours to write, and as long (G1).
        unsafe { block.copy_from_nonoverlapping(from, bytes.len()) };
        // SAFETY: the block is ours, and not used again.
        unsafe { memory.hand_over_one(block) };
        rest = later;
    }
    SetHead::new(addrs.first().copied().unwrap_or(PhysAddr::NULL))
}
