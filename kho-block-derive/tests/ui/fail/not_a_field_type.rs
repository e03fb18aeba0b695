//! The bound `FieldType` rejects types that can't be recognised by their name.

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::Entry;

type Word = usize;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct NoEntry(u64);

#[derive(Clone, Copy, Entry)]
#[repr(C)]
struct Record {
    word: Word,
    maybe: Option<u64>,
    plain: NoEntry,
    words: [Word; 2],
}

unsafe impl Zeroable for Record {}
unsafe impl Pod for Record {}

fn main() {}
