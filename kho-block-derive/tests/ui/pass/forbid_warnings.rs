//! The macro works in a crate that forbids all warnings.

#![forbid(warnings)]

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Slot {
    value: u64,
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(transparent)]
struct Generic<T>(T);

fn main() {
    let slot = Slot { value: Slot::LAYOUT.size as u64 };
    let _ = Generic(slot.value).0;
}
