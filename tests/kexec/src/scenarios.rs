//! All scenarios, each with a name of its own.

use crate::scenario::Scenario;

mod edits;
mod kernel_reads;
mod kernel_writes;
mod refusals;
mod unknown;
mod user_state;

/// Returns all scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = user_state::scenarios();
    all.extend(kernel_writes::scenarios());
    all.extend(kernel_reads::scenarios());
    all.extend(edits::scenarios());
    all.extend(refusals::scenarios());
    all.extend(unknown::scenarios());
    all
}
