use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Record {
    #[entry(text, bytes)]
    name: [u8; 8],
}

fn main() {}
