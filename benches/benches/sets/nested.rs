//! Sets in a set.

use kho_benches::{Nested, ReadNested};

use crate::timing::Group;

pub(crate) fn build<N: Nested>(group: &mut Group<'_>) {
    let len = group.len;
    let prepare = || {
        let mut nested = N::new(len);
        // So that the memory was used before.
        nested.build();
        nested
    };
    group.time_after(N::NAME, prepare, N::clear, N::build);
}

pub(crate) fn restore_and_read<N: Nested>(group: &mut Group<'_>) {
    let len = group.len;
    let prepare = || {
        let mut nested = N::new(len);
        nested.build();
        nested.hand_over()
    };
    group.time(N::NAME, prepare, N::Chain::restore_and_read);
}
