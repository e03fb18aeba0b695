//! What the sets have to reach, as one table, and whether they do.

use crate::footprint::Footprint;
use crate::names::{
    self, HUGE, KERNEL, KHO_BLOCK, KHO_BLOCK_RAYON, LARGE, SERDE_JSON, SETS, SMALL, VEC,
};
use crate::run::{Measurement, Run, find};
use crate::stats::{Quartiles, Ratio};

/// One line of the table.
struct Goal {
    workload: &'static str,
    entry_bytes: &'static str,
    lengths: Lengths,
    contenders: &'static [&'static str],
    peer: Peer,
    bound: Bound,
}

/// For how many entries a goal is.
#[derive(Clone, Copy)]
enum Lengths {
    These(&'static [usize]),
    /// Every measured length that is not less.
    From(usize),
}

/// What a contender is compared with.
#[derive(Clone, Copy)]
enum Peer {
    /// Another in the same group.
    Contender(&'static str),
    /// The pointer chase over the same kind of memory.
    Chase,
    /// Itself, with the entries of the large runs, for each entry.
    Large,
    /// Itself on one thread, where two are measured.
    OneThread,
    /// The best of the others in the same group.
    BestOther,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// Its time is at most so many times the peer's.
    AtMost(f64),
    /// The peer's time is at least so many times its own.
    TimesFaster(f64),
}

/// Bytes that a block may cost beyond itself.
const FOOTPRINT: Bound = Bound::AtMost(9.0);

const BOTH: Lengths = Lengths::These(&[SMALL, LARGE]);
const ONLY_LARGE: Lengths = Lengths::These(&[LARGE]);

const fn goal(workload: &'static str, lengths: Lengths, peer: Peer, bound: Bound) -> Goal {
    Goal { workload, entry_bytes: "32", lengths, contenders: &SETS, peer, bound }
}

const fn end_to_end(data: &'static str, entry_bytes: &'static str, peer: Peer, n: f64) -> Goal {
    let (contenders, bound) = (&[KHO_BLOCK], Bound::TimesFaster(n));
    Goal { workload: data, entry_bytes, lengths: Lengths::From(0), contenders, peer, bound }
}

const GOALS: [Goal; 21] = {
    use Bound::{AtMost, TimesFaster};
    use Peer::{BestOther, Chase, Contender, Large, OneThread};
    const SESSIONS: &str = "end to end, sessions";
    const PROCESSES: &str = "end to end, process table";
    [
        goal("fold", BOTH, Contender(VEC), AtMost(1.03)),
        goal("chunks", BOTH, Contender(VEC), AtMost(1.03)),
        goal("for", BOTH, Contender(VEC), AtMost(1.10)),
        goal("push", BOTH, Contender(VEC), AtMost(1.05)),
        goal("bulk append", BOTH, Contender(VEC), AtMost(1.05)),
        goal("random get", ONLY_LARGE, Contender(VEC), AtMost(1.25)),
        goal("for", Lengths::These(&[SMALL]), Contender(KERNEL), TimesFaster(6.0)),
        goal("for", ONLY_LARGE, Contender(KERNEL), TimesFaster(2.0)),
        goal("push", BOTH, Contender(KERNEL), TimesFaster(2.5)),
        goal("restore", BOTH, Contender(KERNEL), TimesFaster(8.0)),
        goal("restore", ONLY_LARGE, Chase, AtMost(1.5)),
        goal("fold", Lengths::These(&[HUGE]), Large, AtMost(1.1)),
        goal("chunks", Lengths::These(&[HUGE]), Large, AtMost(1.1)),
        goal("push", Lengths::These(&[HUGE]), Large, AtMost(1.1)),
        goal("fold on threads", Lengths::From(LARGE), OneThread, TimesFaster(1.7)),
        goal("fill on threads", Lengths::From(LARGE), OneThread, TimesFaster(1.7)),
        end_to_end(SESSIONS, "32", BestOther, 3.0),
        Goal { contenders: &[KHO_BLOCK_RAYON], ..end_to_end(SESSIONS, "32", BestOther, 3.0) },
        end_to_end(PROCESSES, "mixed", BestOther, 3.0),
        end_to_end(SESSIONS, "32", Contender(SERDE_JSON), 30.0),
        end_to_end(PROCESSES, "mixed", Contender(SERDE_JSON), 30.0),
    ]
};

/// A goal, for one contender and one length, beside what was measured.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    /// What was done.
    pub(crate) workload: &'static str,
    /// With how many entries; `None` if the goal is for a workload that was not measured.
    pub(crate) entries: Option<usize>,
    /// By whom.
    pub(crate) contender: &'static str,
    /// Beside whom.
    pub(crate) against: String,
    /// The goal.
    pub(crate) bound: Bound,
    /// What was measured, in the sense of the goal.
    pub(crate) measured: Option<Ratio>,
    /// Whether that reaches the goal; `None` if it was not measured.
    pub(crate) reached: Option<bool>,
}

impl Bound {
    /// For the table.
    pub(crate) fn words(self) -> String {
        match self {
            Self::AtMost(bound) => format!("at most {bound}"),
            Self::TimesFaster(bound) => format!("at least {bound} times faster"),
        }
    }

