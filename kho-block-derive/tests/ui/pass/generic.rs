//! Generic entries.

#![deny(warnings)]

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, EntryLayout, SetHead};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(transparent)]
struct Wrapper<T>(T);

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C, packed)]
struct Tagged<T: Copy, const N: usize>
where
    T: 'static,
{
    tag: u8,
    values: [T; N],
    #[entry(text)]
    name: [u8; N],
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(transparent)]
struct Name<const N: usize = 8>(#[entry(text)] [u8; N]);

/// A set of the same entries.
#[derive(Clone, Copy, Zeroable, Entry)]
#[repr(C)]
struct Node<T: Entry> {
    values: SetHead<T>,
    children: SetHead<Node<T>>,
}

unsafe impl<T: Entry> Pod for Node<T> {}

fn layout_of<T: Entry>() -> &'static EntryLayout {
    T::LAYOUT
}

fn wrapped<T: Pod + kho_block::FieldType>() -> &'static EntryLayout {
    layout_of::<Wrapper<T>>()
}

fn main() {
    assert_eq!(wrapped::<u32>().size, 4);
    assert_eq!(layout_of::<Wrapper<[Wrapper<u16>; 3]>>().size, 6);
    assert_eq!(layout_of::<Tagged<u16, 5>>().size, 16);
    assert_eq!(layout_of::<Tagged<u16, 5>>().fields[2].offset, 11);
    assert_eq!(layout_of::<Name>().size, 8);
    assert_eq!(layout_of::<Node<Node<Name<4>>>>().size, 16);
}
