//! Slices that are larger than the caches, which are copied in a special way.

mod common;

use common::{Bytes, Words, samples};
use kho_block::{BlockSet, Entry, HeapMemory};

fn a_large_slice_is_appended<T: Entry + PartialEq>() {
    let memory = HeapMemory::new();
    let entries: Vec<T> = samples(7, (17 << 20) / size_of::<T>());
    // From the start of a block, and from within one.
    for before in [0, 5] {
        let mut set = BlockSet::<T, _>::new_in(&memory);
        set.set_block_limit(usize::MAX);
        let mut writer = set.writer();
        writer.extend_from_slice(&entries[..before]).unwrap();
        writer.extend_from_slice(&entries).unwrap();
        drop(writer);
        assert_eq!(set.len(), before + entries.len());
        let expected = entries[..before].iter().chain(&entries);
        assert!(set.iter().eq(expected), "{} bytes each, behind {before}", size_of::<T>());
    }
}

#[test]
fn of_32_bytes() {
    a_large_slice_is_appended::<Words<4>>();
}

#[test]
fn of_24_bytes() {
    a_large_slice_is_appended::<Words<3>>();
}

#[test]
fn of_2040_bytes() {
    a_large_slice_is_appended::<Bytes<2040>>();
}

#[test]
fn of_3_bytes() {
    a_large_slice_is_appended::<Bytes<3>>();
}
