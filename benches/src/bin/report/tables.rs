//! What was measured, as tables: times, and what they are of a baseline's.

use std::collections::BTreeSet;

use crate::footprint::Footprint;
use crate::goals::Verdict;
use crate::names::{self, KHO_BLOCK, SETS, VEC};
use crate::run::{Measurement, find};
use crate::stats::{Quartiles, Ratio};
use crate::table::Table;
use crate::text;

/// What the contender is compared with in its group, unless it is that itself.
fn baseline<'r>(group: &'r [Measurement], contender: &str) -> Option<&'r Measurement> {
    let candidates = [VEC, names::chase_beside(contender), KHO_BLOCK];
    let baseline = candidates.iter().find_map(|name| find(group, name))?;
    (baseline.contender != contender).then_some(baseline)
}

/// A time, and what it is of the baseline's.
fn cell(
    group: &[Measurement],
    contender: &str,
    time: impl Fn(&Measurement) -> Quartiles,
) -> String {
    let Some(measurement) = find(group, contender) else { return String::new() };
    let own = time(measurement);
    let Some(baseline) = baseline(group, contender) else { return text::time(own.median) };
    let ratio = Ratio::of(own, time(baseline));
    format!("{}; {}", text::time(own.median), text::ratio_with_spread(ratio))
}

/// All contenders of some groups, in order.
fn contenders<'r>(groups: &[&'r [Measurement]]) -> Vec<&'r str> {
    let all = groups.iter().copied().flatten().map(|measurement| measurement.contender.as_str());
    let mut all: Vec<_> = all.collect::<BTreeSet<_>>().into_iter().collect();
    all.sort_by_key(|contender| names::order(contender));
    all
}

/// A row for each contender, a column for each of the groups.
pub(crate) fn by_group(
    groups: &[&[Measurement]],
    heads: impl IntoIterator<Item = String>,
    time: impl Fn(&Measurement) -> Quartiles,
) -> Table {
    let mut table = Table::new([String::new()].into_iter().chain(heads));
    for contender in contenders(groups) {
        let cells = groups.iter().map(|group| cell(group, contender, &time));
        table.row([contender.to_owned()].into_iter().chain(cells));
    }
    table
}

/// One workload: a column for each length.
pub(crate) fn by_length(
    groups: &[&[Measurement]],
    time: impl Fn(&Measurement) -> Quartiles,
) -> Table {
    by_group(groups, groups.iter().map(|group| text::count(group[0].group.entries)), time)
}

/// One workload on one thread and on two, each entry.
pub(crate) fn by_threads(groups: &[&[Measurement]]) -> Table {
    let mut table = Table::new(["", "entries", "1 thread", "2 threads", "times faster", "spread"]);
    for group in groups {
        for contender in contenders(&[group]) {
            let (base, Some("2 threads")) = names::split_threads(contender) else { continue };
            let one = find(group, &format!("{base}, 1 thread"));
            let Some((one, two)) = one.zip(find(group, contender)) else { continue };
            let ratio = Ratio::of(one.time, two.time);
            table.row([
                base.to_owned(),
                text::count(group[0].group.entries),
                text::time(one.per_element().median),
                text::time(two.per_element().median),
                text::ratio(ratio.median),
                text::spread(ratio),
            ]);
        }
    }
    table
}

/// The sets' time in their baseline's: workloads down, sizes of entries across.
pub(crate) fn by_entry_size(groups: &[&[Measurement]]) -> Table {
    let size = |group: &[Measurement]| group[0].group.entry_bytes.parse().unwrap_or(0_usize);
    let sizes: BTreeSet<_> = groups.iter().map(|group| size(group)).collect();
    let heads = sizes.iter().map(|bytes| format!("{bytes} bytes"));
    let mut table = Table::new(["", ""].map(str::to_owned).into_iter().chain(heads));
    for same in groups.chunk_by(|a, b| a[0].group.workload == b[0].group.workload) {
        for contender in SETS {
            let ratio = |wanted: &usize| {
                let group = same.iter().find(|group| size(group) == *wanted)?;
                let baseline = baseline(group, contender)?;
                Some(Ratio::of(find(group, contender)?.time, baseline.time))
            };
            let ratios: Vec<_> = sizes.iter().map(ratio).collect();
            if ratios.iter().any(Option::is_some) {
                let labels = [same[0][0].group.workload.clone(), contender.to_owned()];
                let cell =
                    |ratio: Option<Ratio>| ratio.map_or_else(String::new, text::ratio_with_spread);
                table.row(labels.into_iter().chain(ratios.into_iter().map(cell)));
            }
        }
    }
    table
}

