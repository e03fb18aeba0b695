//! The README's one chart and one table.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::charts::{DIR, SUMMARY};
use crate::goals::{Bound, Verdict};
use crate::names::{LARGE, SMALL};
use crate::table::Table;
use crate::text;

const START: &str = "<!-- performance -->";
const END: &str = "<!-- /performance -->";

/// What the README shows: a name, the workload, and how its peer's name starts.
const ROWS: [(&str, &str, &str); 9] = [
    ("write: `push` within capacity", "push", "Vec"),
    ("read: `for` loop", "for", "Vec"),
    ("read: `fold`", "fold", "Vec"),
    ("write", "push", "kernel's C"),
    ("read", "for", "kernel's C"),
    ("restore", "restore", "kernel's C"),
    ("restore", "restore", "pointer chase"),
    ("live objects → memfd → read by the successor", "end to end, sessions", "best other"),
    ("live objects → memfd → read by the successor", "end to end, sessions", "serde_json"),
];

/// Replaces what is between the marks; says whether they are there.
///
/// # Errors
/// The file can't be read or written.
pub(crate) fn update(path: &Path, verdicts: &[Verdict], host: &str, date: &str) -> Result<bool> {
    let readme = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let Some(updated) = replace(&readme, &section(verdicts, host, date)) else { return Ok(false) };
    fs::write(path, updated).with_context(|| path.display().to_string())?;
    Ok(true)
}

fn replace(readme: &str, section: &str) -> Option<String> {
    let (before, rest) = readme.split_once(START)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{START}\n{section}{END}{after}"))
}

fn section(verdicts: &[Verdict], host: &str, date: &str) -> String {
    format!(
        "![Time of others beside kho-block, for writing, reading, restoring and end to end]\
         ({DIR}/{SUMMARY})\n\n{}\nEntries of 32 bytes, medians of one run on {host}, {date}, with \
         the spread in brackets;\nof sets on the heap and in a memfd, the figure that is worse. \
         [docs/performance.md](docs/performance.md)\nhas the rest, the losses too.\n",
        table(verdicts)
    )
}

fn table(verdicts: &[Verdict]) -> Table {
    let lengths = [SMALL, LARGE];
    let heads = lengths.map(|entries| format!("{} entries", text::count(entries)));
    let [small, large] = heads;
    let mut table =
        Table::new(["".to_owned(), "against".to_owned(), small, large, "goal".to_owned()]);
    for (name, workload, against) in ROWS {
        let meant = |verdict: &&Verdict| {
            verdict.workload == workload && verdict.against.starts_with(against)
        };
        let meant: Vec<_> = verdicts.iter().filter(meant).collect();
        let cells = lengths.map(|entries| worst(&meant, entries));
        let (Some(any), false) = (meant.first(), cells.iter().all(Option::is_none)) else {
            continue;
        };
        // Goals may differ by length.
        let mut goals: Vec<_> = meant.iter().map(|verdict| verdict.bound.words()).collect();
        goals.dedup();
        let [small, large] = cells.map(Option::unwrap_or_default);
        let against = any.against.trim_end_matches(", heap").to_owned();
        table.row([name.to_owned(), against, small, large, goals.join("; ")]);
    }
    table
}

/// The worst that was measured with so many entries.
fn worst(verdicts: &[&Verdict], entries: usize) -> Option<String> {
    let meant = verdicts.iter().filter(|verdict| verdict.entries == Some(entries));
    let measured = meant.filter_map(|verdict| Some((verdict.bound, verdict.measured?)));
    let (bound, ratio) = measured.reduce(|(bound, a), (_, b)| (bound, bound.worse(a, b)))?;
    let unit = match bound {
        Bound::AtMost(_) => "×",
        Bound::TimesFaster(_) => "× faster",
    };
    let missed = if bound.is_reached(ratio) { "" } else { ", missed" };
    let (median, spread) = (text::ratio(ratio.median), text::brackets(ratio));
    Some(format!("{median}{unit}{missed} {spread}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goals;
    use crate::run::Run;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let readme = format!("# Title\n\n{START}\nold\n{END}\n\nrest\n");
        let expected = format!("# Title\n\n{START}\nnew\n{END}\n\nrest\n");
        assert_eq!(replace(&readme, "new\n"), Some(expected.clone()));
        assert_eq!(replace(&expected, "new\n"), Some(expected));
        assert_eq!(replace("# Title\n", "new\n"), None);
    }

    #[test]
    fn the_worse_of_two_sets_is_shown() {
        let run = Run::of(&[
            ("for/32/1270000", "Vec", 10.0),
            ("for/32/1270000", "BlockSet, heap", 10.9),
            ("for/32/1270000", "BlockSet, memfd", 10.0),
            ("push/32/10000", "Vec", 10.0),
            ("push/32/10000", "kernel's C", 44.0),
            ("push/32/10000", "BlockSet, heap", 10.0),
            ("push/32/10000", "BlockSet, memfd", 11.0),
        ]);
        let table = table(&goals::evaluate(&run, &[])).to_string();
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| write: `push` within capacity | Vec | 1.10×, missed (0.90–1.34) |  | at most 1.05 |",
                "| read: `for` loop | Vec |  | 1.09× (0.89–1.33) | at most 1.1 |",
                "| write | kernel's C | 4.00× faster (3.27–4.89) |  | at least 2.5 times faster |",
            ]
        );
    }
}
