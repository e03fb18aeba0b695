use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Zeroable, Entry)]
#[repr(C, align(32))]
struct Record {
    bytes: [u64; 4],
}

unsafe impl Pod for Record {}

fn main() {}