/// All goals.
pub(crate) fn goals(verdicts: &[Verdict]) -> Table {
    let mut table =
        Table::new(["work", "entries", "who", "against", "goal", "measured", "spread", ""]);
    for verdict in verdicts {
        let result = match verdict.reached {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "not measured",
        };
        table.row([
            verdict.workload.to_owned(),
            verdict.entries.map_or_else(String::new, text::count),
            verdict.contender.to_owned(),
            verdict.against.clone(),
            verdict.bound.words(),
            verdict
                .measured
                .map_or_else(String::new, |measured| text::exact_ratio(measured.median)),
            verdict.measured.map_or_else(String::new, text::spread),
            result.to_owned(),
        ]);
    }
    table
}

/// Bytes beyond the blocks.
pub(crate) fn footprints(footprints: &[Footprint]) -> Table {
    let mut table = Table::new(["", "", "blocks", "bytes beyond them", "for each block"]);
    for footprint in footprints {
        table.row([
            footprint.workload.to_owned(),
            footprint.contender.to_owned(),
            text::count(footprint.blocks),
            text::count(footprint.bytes),
            text::ratio(footprint.bytes_per_block()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Run;

    #[test]
    fn lengths_are_columns_and_ratios_are_to_the_baseline() {
        let run = Run::of(&[
            ("fold/32/100", VEC, 100.0),
            ("fold/32/10000", VEC, 20_000.0),
            ("fold/32/10000", "BlockSet, heap", 21_000.0),
        ]);
        let groups: Vec<_> = run.groups().collect();
        let expected = "|  | 100 | 10,000 |\n|---|---:|---:|\n| Vec | 1.00 ns | 2.00 ns |\n\
                        | BlockSet, heap |  | 2.10 ns; 1.05 (0.86–1.28) |\n";
        assert_eq!(by_length(&groups, Measurement::per_element).to_string(), expected);
    }

    #[test]
    fn a_chain_is_beside_the_chase_over_its_memory() {
        let run = Run::of(&[
            ("restore/32/10000", "BlockSet, memfd", 3_950.0),
            ("restore/32/10000", "pointer chase, heap", 790.0),
            ("restore/32/10000", "pointer chase, memfd", 1_975.0),
        ]);
        let groups: Vec<_> = run.groups().collect();
        let table = by_length(&groups, Measurement::per_block).to_string();
        assert!(table.contains("| BlockSet, memfd | 50.0 ns; 2.00 (1.64–2.44) |"), "{table}");
        assert!(table.contains("| pointer chase, memfd | 25.0 ns |"), "{table}");
    }

    #[test]
    fn threads_are_beside_each_other() {
        let run = Run::of(&[
            ("fold on threads/32/100", "Vec, 1 thread", 180.0),
            ("fold on threads/32/100", "Vec, 2 threads", 100.0),
        ]);
        let groups: Vec<_> = run.groups().collect();
        let table = by_threads(&groups).to_string();
        assert!(table.contains("| Vec | 100 | 1.80 ns | 1.00 ns | 1.80 |"), "{table}");
    }

    #[test]
    fn whole_runs_are_beside_kho_block() {
        let run = Run::of(&[
            ("end to end, sessions/32/100", KHO_BLOCK, 1e6),
            ("end to end, sessions/32/100", "rkyv", 3e6),
        ]);
        let groups: Vec<_> = run.groups().collect();
        let table = by_group(&groups, ["all".to_owned()], |each| each.time).to_string();
        assert!(table.contains("| rkyv | 3.00 ms; 3.00 (2.45–3.67) |"), "{table}");
    }

    #[test]
    fn sizes_are_columns() {
        let run = Run::of(&[
            ("fold/8/100", VEC, 1.0),
            ("fold/8/100", "BlockSet, heap", 1.5),
            ("fold/64/100", VEC, 1.0),
            ("push/64/100", VEC, 1.0),
            ("push/64/100", "BlockSet, heap", 2.0),
        ]);
        let groups: Vec<_> = run.groups().collect();
        let table = by_entry_size(&groups).to_string();
        let mut rows: Vec<_> = table.lines().collect();
        rows[2..].sort_unstable();
        assert_eq!(
            rows,
            [
                "|  |  | 8 bytes | 64 bytes |",
                "|---|---|---:|---:|",
                "| fold | BlockSet, heap | 1.50 (1.23–1.83) |  |",
                "| push | BlockSet, heap |  | 2.00 (1.64–2.44) |",
            ]
        );
    }
}
