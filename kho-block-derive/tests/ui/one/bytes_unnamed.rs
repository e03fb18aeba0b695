use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(transparent)]
struct Record<T>(#[entry(bytes)] T);

fn main() {}
