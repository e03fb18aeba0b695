//! All mistakes are reported at once, without errors that only follow from them.

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, EntryLayout, SetHead};

#[derive(Clone, Copy, Entry)]
#[repr(align(32))]
#[entry(name = "", size = 8)]
struct Record {
    count: usize,
    is_set: bool,
    #[entry(text)]
    name: [i8; 16],
}

unsafe impl Zeroable for Record {}
unsafe impl Pod for Record {}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Holder {
    records: SetHead<Record>,
}

fn layout_of<T: Entry>() -> &'static EntryLayout {
    T::LAYOUT
}

fn main() {
    layout_of::<Record>();
    layout_of::<Holder>();
}
