//! Reading: iterators from both ends, against a range of indices.

use std::ops::Range;
use std::ptr;

use kho_block::bytemuck::{bytes_of, cast_slice};
use kho_block::{Entries, Iter, ReadMemory};

use crate::TestEntry;
use crate::naive::Naive;
use crate::ops::{Read, Spot, Take};

/// Largest number of entries that are compared one by one, to keep the tests fast.
const MANY: usize = 3000;

/// Checks that `found` is the entry at `index`, in place.
pub(crate) fn check<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    found: Option<&T>,
    index: Option<usize>,
) {
    assert_eq!(found.is_some(), index.is_some(), "where {index:?} is next");
    let (Some(found), Some(index)) = (found, index) else { return };
    assert!(ptr::eq(found, &entries[index]), "not entry {index}");
    assert!(bytes_of(found) == bytes_of(&naive.entries[index]), "entry {index} differs");
}

/// Reads step by step, and checks what is left in the iterator after each step.
pub(crate) fn read<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    steps: &[Read],
) {
    let mut iter = entries.iter();
    let mut left = 0..naive.len();
    for step in steps {
        match *step {
            Read::Next => check(entries, naive, iter.next(), left.next()),
            Read::NextBack => check(entries, naive, iter.next_back(), left.next_back()),
            Read::Nth(spot) => {
                let n = naive.index(spot);
                check(entries, naive, iter.nth(n), left.nth(n));
            }
            Read::NthBack(spot) => {
                let n = naive.index(spot);
                check(entries, naive, iter.nth_back(n), left.nth_back(n));
            }
            Read::Clone => {
                let clone = iter.clone();
                iter.nth(1);
                iter.next_back();
                iter = clone;
            }
            Read::Fold => fold(entries, naive, &iter, left.clone()),
            Read::Rfold => rfold(entries, naive, &iter, left.clone()),
            Read::Count => assert_eq!(iter.clone().count(), left.len()),
            Read::Last => check(entries, naive, iter.clone().last(), left.clone().last()),
        }
        assert_eq!(iter.len(), left.len(), "after {step:?}");
        assert_eq!(iter.size_hint(), (left.len(), Some(left.len())));
    }
    check(entries, naive, iter.clone().next(), left.clone().next());
    check(entries, naive, iter.clone().next_back(), left.clone().next_back());
    if left.len() <= MANY {
        check_all(entries, naive, iter.clone(), left.clone());
        check_all(entries, naive, iter.rev(), left.rev());
    }
}

pub(crate) fn check_all<'a, T: TestEntry, M: ReadMemory>(
    entries: &'a Entries<T, M>,
    naive: &Naive<T>,
    mut found: impl Iterator<Item = &'a T>,
    indices: impl Iterator<Item = usize>,
) {
    for index in indices {
        check(entries, naive, found.next(), Some(index));
    }
    // The iterator is fused.
    check(entries, naive, found.next(), None);
    check(entries, naive, found.next(), None);
}

fn fold<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    iter: &Iter<'_, T, M>,
    mut left: Range<usize>,
) {
    iter.clone().for_each(|entry| {
        check_place(entries, naive, entry, left.next());
    });
    assert!(left.is_empty());
}

fn rfold<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    iter: &Iter<'_, T, M>,
    mut left: Range<usize>,
) {
    iter.clone().rfold((), |(), entry| {
        check_place(entries, naive, entry, left.next_back());
    });
    assert!(left.is_empty());
}

pub(crate) fn check_place<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    found: &T,
    index: Option<usize>,
) {
    let index = index.expect("the iterator returned an entry too many");
    assert!(ptr::eq(found, &entries[index]), "not entry {index}");
    debug_assert!(bytes_of(found) == bytes_of(&naive.entries[index]));
}

/// Takes chunks and checks the rest.
pub(crate) fn chunks<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    takes: &[Take],
) {
    let blocks = (0..naive.counts.len()).map(|block| {
        let start = naive.start(block);
        start..start + naive.counts[block]
    });
    check_chunks(naive, entries.chunks(), &blocks.collect::<Vec<_>>(), takes);
}

/// Reads the entries of a range as slices and by copying.
pub(crate) fn slices<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    spots: [Spot; 2],
    takes: &[Take],
) {
    let [one, other] = spots.map(|spot| naive.index(spot).min(naive.len()));
    let range = one.min(other)..one.max(other);
    let mut parts = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let (block, offset) = naive.locate(start);
        let end = (start - offset + naive.counts[block]).min(range.end);
        parts.push(start..end);
        start = end;
    }
    check_chunks(naive, entries.slices(range.clone()), &parts, takes);
    let mut copy = vec![T::zeroed(); range.len()];
    entries.copy_to_slice(range.start, &mut copy);
    assert!(cast_slice::<T, u8>(&copy) == cast_slice::<T, u8>(&naive.entries[range]));
}

/// Takes chunks, and checks that they hold the entries at the indices in `left`.
fn check_chunks<'a, T: TestEntry>(
    naive: &Naive<T>,
    mut chunks: impl DoubleEndedIterator<Item = &'a [T]> + ExactSizeIterator + Clone,
    left: &[Range<usize>],
    takes: &[Take],
) {
    let mut left = left.iter().cloned();
    for take in takes {
        check_chunk(naive, take.of(&mut chunks), take.of(&mut left));
        assert_eq!(chunks.len(), left.len());
    }
    check_chunk(naive, chunks.clone().next_back(), left.clone().next_back());
    assert_eq!(chunks.clone().rev().count(), left.len());
    for indices in left {
        check_chunk(naive, chunks.next(), Some(indices));
    }
    check_chunk(naive, chunks.next(), None);
}

fn check_chunk<T: TestEntry>(naive: &Naive<T>, found: Option<&[T]>, at: Option<Range<usize>>) {
    let expected = at.map(|indices| &naive.entries[indices]);
    assert_eq!(found.map(<[T]>::len), expected.map(<[T]>::len));
    let bytes = |entries| cast_slice::<T, u8>(entries);
    assert!(found.map(bytes) == expected.map(bytes), "entries differ");
}

impl Take {
    /// Takes from an iterator.
    pub(crate) fn of<I: DoubleEndedIterator>(self, items: &mut I) -> Option<I::Item> {
        match self {
            Self::Next => items.next(),
            Self::NextBack => items.next_back(),
            Self::Nth(n) => items.nth(usize::from(n)),
            Self::NthBack(n) => items.nth_back(usize::from(n)),
        }
    }
}
