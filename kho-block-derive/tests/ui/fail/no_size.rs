use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Unit;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct NoFields {}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct NoBytes {
    bytes: [u8; 0],
}

fn main() {}
