//! Restoring, with caches warm and cold, and handing over.

use kho_benches::{Evictor, ReadBack, Restore};

use crate::timing::Group;

/// A chain that is handed over and restored in turn.
struct Cycle<R: Restore> {
    preserved: R,
    restored: Option<R::Restored>,
}

impl<R: Restore> Cycle<R> {
    fn new(len: usize) -> Self {
        Self { preserved: R::preserve(len), restored: None }
    }

    fn restore(&mut self) -> &mut R::Restored {
        let Self { preserved, restored } = self;
        restored.insert(preserved.restore())
    }

    fn hand_over(&mut self) {
        if let Some(restored) = self.restored.take() {
            self.preserved.hand_over(restored);
        }
    }

    fn hand_over_and_evict(evictor: &Evictor) -> impl FnMut(&mut Self) {
        |cycle| {
            cycle.hand_over();
            evictor.evict();
        }
    }
}

pub(crate) fn restore<R: Restore>(group: &mut Group<'_>) {
    let len = group.len;
    let work = |cycle: &mut Cycle<R>| {
        cycle.restore();
    };
    group.time_after(R::NAME, || Cycle::new(len), Cycle::hand_over, work);
}

pub(crate) fn hand_over<R: Restore>(group: &mut Group<'_>) {
    let len = group.len;
    let before = |cycle: &mut Cycle<R>| {
        cycle.restore();
    };
    group.time_after(R::NAME, || Cycle::new(len), before, Cycle::hand_over);
}

/// With the headers out of the caches, as they are after a reboot.
pub(crate) fn restore_cold<R: Restore>(group: &mut Group<'_>, evictor: &Evictor) {
    let len = group.len;
    group.long_before();
    let work = |cycle: &mut Cycle<R>| {
        cycle.restore();
    };
    group.time_after(R::NAME, || Cycle::new(len), Cycle::<R>::hand_over_and_evict(evictor), work);
}

pub(crate) fn restore_and_read_cold<R: ReadBack>(group: &mut Group<'_>, evictor: &Evictor) {
    let len = group.len;
    group.long_before();
    let before = Cycle::<R>::hand_over_and_evict(evictor);
    group.time_after(
        R::NAME,
        || Cycle::new(len),
        before,
        |cycle: &mut Cycle<R>| R::read(cycle.restore()),
    );
}
