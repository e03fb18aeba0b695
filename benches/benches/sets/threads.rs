//! Reading and writing on one thread, and on two.

use kho_benches::{
    Parallel, Sample, fill, filled, fold, par_fill, par_fold, pool, reserve_and_fill,
};

use crate::timing::Group;

/// One thread does what a user would do who has one: no part of rayon is in the way.
pub(crate) fn fold_on_threads<T: Sample, C: Parallel<T>>(group: &mut Group<'_>) {
    let len = group.len;
    let threads = pool(2);
    group.time(&format!("{}, 1 thread", C::NAME), || filled::<T, C>(len), fold);
    let work = |set: &mut C| par_fold(&threads, set);
    group.time(&format!("{}, 2 threads", C::NAME), || filled::<T, C>(len), work);
}

pub(crate) fn fill_on_threads<T: Sample, C: Parallel<T>>(group: &mut Group<'_>) {
    let len = group.len;
    let threads = pool(2);
    let prepare = || reserve_and_fill::<T, C>(len);
    group.time_after(&format!("{}, 1 thread", C::NAME), prepare, C::clear, |set| fill(set, len));
    let work = |set: &mut C| par_fill(&threads, set, len);
    group.time_after(&format!("{}, 2 threads", C::NAME), prepare, C::clear, work);
}
