//! Reading and writing on several threads, against the model.

use kho_block::bytemuck::cast_slice;
use kho_block::{Entries, ReadMemory, ReserveError, Writer};
use rayon::prelude::*;

use crate::TestEntry;
use crate::changing::swap_ends;
use crate::driver::{Pair, catch_injected, inject};
use crate::memories::TestMemory;
use crate::naive::Naive;
use crate::ops::Spot;
use crate::watched::Watched;

/// Reads a range of entries, split into ranges of at most `most`, and all blocks.
pub(crate) fn read<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    [one, other]: [Spot; 2],
    most: usize,
) {
    let spots = [one, other].map(|spot| naive.index(spot).min(naive.len()));
    let (start, end) = (spots[0].min(spots[1]), spots[0].max(spots[1]));
    let expected = &naive.entries[start..end];
    let some = || entries.par_iter().with_max_len(most).skip(start).take(end - start);
    assert_eq!(some().len(), end - start);
    // By slices, by entries from the back, and by entries from the front.
    check(&some().copied().collect::<Vec<_>>(), expected);
    let mut reversed: Vec<_> = some().copied().rev().collect();
    reversed.reverse();
    check(&reversed, expected);
    check(&some().zip(expected).map(|(entry, _)| *entry).collect::<Vec<_>>(), expected);
    if let Some(wanted) = expected.first() {
        // Stops in the middle.
        let found = entries.into_par_iter().position_first(|entry| same(entry, wanted));
        assert_eq!(found, naive.entries.iter().position(|entry| same(entry, wanted)));
    }

    let chunks = || entries.par_chunks().with_max_len(most);
    assert_eq!(chunks().len(), naive.counts.len());
    assert_eq!(chunks().map(<[T]>::len).collect::<Vec<_>>(), naive.counts);
    let rev: Vec<_> = chunks().rev().map(<[T]>::len).collect();
    assert!(rev.iter().rev().eq(&naive.counts));
    check(&chunks().flatten_iter().copied().collect::<Vec<_>>(), &naive.entries);
}

fn same<T: TestEntry>(one: &T, other: &T) -> bool {
    kho_block::bytemuck::bytes_of(one) == kho_block::bytemuck::bytes_of(other)
}

fn check<T: TestEntry>(found: &[T], expected: &[T]) {
    assert_eq!(found.len(), expected.len());
    assert!(cast_slice::<T, u8>(found) == cast_slice::<T, u8>(expected), "entries differ");
}

/// Changes every entry twice: block by block and one by one.
pub(crate) fn change<T: TestEntry, M: TestMemory>(pair: &mut Pair<'_, T, M>, most: usize) {
    let Pair { set, naive } = pair;
    let chunks = set.par_chunks_mut().with_max_len(most);
    assert_eq!(chunks.len(), naive.counts.len());
    chunks.zip(&naive.counts).for_each(|(chunk, count)| {
        assert_eq!(chunk.len(), *count);
        chunk.iter_mut().for_each(swap_ends);
    });
    naive.entries.iter_mut().for_each(swap_ends);
    pair.check();
    pair.set.par_iter_mut().for_each(swap_ends);
    pair.naive.entries.iter_mut().for_each(swap_ends);
}

/// Extends a set by entries, one of which may panic. Returns the result, and whether it panicked.
pub(crate) fn extend<T: TestEntry, M: TestMemory>(
    writer: &mut Writer<'_, T, &Watched<M>>,
    entries: &[T],
    most: usize,
    panics: Option<usize>,
) -> (Result<(), ReserveError>, bool) {
    let mut result = Ok(());
    let panicked = catch_injected(|| {
        let given = entries.par_iter().with_max_len(most).enumerate().map(|(index, entry)| {
            if panics == Some(index) {
                inject();
            }
            *entry
        });
        result = writer.par_extend(given);
    });
    (result, panicked)
}
