//! When the process has no memory for a table, the call returns an error and changes nothing.
//!
//! An allocation that can't fail would end the process.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::ptr;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{
    BlockSet, Entry, ForeignSet, HeapMemory, MemfdError, MemfdMemory, ReserveErrorKind,
    RestoreErrorKind, SetHead,
};

/// The system's allocator, which fails when a thread asks for it.
struct Failing;

thread_local! {
    /// How many more allocations this thread may make.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

// SAFETY: what succeeds comes from the system's allocator.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match LEFT.get().checked_sub(1) {
            Some(left) => {
                LEFT.set(left);
                // SAFETY: the caller's promise is the same one.
                unsafe { System.alloc(layout) }
            }
            None => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the same one.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Calls `f`, which may make `count` allocations.
fn with_allocations<R>(count: usize, f: impl FnOnce() -> R) -> R {
    LEFT.set(count);
    let result = f();
    LEFT.set(usize::MAX);
    result
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[bytemuck(crate = "kho_block::bytemuck")]
#[repr(C)]
struct Number(u64);

type Memory = HeapMemory<64>;

/// Hands over a chain of 100 blocks.
fn handed_over(memory: &Memory) -> SetHead<Number> {
    let mut set = BlockSet::new_in(memory);
    set.try_extend((0..600).map(Number)).unwrap();
    set.hand_over()
}

#[test]
fn sets_are_restored_and_grow_or_stay_as_they_are() {
    for count in 0..12 {
        let memory = Memory::new_with_block_size();
        let head = handed_over(&memory);
        let foreign = with_allocations(count, || ForeignSet::restore(&memory, head).map(drop));
        if let Err(error) = foreign {
            assert_eq!(error.kind, RestoreErrorKind::OutOfMemory);
        }
        let restored = with_allocations(count, || BlockSet::restore(&memory, head));
        let mut set = restored.unwrap_or_else(|error| {
            assert_eq!(error.kind, RestoreErrorKind::OutOfMemory);
            assert_eq!(memory.usage().owned, 0);
            BlockSet::restore(&memory, head).unwrap()
        });
        if let Err(error) = with_allocations(count, || set.try_reserve(5000)) {
            assert_eq!(error.kind, ReserveErrorKind::OutOfMemory);
            assert_eq!(memory.usage().owned, 100);
        }
        with_allocations(0, || {
            set.retain(|number| number.0 % 5 != 0);
            set.truncate(300);
            assert_eq!(set.iter().len(), 300);
            set.shrink_to_fit();
            set.hand_over()
        });
        assert_eq!(memory.usage().preserved, 50);
    }
}

/// A file with a hole in each of its blocks, and more ranges than are listed for core dumps.
#[test]
fn files_with_holes_are_opened_or_given_back() {
    const BLOCK: usize = 65536;
    let mut opened = 0;
    for count in 0..12 {
        let memory = MemfdMemory::<BLOCK>::with_max_len("holes", BLOCK).unwrap();
        let file = File::from(memory.into_fd());
        for block in 0..100 {
            file.write_all_at(&[1], block * BLOCK as u64 + 8192).unwrap();
        }
        file.set_len(100 * BLOCK as u64).unwrap();
        let fd = file.into();
        // SAFETY: nobody else has the file.
        let memory = with_allocations(count, || unsafe { MemfdMemory::<BLOCK>::from_fd(fd) });
        match memory {
            Ok(memory) => {
                assert_eq!(memory.usage().preserved, 99);
                opened += 1;
            }
            Err(error) => assert_eq!(error.error, MemfdError::OutOfMemory),
        }
    }
    assert!(opened > 0);
}
