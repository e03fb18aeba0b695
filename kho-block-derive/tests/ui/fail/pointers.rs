use kho_block::Entry;

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Record {
    name: &'static str,
    next: *const Record,
    callback: fn(u64),
    table: [*mut u8; 4],
}

fn main() {}
