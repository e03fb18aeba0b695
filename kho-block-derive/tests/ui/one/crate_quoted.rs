use kho_block::Entry;
use kho_block::bytemuck::{Pod, Zeroable};

macro_rules! entry {
    ($name:ident) => {
        #[derive(Clone, Copy, Pod, Zeroable, Entry)]
        #[repr(C)]
        #[entry(crate = "$crate::kho_block")]
        struct $name(u64);
    };
}

entry!(Record);

fn main() {}
