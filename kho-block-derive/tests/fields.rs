//! Fields whose layout is not in their tokens: markers, text of any length, data of other crates.

#![allow(unused_braces)] // braces are under test, and other derive macros repeat them

use core::marker::PhantomData;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, Field, FieldKind, FieldType};

fn kinds<T: Entry>() -> Vec<(&'static str, usize, usize, FieldKind)> {
    let parts = |field: &Field| (field.name, field.offset, field.size, field.kind);
    T::LAYOUT.fields.iter().map(parts).collect()
}

#[test]
fn markers_have_no_bytes() {
    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    struct Record {
        unit: (),
        id: u64,
        text: PhantomData<String>,
        closure: PhantomData<dyn Fn(u64)>,
        empty: [u64; 0],
        count: u64,
    }

    const EMPTY: FieldKind = FieldKind::Array { element: &FieldKind::Unsigned, len: 0 };
    assert_eq!(Record::LAYOUT.size, 16);
    assert_eq!(
        kinds::<Record>(),
        [
            ("unit", 0, 0, FieldKind::Nothing),
            ("id", 0, 8, FieldKind::Unsigned),
            ("text", 8, 0, FieldKind::Nothing),
            ("closure", 8, 0, FieldKind::Nothing),
            ("empty", 8, 0, EMPTY),
            ("count", 8, 8, FieldKind::Unsigned),
        ]
    );
}