    /// Which of two is further from the goal.
    pub(crate) fn worse(self, a: Ratio, b: Ratio) -> Ratio {
        let a_is_more = a.median > b.median;
        if a_is_more == matches!(self, Self::AtMost(_)) { a } else { b }
    }

    /// What is measured for the goal.
    fn ratio(self, ours: Quartiles, peer: Quartiles) -> Ratio {
        match self {
            Self::AtMost(_) => Ratio::of(ours, peer),
            Self::TimesFaster(_) => Ratio::of(peer, ours),
        }
    }

    /// Whether that is good enough.
    pub(crate) fn is_reached(self, ratio: Ratio) -> bool {
        match self {
            Self::AtMost(bound) => ratio.median <= bound,
            Self::TimesFaster(bound) => ratio.median >= bound,
        }
    }
}

impl Goal {
    fn lengths(&self, run: &Run) -> Vec<Option<usize>> {
        match self.lengths {
            Lengths::These(these) => these.iter().copied().map(Some).collect(),
            Lengths::From(least) => {
                let measured = run.lengths(self.workload, self.entry_bytes);
                let meant: Vec<_> = measured.filter(|len| *len >= least).map(Some).collect();
                if meant.is_empty() { vec![None] } else { meant }
            }
        }
    }

    /// The contender's measurement in the group, and that of its peer.
    fn sides<'r>(
        &self,
        run: &'r Run,
        group: &'r [Measurement],
        contender: &str,
    ) -> (Option<&'r Measurement>, Option<&'r Measurement>) {
        let ours = find(group, contender);
        match self.peer {
            Peer::Contender(name) => (ours, find(group, name)),
            Peer::Chase => (ours, find(group, names::chase_beside(contender))),
            Peer::Large => {
                let large = run.group(self.workload, self.entry_bytes, LARGE);
                (ours, find(large, contender))
            }
            Peer::OneThread => {
                let on = |threads| find(group, &format!("{contender}, {threads}"));
                (on("2 threads"), on("1 thread"))
            }
            Peer::BestOther => (ours, best_other(group)),
        }
    }

    fn against(&self, contender: &str, peer: Option<&Measurement>) -> String {
        match self.peer {
            Peer::Contender(name) => name.to_owned(),
            Peer::Chase => names::chase_beside(contender).to_owned(),
            Peer::Large => format!("{} entries, each", crate::text::count(LARGE)),
            Peer::OneThread => "1 thread".to_owned(),
            Peer::BestOther => {
                let best = peer.map_or("", |best| &best.contender);
                format!("best other: {best}").trim_end_matches(": ").to_owned()
            }
        }
    }

    fn verdict(&self, run: &Run, entries: Option<usize>, contender: &'static str) -> Verdict {
        let group = entries.map(|entries| run.group(self.workload, self.entry_bytes, entries));
        let (ours, peer) = self.sides(run, group.unwrap_or_default(), contender);
        let measured = ours.zip(peer).map(|(ours, peer)| {
            let ratio = self.bound.ratio(ours.per_element(), peer.per_element());
            (ratio, self.bound.is_reached(ratio))
        });
        Verdict {
            workload: self.workload,
            entries,
            contender,
            against: self.against(contender, peer),
            bound: self.bound,
            measured: measured.map(|(ratio, _)| ratio),
            reached: measured.map(|(_, reached)| reached),
        }
    }
}

/// The fastest in the group of those that are not ours, and no limits.
fn best_other(group: &[Measurement]) -> Option<&Measurement> {
    group
        .iter()
        .filter(|other| !names::is_ours(&other.contender) && !names::is_limit(&other.contender))
        .min_by(|a, b| a.time.median.total_cmp(&b.time.median))
}

