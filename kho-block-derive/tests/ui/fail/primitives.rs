use kho_block::Entry;

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Record {
    size: usize,
    delta: isize,
    is_set: bool,
    letter: char,
    table: [[usize; 2]; 3],
    pair: (u32, u32),
    flags: [bool; 8],
}

fn main() {}
