use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Entry)]
#[repr(u8)]
enum State {
    Running,
    Frozen,
}

#[derive(Clone, Copy, Entry)]
#[repr(C)]
union Word {
    whole: u32,
    bytes: [u8; 4],
}

unsafe impl Zeroable for Word {}
unsafe impl Pod for Word {}

fn main() {}
