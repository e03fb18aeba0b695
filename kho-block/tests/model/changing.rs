//! Changing entries in place while several are borrowed at once.

use crate::TestEntry;
use crate::driver::{Pair, World};
use crate::memories::TestMemory;
use crate::ops::{Spot, Take};

pub(crate) fn change<T: TestEntry, M: TestMemory>(world: &mut World<'_, T, M>, spot: Spot) {
    let (by_get, by_index) = (world.entry(), world.entry());
    let Pair { set, naive } = &mut world.pairs[0];
    let index = naive.index(spot);
    let Some(expected) = naive.entries.get_mut(index) else {
        assert!(set.get_mut(index).is_none());
        return;
    };
    *set.get_mut(index).unwrap() = by_get;
    if index % 2 == 0 {
        *expected = by_get;
    } else {
        set[index] = by_index;
        *expected = by_index;
    }
}

/// Takes chunks, then changes the first and last entry of each while all are borrowed.
pub(crate) fn chunks_mut<T: TestEntry, M: TestMemory>(world: &mut World<'_, T, M>, takes: &[Take]) {
    let values: Vec<_> = takes.iter().map(|_| (world.entry(), world.entry())).collect();
    let Pair { set, naive } = &mut world.pairs[0];
    let mut chunks = set.chunks_mut();
    let mut left = 0..naive.counts.len();
    let mut taken = Vec::new();
    for (take, values) in takes.iter().zip(values) {
        let (chunk, block) = (take.of(&mut chunks), take.of(&mut left));
        assert_eq!(chunk.is_some(), block.is_some());
        assert_eq!(chunks.len(), left.len());
        taken.extend(chunk.zip(block).map(|taken| (taken, values)));
    }
    taken.extend(chunks.zip(left).map(|taken| (taken, (T::zeroed(), T::zeroed()))));
    for ((chunk, block), (first, last)) in taken {
        assert_eq!(chunk.len(), naive.counts[block]);
        let start = naive.start(block);
        let expected = &mut naive.entries[start..][..chunk.len()];
        for entries in [chunk, expected] {
            *entries.first_mut().unwrap() = first;
            *entries.last_mut().unwrap() = last;
        }
    }
}

/// Takes entries, then changes them while all are borrowed.
pub(crate) fn iter_mut<T: TestEntry, M: TestMemory>(world: &mut World<'_, T, M>, takes: &[Take]) {
    let values: Vec<_> = takes.iter().map(|_| world.entry()).collect();
    let Pair { set, naive } = &mut world.pairs[0];
    let mut entries = set.iter_mut();
    let mut left = 0..naive.len();
    let mut taken = Vec::new();
    for (take, value) in takes.iter().zip(values) {
        let (entry, index) = (take.of(&mut entries), take.of(&mut left));
        assert_eq!(entry.is_some(), index.is_some());
        assert_eq!(entries.len(), left.len());
        taken.extend(entry.zip(index).map(|taken| (taken, value)));
    }
    for ((entry, index), value) in taken {
        *entry = value;
        naive.entries[index] = value;
    }
    let rest = naive.entries[left].iter_mut();
    // Folds over the rest, and swaps the ends of each entry.
    let mut seen = 0;
    let expected = rest.len();
    entries.for_each(|entry| {
        seen += 1;
        swap_ends(entry);
    });
    assert_eq!(seen, expected);
    rest.for_each(swap_ends);
}

pub(crate) fn swap_ends<T: TestEntry>(entry: &mut T) {
    let bytes = kho_block::bytemuck::bytes_of_mut(entry);
    let last = bytes.len() - 1;
    bytes.swap(0, last);
}
