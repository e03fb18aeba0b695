//! `FaultyMemory`: allocations fail on request, and calls are counted.

use kho_block::{
    AllocErrorKind, BlockMemory as _, FaultyMemory, HeapMemory, PhysAddr, ReadMemory as _,
};

use crate::common::OneBlock as _;
use crate::owner::Owner;

/// Allocates blocks. Returns their number, and whether all were allocated.
fn allocate(memory: &FaultyMemory<HeapMemory>, count: usize) -> (usize, bool) {
    let mut owners = Vec::new();
    let result = memory.allocate(count, |block| owners.push(Owner::new(memory, block)));
    if let Err(error) = &result {
        assert_eq!(error.kind, AllocErrorKind::OutOfMemory);
    }
    (owners.len(), result.is_ok())
}

#[test]
fn a_batch_gets_the_blocks_that_are_left() {
    let memory = FaultyMemory::<HeapMemory>::default();
    assert_eq!(allocate(&memory, 100), (100, true));
    memory.fail_after(5);
    assert_eq!(allocate(&memory, 0), (0, true));
    assert_eq!(allocate(&memory, 3), (3, true));
    assert_eq!(allocate(&memory, 3), (2, false));
    assert_eq!(allocate(&memory, 1), (0, false));
    assert_eq!(allocate(&memory, 0), (0, true));
    memory.fail_after(usize::MAX);
    assert_eq!(allocate(&memory, 100), (100, true));
    assert_eq!(memory.inner().usage().owned, 0);
}

#[test]
fn reads_and_claims_are_counted() {
    let memory = FaultyMemory::new(HeapMemory::new());
    let addr = Owner::allocate(&memory).hand_over();
    let nowhere = PhysAddr::NULL;
    assert!(memory.read(addr, &mut [0; 8]).is_ok() && memory.read(nowhere, &mut [0; 8]).is_err());
    drop(Owner::claim(&memory, addr).unwrap());
    assert!(memory.claim_one(addr).is_err());
    assert_eq!((memory.reads(), memory.claims()), (2, 2));
}
