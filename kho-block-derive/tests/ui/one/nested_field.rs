use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

struct Foreign;

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Inner {
    token: [Option<u64>; 2],
}

unsafe impl Zeroable for Inner {}
unsafe impl Pod for Inner {}

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Record {
    inner: Inner,
}

unsafe impl Zeroable for Record {}
unsafe impl Pod for Record {}

fn main() {
    let _ = Foreign;
}
