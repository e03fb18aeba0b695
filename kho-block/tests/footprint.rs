//! The cost of a set beside its blocks: at most a pointer and a byte, so 9 bytes, for each block.

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{BlockMemory, BlockSet, Entry, HeapMemory, MemfdMemory};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Slot([u64; 4]);

const BLOCKS: usize = 10_000;
const ENTRIES: usize = BLOCKS * 127;

/// Checks the bytes allocated since `before`, apart from the heap memory's blocks.
fn check(before: usize, heap_blocks: usize, what: &str) {
    let allocated = ALLOCATOR.current_usage() - before - heap_blocks * 4096;
    let a_block = allocated as f64 / BLOCKS as f64;
    assert!(allocated <= (size_of::<usize>() + 1) * BLOCKS, "{what}: {a_block} bytes a block");
    // The table of blocks is at least one pointer each, or the measurement is wrong.
    assert!(allocated >= size_of::<usize>() * BLOCKS, "{what}: {a_block} bytes a block");
}

fn sets_are_small<M: BlockMemory>(create: impl Fn() -> M, blocks_on_heap: impl Fn(&M) -> usize) {
    let before = ALLOCATOR.current_usage();
    let memory = create();
    let check = |what| check(before, blocks_on_heap(&memory), what);

    let mut reserved = BlockSet::<Slot, _>::new_in(&memory);
    reserved.try_reserve(ENTRIES).unwrap();
    check("reserved at once");
    reserved.writer().extend_from_slice(&vec![Slot([1; 4]); ENTRIES]).unwrap();
    check("full");
    let head = reserved.hand_over();
    let restored = BlockSet::restore(&memory, head).unwrap();
    check("restored");
    drop(restored);

    let mut grown = BlockSet::<Slot, _>::new_in(&memory);
    let mut writer = grown.writer();
    for number in 0..ENTRIES as u64 {
        writer.push(Slot([number; 4])).unwrap();
    }
    drop(writer);
    check("grown block by block");
}

// One test only, since allocations are counted for the whole process.
#[test]
fn sets_take_at_most_9_bytes_a_block() {
    let on_heap = |memory: &HeapMemory| {
        let usage = memory.usage();
        usage.free + usage.owned + usage.preserved
    };
    sets_are_small(HeapMemory::new, on_heap);
    sets_are_small(|| MemfdMemory::new("footprint").unwrap(), |_| 0);
}
