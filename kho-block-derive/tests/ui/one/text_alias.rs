use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

type Wide = [u16; 4];

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Record {
    #[entry(text)]
    name: Wide,
}

fn main() {}
