//! An entry by hand may lie about its layout, and so be aligned to more than 16 bytes.

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, EntryLayout};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(transparent)]
struct Number(u32);

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Entry for Line {
    const NAME: &'static str = "line";
    const VERSION: u32 = 1;
    const LAYOUT: &'static EntryLayout = Number::LAYOUT;
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Record {
    line: Line,
}

fn main() {}
