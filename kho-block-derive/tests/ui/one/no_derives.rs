use kho_block::Entry;

#[derive(Entry)]
#[repr(C)]
struct Record {
    token: u64,
}

fn main() {}
