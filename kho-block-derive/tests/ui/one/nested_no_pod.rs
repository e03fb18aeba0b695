use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Inner {
    token: u64,
}

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Record {
    inner: Inner,
    inners: [Inner; 2],
}

unsafe impl Zeroable for Record {}
unsafe impl Pod for Record {}

fn main() {}
