use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Zeroable, Entry)]
struct Record {
    token: u64,
}

unsafe impl Pod for Record {}

fn main() {}
