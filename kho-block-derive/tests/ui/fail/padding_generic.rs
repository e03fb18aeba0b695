//! The layout of a generic entry is checked where it is first used.

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Zeroable, Entry)]
#[repr(C)]
struct Tagged<T> {
    tag: u8,
    value: T,
}

unsafe impl<T: Pod> Pod for Tagged<T> {}

const _: usize = Tagged::<u8>::LAYOUT.size;
const _: usize = Tagged::<u32>::LAYOUT.size;

fn main() {}
