use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

/// Stands for a type of another crate: plain data, but no entry.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Foreign {
    token: u64,
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Record {
    foreign: Foreign,
}

fn main() {}
