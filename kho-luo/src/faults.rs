//! A list of faults that stays short, worst first.

use std::collections::BTreeMap;

use crate::severity::Severity;

/// The worst of what was met, in the order of severity, then in that in which it was met.
pub(crate) struct Faults<T, S = Severity> {
    limit: usize,
    met: usize,
    kept: BTreeMap<(S, usize), T>,
}

impl<T, S: Copy + Ord> Faults<T, S> {
    /// A list that keeps the `limit` worst.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, met: 0, kept: BTreeMap::new() }
    }

    pub(crate) fn push(&mut self, severity: S, fault: T) {
        self.kept.insert((severity, self.met), fault);
        self.met += 1;
        if self.kept.len() > self.limit {
            self.kept.pop_last();
        }
    }

    /// The worst one, if there is any.
    pub(crate) fn into_worst(mut self) -> Option<T> {
        self.kept.pop_first().map(|(_, fault)| fault)
    }

    /// All that were kept, and at the end how many were not, if there are such.
    pub(crate) fn into_vec(self, more: impl FnOnce(usize) -> T) -> Vec<T> {
        let left_out = self.met - self.kept.len();
        let mut list: Vec<T> = self.kept.into_values().collect();
        if left_out > 0 {
            list.push(more(left_out));
        }
        list
    }
}
