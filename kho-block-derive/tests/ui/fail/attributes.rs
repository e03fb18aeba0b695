use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(nam = "record", name = "", text)]
#[entry(version = 4294967296, crate = "not a path")]
struct Wrong {
    token: u64,
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "a", version = 1, version = 2)]
#[entry(name = "b")]
struct Twice {
    #[entry(text, text)]
    #[entry(text)]
    name: [u8; 8],
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry]
struct Malformed {
    #[entry = "text"]
    name: [u8; 8],
    #[entry(txt, name = "token")]
    token: u64,
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = 5, version = "1")]
struct WrongLiterals {
    token: u64,
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(version = 1u8)]
struct WrongSuffix {
    token: u64,
}

fn main() {}
