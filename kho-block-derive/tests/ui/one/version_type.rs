use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

const VERSION: u64 = 1;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(version = VERSION)]
struct Record {
    token: u64,
}

fn main() {}
