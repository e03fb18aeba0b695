//! A mistake in an entry is not reported again for the entry that holds it.

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Inner {
    count: usize,
}

unsafe impl Zeroable for Inner {}
unsafe impl Pod for Inner {}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Outer {
    inner: Inner,
    inners: [Inner; 2],
}

const _: usize = Outer::LAYOUT.size;

fn main() {}
