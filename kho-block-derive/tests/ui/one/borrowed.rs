use kho_block::Entry;

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Record<'a> {
    name: &'a [u8],
}

fn main() {}