/// Every goal, for every contender and length that it is for.
pub(crate) fn evaluate(run: &Run, footprints: &[Footprint]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for goal in &GOALS {
        for entries in goal.lengths(run) {
            let of = |contender: &&'static str| goal.verdict(run, entries, contender);
            verdicts.extend(goal.contenders.iter().map(of));
        }
    }
    verdicts.extend(footprints.iter().map(|footprint| {
        let bytes = Ratio::exactly(footprint.bytes_per_block());
        Verdict {
            workload: footprint.workload,
            entries: Some(footprint.entries),
            contender: footprint.contender,
            against: "bytes a block".to_owned(),
            bound: FOOTPRINT,
            measured: Some(bytes),
            reached: Some(FOOTPRINT.is_reached(bytes)),
        }
    }));
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(run: &Run, workload: &str) -> Vec<Verdict> {
        let mut verdicts = evaluate(run, &[]);
        verdicts.retain(|verdict| verdict.workload == workload && verdict.measured.is_some());
        verdicts
    }

    fn reached(run: &Run, workload: &str) -> Vec<Option<bool>> {
        verdicts(run, workload).iter().map(|verdict| verdict.reached).collect()
    }

    #[test]
    fn at_most_bounds_our_time() {
        for (ours, is_reached) in [(1.03, true), (1.04, false)] {
            let run =
                Run::of(&[("fold/32/10000", VEC, 1.0), ("fold/32/10000", "BlockSet, heap", ours)]);
            assert_eq!(reached(&run, "fold"), [Some(is_reached)], "{ours}");
        }
    }

    #[test]
    fn times_faster_bounds_the_time_of_the_peer() {
        for (kernel, is_reached) in [(6.1, true), (5.9, false)] {
            let run = Run::of(&[
                ("for/32/10000", KERNEL, kernel),
                ("for/32/10000", "BlockSet, memfd", 1.0),
            ]);
            let verdict = verdicts(&run, "for").pop().expect("one verdict");
            assert_eq!(verdict.reached, Some(is_reached), "{kernel}");
            let ratio = verdict.measured.expect("both are there");
            assert!(ratio.low < kernel && ratio.high > kernel);
        }
    }

    #[test]
    fn a_set_is_beside_the_chase_over_its_memory() {
        let run = Run::of(&[
            ("restore/32/1270000", "BlockSet, heap", 3.0),
            ("restore/32/1270000", "BlockSet, memfd", 3.0),
            ("restore/32/1270000", "pointer chase, heap", 1.0),
            ("restore/32/1270000", "pointer chase, memfd", 2.0),
        ]);
        let verdicts = verdicts(&run, "restore");
        assert_eq!(verdicts[0].against, "pointer chase, heap");
        assert_eq!(verdicts[1].against, "pointer chase, memfd");
        assert_eq!(
            verdicts.iter().map(|v| v.reached).collect::<Vec<_>>(),
            [Some(false), Some(true)]
        );
    }

    #[test]
    fn long_sets_are_compared_by_the_entry() {
        let run = Run::of(&[
            ("fold/32/1270000", "BlockSet, heap", 1_270_000.0),
            ("fold/32/100000000", "BlockSet, heap", 105_000_000.0),
            ("push/32/1270000", "BlockSet, heap", 1_270_000.0),
            ("push/32/100000000", "BlockSet, heap", 115_000_000.0),
        ]);
        assert_eq!(reached(&run, "fold"), [Some(true)]);
        assert_eq!(reached(&run, "push"), [Some(false)]);
    }

    #[test]
    fn threads_are_compared_at_every_large_length() {
        let two = "BlockSet, heap, 2 threads";
        let run = Run::of(&[
            ("fold on threads/32/10000", "BlockSet, heap, 1 thread", 1.0),
            ("fold on threads/32/10000", two, 1.0),
            ("fold on threads/32/1270000", "BlockSet, heap, 1 thread", 1.8),
            ("fold on threads/32/1270000", two, 1.0),
            ("fold on threads/32/2540000", "BlockSet, heap, 1 thread", 1.6),
            ("fold on threads/32/2540000", two, 1.0),
        ]);
        assert_eq!(reached(&run, "fold on threads"), [Some(true), Some(false)]);
    }

    #[test]
    fn the_best_other_is_never_ours() {
        let run = Run::of(&[
            ("end to end, sessions/32/1270000", KHO_BLOCK, 1.0),
            ("end to end, sessions/32/1270000", "kho-block, claimed", 0.5),
            ("end to end, sessions/32/1270000", "rkyv", 4.0),
            ("end to end, sessions/32/1270000", "zerocopy", 2.0),
            ("end to end, sessions/32/1270000", SERDE_JSON, 30.0),
        ]);
        let verdicts = verdicts(&run, "end to end, sessions");
        assert_eq!(verdicts[0].against, "best other: zerocopy");
        assert_eq!((verdicts[0].reached, verdicts[1].reached), (Some(false), Some(true)));
    }

    #[test]
    fn the_worse_is_further_from_the_goal() {
        let (low, high) = (Ratio::exactly(1.0), Ratio::exactly(2.0));
        for (a, b) in [(low, high), (high, low)] {
            assert_eq!(Bound::AtMost(1.5).worse(a, b), high);
            assert_eq!(Bound::TimesFaster(1.5).worse(a, b), low);
        }
    }

    #[test]
    fn footprints_have_a_bound() {
        let of = |bytes| Footprint {
            workload: "footprint",
            contender: SETS[0],
            entries: 20,
            blocks: 10,
            bytes,
        };
        let all = evaluate(&Run::of(&[]), &[of(90), of(91)]);
        let reached: Vec<_> = all.iter().filter_map(|verdict| verdict.reached).collect();
        assert_eq!(reached, [true, false]);
    }

    #[test]
    fn what_was_not_measured_is_listed_and_has_no_verdict() {
        let verdicts = evaluate(&Run::of(&[]), &[]);
        assert!(verdicts.iter().all(|verdict| verdict.reached.is_none()));
        for workload in ["random get", "fill on threads", "end to end, process table"] {
            assert!(verdicts.iter().any(|verdict| verdict.workload == workload), "{workload}");
        }
    }
}
