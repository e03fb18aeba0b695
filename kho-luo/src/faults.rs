//! A list of bounded length that keeps the worst faults.

use std::collections::BTreeMap;

use crate::severity::Severity;

/// The worst faults that were added, by severity and then in the order in which they were added.
pub(crate) struct Faults<T, S = Severity> {
    limit: usize,
    added: usize,
    kept: BTreeMap<(S, usize), T>,
}

impl<T, S: Copy + Ord> Faults<T, S> {
    /// Creates a list that keeps the `limit` worst faults.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, added: 0, kept: BTreeMap::new() }
    }

    pub(crate) fn push(&mut self, severity: S, fault: T) {
        self.kept.insert((severity, self.added), fault);
        self.added += 1;
        if self.kept.len() > self.limit {
            self.kept.pop_last();
        }
    }

    /// Returns the faults that were kept, the worst first. If others were dropped, `more` makes the
    /// last element from their number.
    pub(crate) fn into_vec(self, more: impl FnOnce(usize) -> T) -> Vec<T> {
        let dropped = self.added - self.kept.len();
        let mut list: Vec<T> = self.kept.into_values().collect();
        if dropped > 0 {
            list.push(more(dropped));
        }
        list
    }
}
