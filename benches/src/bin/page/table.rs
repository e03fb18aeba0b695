//! The table: the work that matters, and how long others take for it.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use kho_benches::names::{KERNEL, VEC};

use crate::results::{LIMITS, Ratio, Results};

/// The divisor of a row's time, and the unit of the quotient.
type Each = (f64, &'static str);

const ENTRY_OF_SMALL: Each = (10_000.0, "ns an entry");
const ENTRY_OF_LARGE: Each = (1_270_000.0, "ns an entry");
const LOOKUP: Each = (10_000.0, "ns a lookup");
const BLOCK_OF_SMALL: Each = (79.0, "ns a block");
const BLOCK_OF_LARGE: Each = (10_000.0, "ns a block");
const WHOLE: Each = (1e6, "ms");

/// Work in words, the group of its results, and what its time is divided by.
const ROWS: [(&str, &str, Each); 17] = [
    ("push within capacity, 10,000 entries", "push 10000", ENTRY_OF_SMALL),
    ("push within capacity, 1,270,000 entries", "push 1270000", ENTRY_OF_LARGE),
    ("push within capacity, 10,000 entries of 80 bytes", "push of 80 bytes 10000", ENTRY_OF_SMALL),
    ("`push_with`, 10,000 entries of 80 bytes", "push_with of 80 bytes 10000", ENTRY_OF_SMALL),
    ("append a slice of 1,270,000 entries", "append 1270000", ENTRY_OF_LARGE),
    ("`for` loop over 10,000 entries", "for 10000", ENTRY_OF_SMALL),
    ("`for` loop over 1,270,000 entries", "for 1270000", ENTRY_OF_LARGE),
    ("`fold` over 10,000 entries", "fold 10000", ENTRY_OF_SMALL),
    ("random `get` from 10,000 entries", "get 10000", LOOKUP),
    ("random `get` from 1,270,000 entries", "get 1270000", LOOKUP),
    ("restore 79 blocks", "restore 10000", BLOCK_OF_SMALL),
    ("restore 10,000 blocks", "restore 1270000", BLOCK_OF_LARGE),
    ("restore 10,000 blocks, out of cache", "restore cold 1270000", BLOCK_OF_LARGE),
    ("1,270,000 sessions, end to end", "end to end sessions", WHOLE),
    ("1,270,000 sessions, from the freeze on", "freeze to read sessions", WHOLE),
    ("1,000 processes, end to end", "end to end processes", WHOLE),
    ("1,000 processes, from the freeze on", "freeze to read processes", WHOLE),
];

/// Returns the table in Markdown.
///
/// # Errors
/// If a row was not measured.
pub(crate) fn table(results: &Results) -> Result<String> {
    let mut table = "| work | kho-block | Vec | kernel's C | best other format | limit |\n\
                     |---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for (work, group, each) in ROWS {
        let times = results.group(group)?;
        let ours = times.ours().with_context(|| format!("{group}: nothing of kho-block"))?;
        let [vec, c] = [VEC, KERNEL].map(|name| cell(times.beside(name)));
        let best = times.best_format();
        let best = best.map_or_else(String::new, |(name, ratio)| format!("{name} {ratio}"));
        let limit = LIMITS.iter().find_map(|name| Some(format!("{name} {}", times.beside(name)?)));
        let (limit, time) = (limit.unwrap_or_default(), time(ours.median, each));
        writeln!(table, "| {work} | {time} | {vec} | {c} | {best} | {limit} |")?;
    }
    Ok(table)
}

fn cell(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(String::new, |ratio| ratio.to_string())
}

fn time(ns: f64, (divisor, unit): Each) -> String {
    let time = ns / divisor;
    let precision = if time < 10.0 { 2 } else { usize::from(time < 100.0) };
    format!("{time:.precision$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_what_was_measured_of_its_group() {
        let mut medians = Vec::new();
        for (_, group, _) in ROWS {
            medians.push((group, "BlockSet", 20_000.0));
        }
        assert!(table(&Results::of(&medians[1..])).is_err());
        medians.push(("push 10000", VEC, 30_000.0));
        medians.push(("push 10000", "memcpy", 10_000.0));
        medians.push(("end to end processes", "rkyv", 10_000.0));
        let table = table(&Results::of(&medians)).unwrap();
        let push = "| push within capacity, 10,000 entries | 2.00 ns an entry | 1.50 (1.23–1.83) |  |  \
                    | memcpy 0.50 (0.41–0.61) |\n";
        assert!(table.contains(push), "{table}");
        assert!(table.contains("| 0.02 ms |  |  | rkyv 0.50 (0.41–0.61) |  |\n"), "{table}");
        assert_eq!(table.lines().count(), 2 + ROWS.len());
    }
}
