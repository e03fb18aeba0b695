//! A set whose entries fit in no block is one error, at the line that creates it.

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, HeapMemory};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct TooLarge {
    words: [u64; 600],
}

fn main() {
    let memory = HeapMemory::new();
    let mut set = BlockSet::new_in(&memory);
    set.try_reserve(3).unwrap();
    let mut writer = set.writer();
    writer.push(TooLarge { words: [0; 600] }).unwrap();
    drop(writer);
    for entry in &set {
        assert_eq!(entry.words[0], 0);
    }
    let set = BlockSet::restore(&memory, set.hand_over()).unwrap();
    assert_eq!(set.len(), 1);
}
