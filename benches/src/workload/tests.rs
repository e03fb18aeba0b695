//! All contenders come to the same results.

use std::collections::LinkedList;

use kho_block::{HeapMemory, MemfdMemory};

use super::*;
use crate::sample::{for_each_size, special_lens};
use crate::{Arena, Blocks, MemorySlot, Pieces};

/// The entries, one by one, that a contender has after it grew.
fn grown<T: Sample, C: Contender<T>>(len: usize) -> Vec<T> {
    let mut set: C = grow_and_push(len);
    let entries: Vec<T> = set.iter().copied().collect();
    let sum = entries.as_slice().iter().fold(0_u64, |sum, entry| sum.wrapping_add(entry.digest()));
    assert_eq!([for_loop(&mut set), fold(&mut set)], [sum; 2]);
    assert!(filled::<T, C>(len).iter().eq(&entries));
    entries
}

/// The entries of a contender that is read from its end.
fn reversed<T: Sample, C: Reversible<T>>(len: usize) -> Vec<T> {
    let mut set: C = grow_and_push(len);
    let sum = fold(&mut set);
    assert_eq!(reverse(&mut set), sum);
    let mut entries: Vec<T> = set.reversed().copied().collect();
    entries.reverse();
    entries
}

/// All that only arrays do has the same result.
fn is_an_array<T: Sample, C: Array<T>>(expected: &[T]) {
    let len = expected.len();
    let mut set: C = reserve_and_fill(len);
    let holds = |set: &C| assert!(set.chunks().flatten().eq(expected), "{} {len}", C::NAME);
    holds(&set);
    rewrite(&mut set, len);
    holds(&set);
    set.clear();
    roll_back(&mut set, len);
    assert_eq!((set.iter().count(), set.get(0)), (0, None));
    bulk_append(&mut set, expected);
    holds(&set);
    assert_eq!(chunks(&mut set), fold(&mut set));
    assert!(set.chunks().all(|chunk| (1..=T::PER_BLOCK).contains(&chunk.len())));
    if len > 0 {
        let indices = random_indices(100, len);
        let sum = indices.iter().fold(0_u64, |sum, index| sum.wrapping_add(expected[*index].tag()));
        assert_eq!([gather(&mut set, &indices), seek(&mut set, &indices)], [sum; 2]);
    }
}

fn agree<T: Sample>() {
    for len in special_lens::<T>() {
        let expected = numbered::<T>(len);
        assert_eq!(grown::<T, Vec<T>>(len), expected);
        assert_eq!(grown::<T, Blocks<T, HeapMemory>>(len), expected);
        assert_eq!(grown::<T, Blocks<T, MemfdMemory>>(len), expected);
        assert_eq!(grown::<T, LinkedList<T>>(len), expected);
        assert_eq!(grown::<T, Arena<T>>(len), expected);
        assert_eq!(grown::<T, Pieces<T>>(len), expected);
        assert_eq!(reversed::<T, Vec<T>>(len), expected);
        assert_eq!(reversed::<T, Blocks<T, HeapMemory>>(len), expected);
        assert_eq!(reversed::<T, Blocks<T, MemfdMemory>>(len), expected);
        assert_eq!(reversed::<T, LinkedList<T>>(len), expected);
        is_an_array::<T, Vec<T>>(&expected);
        is_an_array::<T, Blocks<T, HeapMemory>>(&expected);
        is_an_array::<T, Blocks<T, MemfdMemory>>(&expected);
    }
}

#[test]
fn contenders_agree() {
    for_each_size!(agree());
}

#[test]
fn contenders_count_alike() {
    fn counts<C: Contender<MemorySlot>>() -> [usize; 3] {
        let mut set: C = grow_and_push(1000);
        [0, 999 << 21, 1000 << 21].map(|address| for_count(&mut set, address))
    }
    assert_eq!(counts::<Vec<MemorySlot>>(), [1, 1, 0]);
    assert_eq!(counts::<Blocks<MemorySlot, HeapMemory>>(), [1, 1, 0]);
    assert_eq!(counts::<Blocks<MemorySlot, MemfdMemory>>(), [1, 1, 0]);
    assert_eq!(counts::<LinkedList<MemorySlot>>(), [1, 1, 0]);
    assert_eq!(counts::<Arena<MemorySlot>>(), [1, 1, 0]);
    assert_eq!(counts::<Pieces<MemorySlot>>(), [1, 1, 0]);
}

#[test]
fn a_copy_is_one() {
    let from = numbered::<MemorySlot>(1000);
    let mut to = vec![MemorySlot::numbered(0); 1000];
    copy(&mut to, &from);
    assert_eq!(to, from);
}

#[test]
fn indices_are_inside_and_differ() {
    let indices = random_indices(1000, 127);
    assert!(indices.iter().all(|index| *index < 127));
    assert!(indices.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn explanations_are_of_different_workloads() {
    for (position, (name, _)) in WORKLOADS.iter().enumerate() {
        assert!(WORKLOADS[..position].iter().all(|(other, _)| other != name), "{name}");
    }
}