/// The parameter of a typed identifier is only in its marker. `Pod` is implemented by hand, since its
/// derive macro requires that the parameter is `Pod` too.
#[test]
#[allow(unsafe_code)]
fn a_parameter_may_be_in_a_marker_only() {
    #[derive(Entry)]
    #[repr(transparent)]
    struct Id<T> {
        id: u64,
        of: PhantomData<fn(T) -> T>,
    }

    impl<T> Clone for Id<T> {
        fn clone(&self) -> Self {
            *self
        }
    }
    impl<T> Copy for Id<T> {}
    // SAFETY: transparent over `u64`.
    unsafe impl<T> Zeroable for Id<T> {}
    // SAFETY: as above.
    unsafe impl<T: 'static> Pod for Id<T> {}

    #[derive(Clone, Copy, Entry)]
    #[repr(C, packed)]
    struct Pair<A, B> {
        first: A,
        of: PhantomData<B>,
        second: u64,
    }
    // SAFETY: packed, all patterns valid.
    unsafe impl<A: Zeroable, B> Zeroable for Pair<A, B> {}
    // SAFETY: as above.
    unsafe impl<A: Pod, B: Copy + 'static> Pod for Pair<A, B> {}

    // Neither `Pod` nor an entry.
    struct Vm;

    assert_eq!(
        kinds::<Id<Vm>>(),
        [("id", 0, 8, FieldKind::Unsigned), ("of", 8, 0, FieldKind::Nothing)]
    );
    assert_eq!(Id::<Vm>::LAYOUT, Id::<String>::LAYOUT);
    assert_eq!(Pair::<u8, &'static str>::LAYOUT.size, 9);
}

const LEN: usize = 4;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(transparent)]
struct Braces<const N: usize>(#[entry(text)] [u8; { N }]);

impl<const N: usize> Braces<N> {
    const LEN: usize = N;
}

#[test]
fn text_of_any_length() {
    type Alias = [u8; 8];

    const fn twice(len: usize) -> usize {
        2 * len
    }

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    struct Record {
        #[entry(text)]
        constant: [u8; LEN],
        #[entry(text)]
        sum: [u8; { LEN + 1 }],
        #[entry(text)]
        call: [u8; twice(LEN)],
        #[entry(text)]
        associated: [u8; Braces::<3>::LEN],
        #[entry(text)]
        alias: Alias,
        braces: Braces<3>,
    }

    let sizes: Vec<_> = kinds::<Record>().iter().map(|field| field.2).collect();
    assert_eq!(sizes, [4, 5, 8, 3, 8, 3]);
    assert!(kinds::<Record>()[..5].iter().all(|field| field.3 == FieldKind::Text));
    assert_eq!(kinds::<Braces<7>>(), [("0", 0, 7, FieldKind::Text)]);
}

#[test]
#[allow(unsafe_code)]
fn text_in_a_generic_entry() {
    #[derive(Clone, Copy, Entry)]
    #[repr(C, packed)]
    struct Named<T, const N: usize> {
        #[entry(text)]
        name: [u8; { N }],
        values: [T; { N }],
    }

    // SAFETY: packed, all patterns valid.
    unsafe impl<T: Zeroable, const N: usize> Zeroable for Named<T, N> {}
    // SAFETY: as above.
    unsafe impl<T: Pod, const N: usize> Pod for Named<T, N> {}

    fn size_of_named<T: Pod + FieldType, const N: usize>() -> usize {
        Named::<T, N>::LAYOUT.fields[1].offset
    }

    assert_eq!(size_of_named::<u64, 5>(), 5);
    assert_eq!(Named::<u64, 2>::LAYOUT.size, 18);
}

/// Stands for a crate of bindings whose types are neither `Pod` nor entries.
#[allow(non_camel_case_types, dead_code)]
mod kvm_bindings {
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub(crate) struct kvm_regs {
        pub(crate) rax: u64,
        pub(crate) rip: u64,
    }

    #[derive(Clone, Copy)]
    #[repr(C)]
    pub(crate) union kvm_data {
        pub(crate) word: u64,
        pub(crate) bytes: [u8; 8],
    }
}

#[test]
#[allow(unsafe_code)]
fn bytes_of_another_crate() {
    use kvm_bindings::{kvm_data, kvm_regs};

    #[derive(Clone, Copy, Entry)]
    #[repr(C)]
    struct Vcpu {
        id: u64,
        #[entry(bytes)]
        regs: kvm_bindings::kvm_regs,
        #[entry(bytes)]
        table: [[kvm_regs; 2]; 3],
        #[entry(bytes = "data")]
        data: kvm_data,
        #[entry(bytes)]
        none: [kvm_regs; 0],
    }

    // SAFETY: integers, and structs and unions of them, without gaps.
    unsafe impl Zeroable for Vcpu {}
    // SAFETY: as above.
    unsafe impl Pod for Vcpu {}

    const REGS: FieldKind = FieldKind::Bytes { name: "kvm_regs", size: 16 };
    const PAIR: FieldKind = FieldKind::Array { element: &REGS, len: 2 };
    assert_eq!(
        kinds::<Vcpu>(),
        [
            ("id", 0, 8, FieldKind::Unsigned),
            ("regs", 8, 16, REGS),
            ("table", 24, 96, FieldKind::Array { element: &PAIR, len: 3 }),
            ("data", 120, 8, FieldKind::Bytes { name: "data", size: 8 }),
            ("none", 128, 0, FieldKind::Array { element: &REGS, len: 0 }),
        ]
    );

    // Entries that hold this wrapper can derive all of their traits.
    #[derive(Clone, Copy, Entry)]
    #[repr(transparent)]
    struct Regs(#[entry(bytes)] kvm_regs);
    // SAFETY: transparent over a struct of two `u64`.
    unsafe impl Zeroable for Regs {}
    // SAFETY: as above.
    unsafe impl Pod for Regs {}

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    struct Wrapped {
        id: u64,
        regs: Regs,
    }
    assert_eq!(Wrapped::LAYOUT.fields[1].kind, FieldKind::Entry(Regs::LAYOUT));
    assert_eq!(kinds::<Regs>(), [("0", 0, 16, REGS)]);

    // A type parameter, with a name for it.
    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(transparent)]
    struct Opaque<T>(#[entry(bytes = "opaque")] T);
    assert_eq!(kinds::<Opaque<u32>>(), [("0", 0, 4, FieldKind::Bytes { name: "opaque", size: 4 })]);
}
