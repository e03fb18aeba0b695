//! Where something else is faster.

use crate::names;
use crate::run::{Measurement, Run};
use crate::stats::Ratio;
use crate::table::Table;
use crate::text;

/// Less than this is taken for noise.
const NOTICED: f64 = 1.05;

/// One measurement of ours, and the best other in its group.
#[derive(Debug)]
pub(crate) struct Loss<'r> {
    ours: &'r Measurement,
    best: &'r Measurement,
    ratio: Ratio,
}

/// Every measurement of ours that takes more than 5 % longer than the best of the others that are
/// limits, or that are not. The worst comes first.
pub(crate) fn find(run: &Run, beside_limits: bool) -> Vec<Loss<'_>> {
    let mut losses = Vec::new();
    for group in run.groups() {
        for ours in group.iter().filter(|one| names::is_ours(&one.contender)) {
            let threads = names::split_threads(&ours.contender).1;
            let is_peer = |other: &&Measurement| {
                !names::is_ours(&other.contender)
                    && names::is_limit(&other.contender) == beside_limits
                    && !names::is_chase_elsewhere(&other.contender, &ours.contender)
                    && names::split_threads(&other.contender).1 == threads
            };
            let faster =
                |a: &&Measurement, b: &&Measurement| a.time.median.total_cmp(&b.time.median);
            let Some(best) = group.iter().filter(is_peer).min_by(faster) else { continue };
            let ratio = Ratio::of(ours.time, best.time);
            if ratio.median > NOTICED {
                losses.push(Loss { ours, best, ratio });
            }
        }
    }
    losses.sort_by(|a, b| b.ratio.median.total_cmp(&a.ratio.median));
    losses
}

/// A row for each.
pub(crate) fn table(losses: &[Loss<'_>]) -> Table {
    let mut table =
        Table::new(["work", "entries", "bytes", "who", "best other", "times its time", "spread"]);
    for Loss { ours, best, ratio } in losses {
        table.row([
            ours.group.workload.clone(),
            text::count(ours.group.entries),
            ours.group.entry_bytes.clone(),
            ours.contender.clone(),
            best.contender.clone(),
            text::exact_ratio(ratio.median),
            text::spread(*ratio),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_first_and_noise_is_no_loss() {
        let run = Run::of(&[
            ("push/32/100", "Vec", 10.0),
            ("push/32/100", "LinkedList", 20.0),
            ("push/32/100", "BlockSet, heap", 12.0),
            ("push/32/100", "BlockSet, memfd", 10.4),
            ("push/32/100", "memcpy", 5.0),
            ("end to end, sessions/32/100", "kho-block", 30.0),
            ("end to end, sessions/32/100", "rkyv", 15.0),
        ]);
        let beside = |limits| {
            let pair = |loss: &Loss<'_>| (loss.ours.contender.clone(), loss.best.contender.clone());
            find(&run, limits).iter().map(pair).collect::<Vec<_>>()
        };
        let pair = |ours: &str, best: &str| (ours.to_owned(), best.to_owned());
        assert_eq!(beside(false), [pair("kho-block", "rkyv"), pair("BlockSet, heap", "Vec")]);
        assert_eq!(
            beside(true),
            [pair("BlockSet, heap", "memcpy"), pair("BlockSet, memfd", "memcpy")]
        );
    }

    #[test]
    fn the_limit_is_the_chase_over_the_same_memory() {
        let run = Run::of(&[
            ("restore/32/100", "pointer chase, heap", 10.0),
            ("restore/32/100", "pointer chase, memfd", 20.0),
            ("restore/32/100", "BlockSet, heap", 15.0),
            ("restore/32/100", "BlockSet, memfd", 22.0),
        ]);
        let ratios: Vec<_> = find(&run, true).iter().map(|loss| loss.ratio.median).collect();
        assert_eq!(ratios, [1.5, 1.1]);
        assert_eq!(find(&run, false).len(), 0);
    }

    #[test]
    fn threads_are_compared_with_as_many() {
        let run = Run::of(&[
            ("fold on threads/32/100", "Vec, 1 thread", 20.0),
            ("fold on threads/32/100", "Vec, 2 threads", 10.0),
            ("fold on threads/32/100", "BlockSet, heap, 1 thread", 20.0),
            ("fold on threads/32/100", "BlockSet, heap, 2 threads", 15.0),
        ]);
        let losses = find(&run, false);
        assert_eq!(losses.len(), 1);
        assert_eq!(losses[0].best.contender, "Vec, 2 threads");
        assert_eq!(losses[0].ratio.median, 1.5);
    }
}
