//! The kernel's C code, wherever it has what is measured.

use std::hint::black_box;

use kho_benches::KERNEL;
use kho_linux_c::KernelSet;

use crate::read::ADDRESS;
use crate::timing::Group;

fn filled(len: usize) -> KernelSet {
    let mut set = KernelSet::with_capacity(len);
    set.fill(len);
    set
}

pub(crate) fn push(group: &mut Group<'_>) {
    let len = group.len;
    group.time_after(KERNEL, || filled(len), KernelSet::clear, |set| set.fill(len));
}

pub(crate) fn push_with_growth(group: &mut Group<'_>) {
    let len = group.len;
    group.time_making(KERNEL, || {
        let mut set = KernelSet::new(len);
        set.grow_and_fill(len);
        set
    });
}

pub(crate) fn reserve_and_push(group: &mut Group<'_>) {
    let len = group.len;
    group.time_making(KERNEL, || filled(len));
}

pub(crate) fn write_again(group: &mut Group<'_>) {
    let len = group.len;
    group.time(
        KERNEL,
        || filled(len),
        |set| {
            set.clear();
            set.fill(len);
        },
    );
}

pub(crate) fn read_for(group: &mut Group<'_>) {
    let len = group.len;
    group.time(KERNEL, || filled(len), |set| set.sum());
}

pub(crate) fn read_for_count(group: &mut Group<'_>) {
    let len = group.len;
    group.time(KERNEL, || filled(len), |set| set.count(black_box(ADDRESS)));
}

pub(crate) fn read_reverse(group: &mut Group<'_>) {
    let len = group.len;
    group.time(KERNEL, || filled(len), |set| set.sum_reverse());
}
