//! The layout that the macro describes: names, offsets, sizes, kinds; and what changes its fingerprint.

use core::marker::PhantomData;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, EntryLayout, Field, FieldKind, PhysAddr, SetHead};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "file", version = 5)]
struct File {
    #[entry(text)]
    compatible: [u8; 48],
    data: PhysAddr,
    token: u64,
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Everything {
    wide: u128,
    deep: i128,
    head: SetHead<File>,
    addr: PhysAddr,
    float: f64,
    r#type: u32,
    signed: [[i16; 2]; 3],
    bytes: [u8; 8],
    #[entry(text)]
    text: [u8; 24],
    small: f32,
    one: i8,
    rest: [u8; 3],
    file: File,
    files: [File; 2],
    end: [u64; 2],
}

/// Fingerprints are part of the format: if these change, so does the format.
#[test]
fn fingerprints_stay() {
    assert_eq!(File::LAYOUT.fingerprint, 0xdedd_458a_ce55_cbaa);
    assert_eq!(Everything::LAYOUT.fingerprint, 0x5f5e_101f_ec11_46fa);
}

fn parts(field: &Field) -> (&'static str, usize, usize, FieldKind) {
    (field.name, field.offset, field.size, field.kind)
}

#[test]
fn a_struct_of_the_kernel() {
    let layout = File::LAYOUT;
    assert_eq!((layout.name, layout.version), ("file", 5));
    assert_eq!((File::NAME, File::VERSION), ("file", 5));
    assert_eq!((layout.size, layout.align), (64, 8));
    assert_eq!(
        layout.fields.iter().map(parts).collect::<Vec<_>>(),
        [
            ("compatible", 0, 48, FieldKind::Text),
            ("data", 48, 8, FieldKind::PhysAddr),
            ("token", 56, 8, FieldKind::Unsigned),
        ]
    );
}

#[test]
fn every_kind() {
    let layout = Everything::LAYOUT;
    assert_eq!((layout.name, layout.version), ("Everything", 1));
    assert_eq!(layout.size, size_of::<Everything>());
    assert_eq!(layout.align, align_of::<Everything>());
    const PAIR: FieldKind = FieldKind::Array { element: &FieldKind::Signed, len: 2 };
    const FILE: FieldKind = FieldKind::Entry(File::LAYOUT);
    assert_eq!(
        layout.fields.iter().map(parts).collect::<Vec<_>>(),
        [
            ("wide", 0, 16, FieldKind::Unsigned),
            ("deep", 16, 16, FieldKind::Signed),
            ("head", 32, 8, FieldKind::SetHead { name: "file", version: 5 }),
            ("addr", 40, 8, FieldKind::PhysAddr),
            ("float", 48, 8, FieldKind::Float),
            ("type", 56, 4, FieldKind::Unsigned),
            ("signed", 60, 12, FieldKind::Array { element: &PAIR, len: 3 }),
            ("bytes", 72, 8, FieldKind::Array { element: &FieldKind::Unsigned, len: 8 }),
            ("text", 80, 24, FieldKind::Text),
            ("small", 104, 4, FieldKind::Float),
            ("one", 108, 1, FieldKind::Signed),
            ("rest", 109, 3, FieldKind::Array { element: &FieldKind::Unsigned, len: 3 }),
            ("file", 112, 64, FILE),
            ("files", 176, 128, FieldKind::Array { element: &FILE, len: 2 }),
            ("end", 304, 16, FieldKind::Array { element: &FieldKind::Unsigned, len: 2 }),
        ]
    );
}

#[test]
fn tuple_fields_are_called_by_their_index() {
    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C, packed)]
    struct Pair(u8, u64, #[entry(text)] [u8; 2]);

    let layout = Pair::LAYOUT;
    assert_eq!((layout.size, layout.align), (11, 1));
    assert_eq!(
        layout.fields.iter().map(parts).collect::<Vec<_>>(),
        [
            ("0", 0, 1, FieldKind::Unsigned),
            ("1", 1, 8, FieldKind::Unsigned),
            ("2", 9, 2, FieldKind::Text),
        ]
    );
}

#[test]
fn sets_may_nest_in_themselves() {
    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    #[entry(name = "node", version = 3)]
    struct Node {
        value: u64,
        children: SetHead<Node>,
    }

    // Two entries that lead to each other.
    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(transparent)]
    struct Left(SetHead<Right>);
    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(transparent)]
    struct Right(SetHead<Left>);

    assert_eq!(Node::LAYOUT.fields[1].kind, FieldKind::SetHead { name: "node", version: 3 });
    assert_eq!(Left::LAYOUT.fields[0].kind, FieldKind::SetHead { name: "Right", version: 1 });
    assert_eq!(Right::LAYOUT.fields[0].kind, FieldKind::SetHead { name: "Left", version: 1 });
}

