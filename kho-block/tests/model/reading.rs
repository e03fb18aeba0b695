//! Reading: iterators from both ends, against a range of indices.

use std::ops::Range;
use std::ptr;

use kho_block::bytemuck::{bytes_of, cast_slice};
use kho_block::{Entries, Iter, ReadMemory};

use crate::TestEntry;
use crate::naive::Naive;
use crate::ops::{Read, Take};

/// How many entries a fold goes over before it costs too much to compare each.
const MANY: usize = 3000;

/// Checks that `found` is the entry at `index`, in place.
fn check<T: TestEntry, M: ReadMemory>(
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

/// Reads by steps. What is left of the reader is `left`, at every step.
pub(crate) fn read<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    steps: &[Read],
) {
    let mut reader = entries.iter();
    let mut left = 0..naive.len();
    for step in steps {
        match *step {
            Read::Next => check(entries, naive, reader.next(), left.next()),
            Read::NextBack => check(entries, naive, reader.next_back(), left.next_back()),
            Read::Nth(spot) => {
                let n = naive.index(spot);
                check(entries, naive, reader.nth(n), left.nth(n));
            }
            Read::NthBack(spot) => {
                let n = naive.index(spot);
                check(entries, naive, reader.nth_back(n), left.nth_back(n));
            }
            Read::Seek(spot) => {
                let index = naive.index(spot);
                reader.seek(index);
                left.start = index.min(left.end);
            }
            Read::Clone => {
                let clone = reader.clone();
                reader.nth(1);
                reader.next_back();
                reader = clone;
            }
            Read::Fold => fold(entries, naive, &reader, left.clone()),
            Read::Rfold => rfold(entries, naive, &reader, left.clone()),
            Read::Count => assert_eq!(reader.clone().count(), left.len()),
            Read::Last => check(entries, naive, reader.clone().last(), left.clone().last()),
        }
        assert_eq!(reader.len(), left.len(), "after {step:?}");
        assert_eq!(reader.size_hint(), (left.len(), Some(left.len())));
    }
    check(entries, naive, reader.clone().next(), left.clone().next());
    check(entries, naive, reader.clone().next_back(), left.clone().next_back());
    if left.len() <= MANY {
        check_all(entries, naive, reader.clone(), left.clone());
        check_all(entries, naive, reader.rev(), left.rev());
    }
}

fn check_all<'a, T: TestEntry, M: ReadMemory>(
    entries: &'a Entries<T, M>,
    naive: &Naive<T>,
    mut found: impl Iterator<Item = &'a T>,
    indices: impl Iterator<Item = usize>,
) {
    for index in indices {
        check(entries, naive, found.next(), Some(index));
    }
    // Fused.
    check(entries, naive, found.next(), None);
    check(entries, naive, found.next(), None);
}

fn fold<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    reader: &Iter<'_, T, M>,
    mut left: Range<usize>,
) {
    reader.clone().for_each(|entry| {
        check_place(entries, naive, entry, left.next());
    });
    assert!(left.is_empty());
}

fn rfold<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    reader: &Iter<'_, T, M>,
    mut left: Range<usize>,
) {
    reader.clone().rfold((), |(), entry| {
        check_place(entries, naive, entry, left.next_back());
    });
    assert!(left.is_empty());
}

fn check_place<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    found: &T,
    index: Option<usize>,
) {
    let index = index.expect("one entry too many");
    assert!(ptr::eq(found, &entries[index]), "not entry {index}");
    debug_assert!(bytes_of(found) == bytes_of(&naive.entries[index]));
}

/// Takes chunks; what is left is `left`, by block.
pub(crate) fn chunks<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    takes: &[Take],
) {
    let mut chunks = entries.chunks();
    let mut left = 0..naive.counts.len();
    for take in takes {
        check_chunk(naive, take.of(&mut chunks), take.of(&mut left));
        assert_eq!(chunks.len(), left.len());
    }
    check_chunk(naive, chunks.clone().next_back(), left.clone().next_back());
    for block in left {
        check_chunk(naive, chunks.next(), Some(block));
    }
    check_chunk(naive, chunks.next(), None);
    assert_eq!(entries.chunks().rev().count(), naive.counts.len());
}

fn check_chunk<T: TestEntry>(naive: &Naive<T>, found: Option<&[T]>, block: Option<usize>) {
    let expected = block.map(|block| &naive.entries[naive.start(block)..][..naive.counts[block]]);
    assert_eq!(found.map(<[T]>::len), expected.map(<[T]>::len));
    let bytes = |entries| cast_slice::<T, u8>(entries);
    assert!(found.map(bytes) == expected.map(bytes), "block {block:?} differs");
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
