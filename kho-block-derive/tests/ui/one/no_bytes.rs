use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Record {
    bytes: [u8; 0],
}

fn main() {}
