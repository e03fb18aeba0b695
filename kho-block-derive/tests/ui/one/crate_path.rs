use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(crate = crate::nowhere)]
struct Record {
    token: u64,
}

fn main() {}
