//! A file that grows: its memory exists, and errors tell why it can't grow.

use kho_block::{AllocErrorKind, BlockSet, MemfdMemory, ReserveErrorKind};
use rustix::fs::{SealFlags, fcntl_add_seals};

use crate::common::OneBlock as _;
use crate::{BLOCK, Number, allocated, from_fd, handed_over};

/// H5: a set's blocks have memory, whatever the kernel reports about huge pages.
#[test]
fn what_is_reserved_is_allocated() {
    let memory = MemfdMemory::new("grows").unwrap();
    let mut set = BlockSet::<Number, _>::new_in(&memory);
    for blocks in [10, 500, 5000] {
        set.try_reserve(blocks * 510).unwrap();
    }
    let usage = memory.usage();
    assert_eq!(usage.unbacked, 0);
    drop(set);
    let bytes = (usage.owned + usage.free + 1) * BLOCK;
    assert!(allocated(memory.into_fd()) >= bytes as u64);
}

#[test]
fn a_seal_against_growing_is_named() {
    let (memory, head) = handed_over(1);
    let fd = memory.into_fd();
    fcntl_add_seals(&fd, SealFlags::GROW).unwrap();
    let memory = from_fd::<BLOCK>(fd).unwrap();
    memory.free_preserved();
    let mut set = BlockSet::<Number, _>::new_in(&memory);
    let error = set.try_reserve(1 << 20).unwrap_err();
    assert_eq!(error.kind, ReserveErrorKind::Sealed);
    while set.push(Number { value: 0 }).is_ok() {}
    assert_eq!(memory.allocate_one().unwrap_err().kind, AllocErrorKind::Sealed);
    let _ = head;
}
