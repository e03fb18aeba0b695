//! Reading: in order, from the end, at random.

use std::hint::black_box;

use kho_benches::{
    Array, Contender, Reversible, Sample, chunks, filled, fold, for_count, for_loop, gather,
    random_indices, reverse, seek,
};

use crate::timing::Group;

/// How many entries one run of `random get` and `seek` looks up.
const LOOKUPS: usize = 10_000;

/// An address for `for, count`, which one slot has.
pub(crate) const ADDRESS: u64 = 1 << 24;

pub(crate) fn read_for<T: Sample, C: Contender<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time(C::NAME, || filled::<T, C>(len), for_loop);
}

pub(crate) fn read_for_count<T: Sample, C: Contender<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time(C::NAME, || filled::<T, C>(len), |set| for_count(set, black_box(ADDRESS)));
}

pub(crate) fn read_fold<T: Sample, C: Contender<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time(C::NAME, || filled::<T, C>(len), fold);
}

pub(crate) fn read_reverse<T: Sample, C: Reversible<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time(C::NAME, || filled::<T, C>(len), reverse);
}

pub(crate) fn read_chunks<T: Sample, C: Array<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time(C::NAME, || filled::<T, C>(len), chunks);
}

pub(crate) fn random_get<T: Sample, C: Array<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.operations(LOOKUPS);
    let prepare = || (filled::<T, C>(len), random_indices(LOOKUPS, len));
    group.time(C::NAME, prepare, |(set, indices)| gather(set, indices));
}

pub(crate) fn random_seek<T: Sample, C: Array<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.operations(LOOKUPS);
    let prepare = || (filled::<T, C>(len), random_indices(LOOKUPS, len));
    group.time(C::NAME, prepare, |(set, indices)| seek(set, indices));
}
