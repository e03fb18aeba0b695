//! Blocks so large and so many that the sum of their counts exceeds 32 bits.

use kho_block::abi::{HEADER_SIZE, MAX_BLOCK_SIZE};
use kho_block::bytemuck::{self, Pod, Zeroable};
use kho_block::{
    BlockSet, ChainWalk, Entry, ForeignSet, HeapMemory, PhysAddr, ReadError, ReadErrorKind,
    ReadMemory, ReserveErrorKind, RestoreError, RestoreErrorKind, SetHead, SetView, StableMemory,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
struct Byte(u8);

/// Size of a block in bytes, as an address.
const SIZE: u64 = MAX_BLOCK_SIZE as u64;
/// Entries in a full block.
const FULL: usize = MAX_BLOCK_SIZE - HEADER_SIZE;
const HEAD: SetHead<Byte> = SetHead::new(PhysAddr::new(SIZE));

/// A chain of full blocks that overlap: each begins where the header of the one before ends, so
/// that all of them take hardly more than one.
struct Overlapping(Vec<u8>);

impl Overlapping {
    fn new(blocks: usize) -> Self {
        let mut bytes = vec![0; MAX_BLOCK_SIZE + blocks * HEADER_SIZE];
        for (number, header) in bytes.chunks_mut(HEADER_SIZE).take(blocks).enumerate() {
            let next = if number + 1 < blocks { (number as u64 + 2) * SIZE } else { 0 };
            header.copy_from_slice(bytemuck::bytes_of(&[next, FULL as u64]));
        }
        Self(bytes)
    }
}

impl ReadMemory for Overlapping {
    const BLOCK_SIZE: usize = MAX_BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        buf.copy_from_slice(self.lend(addr, buf.len())?);
        Ok(())
    }
}

impl StableMemory for Overlapping {
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError> {
        let start = (addr.get() / SIZE - 1) * HEADER_SIZE as u64 + addr.get() % SIZE;
        let bytes = usize::try_from(start).ok().and_then(|start| self.0.get(start..)?.get(..len));
        bytes.ok_or(ReadError::new(addr, ReadErrorKind::Outside))
    }
}

/// Checks that `blocks` full blocks are restored, or refused as too many to count, by all types
/// that sum counts.
fn check(blocks: usize) {
    let memory = Overlapping::new(blocks);
    let foreign = ForeignSet::restore_with_limit(&memory, HEAD, usize::MAX);
    let view = SetView::restore_with_limit(&memory, HEAD, usize::MAX);
    let chain = ChainWalk::with_limit(&memory, HEAD.addr(), 1, usize::MAX).last().unwrap();
    let Some(len) = FULL.checked_mul(blocks) else {
        let limit = usize::MAX / FULL;
        let error = foreign.map(drop).unwrap_err();
        assert_eq!((error.position, error.kind), (limit, RestoreErrorKind::TooLong { limit }));
        assert_eq!(error.addr.get(), blocks as u64 * SIZE);
        assert_eq!(view.map(drop), Err::<_, RestoreError>(error));
        assert_eq!(chain.map(drop), Err(error));
        return;
    };
    let (foreign, view) = (foreign.unwrap(), view.unwrap());
    assert_eq!((foreign.len(), view.len(), view.iter().len()), (len, len, len));
    assert_eq!(chain.unwrap().count, FULL);
    assert!(view.is_uniform() && view.get(len).is_none() && foreign.get(len).is_none());
    assert_eq!(foreign.get(len - 1), Some(Ok(view[len - 1])));
    let mut reader = view.reader();
    reader.seek(len - 1);
    assert_eq!((reader.len(), reader.next(), reader.nth(usize::MAX)), (1, view.last(), None));
    assert_eq!(reader.prev(), view.last());
    assert_eq!(view.iter().nth_back(len - 1), view.first());
    let last = view.addr_of(len - 1).unwrap().get();
    assert_eq!(last, (blocks as u64 + 1) * SIZE - 1);
}

#[test]
fn more_than_a_32_bit_number() {
    // The last that 32 bits can count, and the first that they can't.
    check(64);
    check(65);
}

/// Reserving more entries than a number can count fails before any block is allocated.
#[test]
fn room_for_too_many() {
    let memory = HeapMemory::<MAX_BLOCK_SIZE>::new_with_block_size();
    let mut set = BlockSet::<Byte, _>::new_in(&memory);
    set.set_block_limit(usize::MAX);
    let error = set.try_reserve(usize::MAX).unwrap_err();
    assert_eq!((error.position, error.kind), (0, ReserveErrorKind::OutOfMemory));
    assert_eq!((set.capacity(), memory.usage().free), (0, 0));
}
