use kho_block::{BlockSet, Entry, HeapMemory};

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Record {
    token: u64,
}

fn main() {
    let mut set = BlockSet::new_in(HeapMemory::new());
    set.push(Record { token: 1 }).unwrap();
}
