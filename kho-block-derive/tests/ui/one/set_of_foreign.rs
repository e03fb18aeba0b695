use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, SetHead};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct Foreign(u64);

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Record {
    foreign: SetHead<Foreign>,
}

fn main() {}
