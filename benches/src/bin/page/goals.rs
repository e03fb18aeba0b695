//! The performance goals, and whether they are met.

use std::fmt::Write as _;

use anyhow::Result;
use kho_benches::names::{KERNEL, POINTER_CHASE, VEC};

use crate::results::Results;

/// A goal for the time of one work.
#[derive(Clone, Copy)]
struct Goal {
    group: &'static str,
    /// Contender to compare with; `None` for the best other format.
    beside: Option<&'static str>,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    /// kho-block takes at most this many times as long.
    AtMost(f64),
    /// The other takes at least this many times as long.
    TimesFaster(f64),
}

const fn goal(group: &'static str, beside: &'static str, bound: Bound) -> Goal {
    Goal { group, beside: Some(beside), bound }
}

const fn best(group: &'static str) -> Goal {
    Goal { group, beside: None, bound: Bound::TimesFaster(3.0) }
}

const GOALS: [Goal; 20] = {
    use Bound::{AtMost, TimesFaster};
    [
        goal("push 10000", VEC, AtMost(1.05)),
        goal("push 1270000", VEC, AtMost(1.05)),
        goal("append 10000", VEC, AtMost(1.05)),
        goal("append 1270000", VEC, AtMost(1.05)),
        goal("for 10000", VEC, AtMost(1.1)),
        goal("for 1270000", VEC, AtMost(1.1)),
        goal("fold 10000", VEC, AtMost(1.03)),
        goal("fold 1270000", VEC, AtMost(1.03)),
        goal("get 1270000", VEC, AtMost(1.25)),
        goal("push 10000", KERNEL, TimesFaster(2.5)),
        goal("push 1270000", KERNEL, TimesFaster(2.5)),
        goal("for 10000", KERNEL, TimesFaster(6.0)),
        goal("for 1270000", KERNEL, TimesFaster(2.0)),
        goal("restore 10000", KERNEL, TimesFaster(8.0)),
        goal("restore 1270000", KERNEL, TimesFaster(8.0)),
        goal("restore 1270000", POINTER_CHASE, AtMost(1.5)),
        best("end to end sessions"),
        best("end to end processes"),
        goal("end to end sessions", "serde_json", TimesFaster(30.0)),
        goal("end to end processes", "serde_json", TimesFaster(30.0)),
    ]
};

/// Returns the goals in Markdown: those that are missed, then those that are met.
///
/// # Errors
/// If a group was not measured.
pub(crate) fn list(results: &Results) -> Result<String> {
    let (mut met, mut missed) = (String::new(), String::new());
    for Goal { group, beside, bound } in GOALS {
        let times = results.group(group)?;
        let other = match beside {
            Some(name) => times.beside(name).map(|ratio| (name, ratio)),
            None => times.best_format(),
        };
        // A contender that was not measured is not judged: the C code may be missing.
        let Some((name, ratio)) = other else { continue };
        let name = if name == KERNEL { "the kernel's C code" } else { name };
        let (is_met, goal) = match bound {
            Bound::AtMost(most) => {
                let ours = 1.0 / ratio.median;
                (ours <= most, format!("{ours:.2} times as long as {name}; goal: at most {most}"))
            }
            Bound::TimesFaster(least) => {
                let other = ratio.median;
                let text = format!("{name} takes {other:.2} times as long; goal: at least {least}");
                (other >= least, text)
            }
        };
        writeln!(if is_met { &mut met } else { &mut missed }, "- {group}: {goal}")?;
    }
    Ok(format!("Missed:\n\n{missed}\nMet:\n\n{met}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_met_or_missed() {
        let mut medians: Vec<_> = GOALS.iter().map(|goal| (goal.group, "BlockSet", 10.0)).collect();
        medians.push(("for 10000", VEC, 9.0));
        medians.push(("for 1270000", VEC, 9.1));
        medians.push(("restore 10000", KERNEL, 79.0));
        medians.push(("restore 1270000", KERNEL, 80.0));
        medians.push(("end to end sessions", "rkyv", 29.0));
        let list = list(&Results::of(&medians)).unwrap();
        let (missed, met) = list.split_once("Met:").unwrap();
        assert_eq!(missed.matches("- ").count(), 3, "{list}");
        assert_eq!(met.matches("- ").count(), 2, "{list}");
        for text in [
            "for 10000: 1.11 times as long as Vec",
            "restore 10000: the kernel's C code takes 7.90",
            "rkyv takes 2.90 times as long",
        ] {
            assert!(missed.contains(text), "{list}");
        }
    }
}
