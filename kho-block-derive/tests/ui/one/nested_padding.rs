use kho_block::{Entry, SetHead};
use kho_block::bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Inner {
    flags: u8,
    token: u64,
}

unsafe impl Zeroable for Inner {}
unsafe impl Pod for Inner {}

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Record {
    inner: Inner,
    inners: [Inner; 2],
    head: SetHead<Inner>,
}

unsafe impl Zeroable for Record {}
unsafe impl Pod for Record {}

const _: usize = Record::LAYOUT.size;

fn main() {}
