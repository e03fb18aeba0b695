use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Record {
    #[entry(text)]
    number: u64,
    #[entry(text)]
    wide: [u16; 4],
    #[entry(text)]
    nested: [[u8; 4]; 2],
}

fn main() {}
