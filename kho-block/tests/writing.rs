//! Guarantees of writing a set that the model does not cover.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, HeapMemory, ReserveErrorKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[bytemuck(crate = "kho_block::bytemuck")]
#[repr(C)]
struct Number(u64);

#[test]
fn capacity_is_reserved_at_once_or_the_set_is_refused() {
    let memory = HeapMemory::new();
    let set = BlockSet::<Number, _>::try_with_capacity_in(&memory, 1000).unwrap();
    assert_eq!((set.len(), set.capacity(), memory.usage().owned), (0, 1020, 2));
    drop(set);
    let error = BlockSet::<Number, _>::try_with_capacity_in(&memory, 5_100_001).unwrap_err();
    assert_eq!(error.kind, ReserveErrorKind::TooLong { limit: 10_000 });
    assert_eq!(memory.usage().owned, 0);
}

#[test]
fn an_entry_that_panics_while_it_is_made_leaves_the_writer_whole() {
    let mut set = BlockSet::new_in(HeapMemory::new());
    let mut writer = set.writer();
    for value in 0..1500 {
        let made = catch_unwind(AssertUnwindSafe(|| {
            writer.push_with(|| if value % 3 == 0 { panic!("no entry") } else { Number(value) })
        }));
        assert_eq!(made.is_err(), value % 3 == 0);
    }
    drop(writer);
    assert!(set.iter().copied().eq((0..1500).filter(|value| value % 3 != 0).map(Number)));
}

#[test]
fn an_iterator_without_end_is_refused_or_stops_at_the_limit() {
    let mut set = BlockSet::new_in(HeapMemory::new());
    set.push(Number(7)).unwrap();
    set.set_block_limit(3);
    let refused = ReserveErrorKind::TooLong { limit: 3 };
    // One says that it has no end, the other says nothing.
    let endless = set.try_extend((0..).map(Number)).unwrap_err();
    let silent = set.try_extend((0..).map(Number).filter(|_| true)).unwrap_err();
    assert_eq!((endless.kind, silent.kind), (refused, refused));
    assert_eq!((set.len(), set[0]), (1, Number(7)));
}

#[test]
fn what_a_writer_pushed_before_stays_when_it_is_extended_in_vain() {
    let mut set = BlockSet::new_in(HeapMemory::new());
    set.set_block_limit(1);
    let mut writer = set.writer();
    writer.push(Number(1)).unwrap();
    writer.try_extend((0..600).map(Number).filter(|_| true)).unwrap_err();
    assert_eq!(writer.pushed(), 1);
    writer.push(Number(2)).unwrap();
    drop(writer);
    assert!(set.iter().eq(&[Number(1), Number(2)]));
}
