use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Record {
    #[entry(bytes)]
    pointer: *const u8,
}

unsafe impl Zeroable for Record {}
unsafe impl Pod for Record {}

fn main() {}
