use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

const NAME: &str = "";

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = NAME)]
struct Record {
    token: u64,
}

fn main() {}