/// `Pod` can't be derived for a field with `Self` in its type, but may be implemented by hand.
#[test]
#[allow(unsafe_code)]
fn a_field_may_say_self() {
    #[derive(Clone, Copy, Entry)]
    #[repr(C)]
    struct Node {
        children: SetHead<Self>,
        bytes: [u8; Self::LEN],
    }

    impl Node {
        const LEN: usize = 8;
    }

    // SAFETY: 8 + 8 bytes at alignment 8, all patterns valid.
    unsafe impl Zeroable for Node {}
    // SAFETY: as above, without padding.
    unsafe impl Pod for Node {}

    assert_eq!(Node::LAYOUT.fields[0].kind, FieldKind::SetHead { name: "Node", version: 1 });
    assert_eq!(Node::LAYOUT.fields[1].size, 8);
}

/// Derives `Entry` for a struct with these attributes and fields, and returns its layout.
macro_rules! layout {
    ($(#[$attr:meta])* { $($fields:tt)* }) => {{
        #[derive(Clone, Copy, Pod, Zeroable, Entry)]
        #[repr(C)]
        $(#[$attr])*
        struct Record { $($fields)* }
        Record::LAYOUT
    }};
}

fn base() -> &'static EntryLayout {
    layout!({ first: u64, second: [u8; 8] })
}

#[test]
fn equal_layouts_have_equal_fingerprints() {
    let again = layout!({ first: u64, second: [u8; 8] });
    let spelled_out =
        layout!(#[entry(name = "Record")] #[entry(version = 1)] { first: u64, second: [u8; 8] });
    assert_eq!(base(), again);
    assert_eq!(base(), spelled_out);
    assert_ne!(base().fingerprint, 0);
}

#[test]
fn every_part_changes_the_fingerprint() {
    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(transparent)]
    struct Bytes([u8; 8]);

    let layouts = [
        ("base", base()),
        ("name", layout!(#[entry(name = "record")] { first: u64, second: [u8; 8] })),
        ("version", layout!(#[entry(version = 2)] { first: u64, second: [u8; 8] })),
        ("field's name", layout!({ first: u64, third: [u8; 8] })),
        ("order of names", layout!({ second: u64, first: [u8; 8] })),
        ("order", layout!({ second: [u8; 8], first: u64 })),
        ("sign", layout!({ first: i64, second: [u8; 8] })),
        ("float", layout!({ first: f64, second: [u8; 8] })),
        ("address", layout!({ first: PhysAddr, second: [u8; 8] })),
        ("set", layout!({ first: SetHead<File>, second: [u8; 8] })),
        ("other set", layout!({ first: SetHead<Bytes>, second: [u8; 8] })),
        ("text", layout!({ first: u64, #[entry(text)] second: [u8; 8] })),
        ("element", layout!({ first: u64, second: [i8; 8] })),
        ("length", layout!({ first: u64, second: [u8; 16] })),
        ("split", layout!({ first: u64, second: [u8; 4], third: [u8; 4] })),
        ("nested", layout!({ first: u64, second: Bytes })),
        ("bytes", layout!({ first: u64, #[entry(bytes = "a")] second: [u8; 8] })),
        ("bytes of another name", layout!({ first: u64, #[entry(bytes = "b")] second: [u8; 8] })),
        ("bytes of another size", layout!({ first: u64, #[entry(bytes = "a")] second: [u64; 1] })),
        ("nothing", layout!({ first: u64, second: [u8; 8], third: PhantomData<u8> })),
        ("an empty array", layout!({ first: u64, second: [u8; 8], third: [u8; 0] })),
        ("alignment", layout!(#[repr(align(16))] { first: u64, second: [u8; 8] })),
        ("packed", layout!(#[repr(packed)] { first: u64, second: [u8; 8] })),
    ];
    for (i, (what, layout)) in layouts.iter().enumerate() {
        for (other, same) in &layouts[..i] {
            assert_ne!(layout.fingerprint, same.fingerprint, "{what} and {other}");
        }
    }
}

#[test]
fn the_version_of_a_nested_entry_changes_the_fingerprint() {
    macro_rules! holders {
        ($version:literal) => {{
            #[derive(Clone, Copy, Pod, Zeroable, Entry)]
            #[repr(C)]
            #[entry(name = "inner", version = $version)]
            struct Inner(u64);
            [
                layout!({ inner: Inner }),
                layout!({ inners: [Inner; 2] }),
                layout!({ inners: SetHead<Inner> }),
            ]
        }};
    }
    for (old, new) in holders!(1).iter().zip(holders!(2)) {
        assert_eq!(old.size, new.size);
        assert_ne!(old.fingerprint, new.fingerprint, "{:?}", old.fields[0].kind);
    }
}
