//! Writing: pushing, appending, taking back.

use kho_benches::{
    Array, Contender, Sample, bulk_append, copy, fill, grow_and_push, numbered, reserve_and_fill,
    rewrite, roll_back,
};

use crate::timing::Group;

/// What the results call a plain copy.
const MEMCPY: &str = "memcpy";

/// In memory that was written before: neither side meets a page fault.
pub(crate) fn push<T: Sample, C: Array<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time_after(C::NAME, || reserve_and_fill::<T, C>(len), C::clear, |set| fill(set, len));
}

pub(crate) fn push_with_growth<T: Sample, C: Contender<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time_making(C::NAME, || grow_and_push::<T, C>(len));
}

pub(crate) fn reserve_and_push<T: Sample, C: Array<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time_making(C::NAME, || reserve_and_fill::<T, C>(len));
}

pub(crate) fn append<T: Sample, C: Array<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time_after(
        C::NAME,
        || (reserve_and_fill::<T, C>(len), numbered::<T>(len)),
        |(set, _)| set.clear(),
        |(set, entries)| bulk_append(set, entries),
    );
}

/// The limit of pushing and of appending.
pub(crate) fn memcpy<T: Sample>(group: &mut Group<'_>) {
    let len = group.len;
    group.time_after(
        MEMCPY,
        || (vec![T::numbered(0); len], numbered::<T>(len)),
        |_| (),
        |(to, from)| copy(to, from),
    );
}

pub(crate) fn write_again<T: Sample, C: Array<T>>(group: &mut Group<'_>) {
    let len = group.len;
    group.time(C::NAME, || reserve_and_fill::<T, C>(len), |set| rewrite(set, len));
}

pub(crate) fn take_back<T: Sample, C: Array<T>>(group: &mut Group<'_>) {
    let len = group.len;
    let prepare = || {
        let mut set: C = reserve_and_fill(len);
        set.clear();
        set
    };
    group.time(C::NAME, prepare, |set| roll_back(set, len));
}
