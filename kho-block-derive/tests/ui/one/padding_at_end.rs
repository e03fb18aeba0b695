use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Zeroable, Entry)]
#[repr(C)]
struct Record(u64, [u8; 3]);

unsafe impl Pod for Record {}

fn main() {}
