//! Which charts there are, and what is in them.

use std::path::Path;

use anyhow::Result;
use plotters::style::RGBColor;

use crate::chart::{Axis, Bar, Chart, Group, Panel};
use crate::names::{self, KERNEL, KHO_BLOCK, LARGE, SETS, SMALL, VEC};
use crate::run::{Measurement, Run, find};
use crate::text;

/// Where the charts are, from the root of the workspace.
pub(crate) const DIR: &str = "docs/performance";

/// A chart and its name in the documents.
pub(crate) struct Drawn {
    /// Name of the file in [`DIR`].
    pub(crate) file: &'static str,
    /// What it shows.
    pub(crate) title: &'static str,
}

/// Draws all charts for which there are measurements.
///
/// # Errors
/// A file can't be written.
pub(crate) fn draw(run: &Run, root: &Path) -> Result<Vec<Drawn>> {
    let charts = [
        (SUMMARY, summary(run)),
        ("write.svg", by_length(run, "Writing 32-byte entries", WRITES)),
        ("growth.svg", by_length(run, "Writing 32-byte entries to a new collection", GROWTH)),
        ("read.svg", by_length(run, "Reading 32-byte entries", READS)),
        ("restore.svg", restore(run)),
        ("end-to-end.svg", end_to_end(run)),
    ];
    let mut drawn = Vec::new();
    for (file, chart) in charts {
        let title = chart.title;
        if chart.draw(&root.join(DIR).join(file))? {
            drawn.push(Drawn { file, title });
        }
    }
    Ok(drawn)
}

/// The chart for the README.
pub(crate) const SUMMARY: &str = "summary.svg";

const WRITES: &[&str] = &["push", "bulk append"];
/// On a scale of their own: here allocating and page faults cost the most.
const GROWTH: &[&str] = &["push with growth", "reserve and push"];
const READS: &[&str] = &["for", "fold", "chunks"];
const END_TO_END: &str = "end to end, ";

fn color(contender: &str) -> RGBColor {
    if names::is_limit(contender) {
        return RGBColor(200, 200, 200);
    }
    match names::split_threads(contender).0 {
        name if name == SETS[0] => RGBColor(110, 168, 220),
        name if names::is_ours(name) => RGBColor(31, 105, 180),
        KERNEL => RGBColor(222, 135, 55),
        VEC => RGBColor(120, 120, 120),
        _ => RGBColor(165, 150, 190),
    }
}

/// Bars of all contenders in a group.
fn bars(
    group: &[Measurement],
    value: impl Fn(&Measurement) -> f64,
    text: impl Fn(f64) -> String,
) -> Vec<Bar> {
    let bar = |measurement: &Measurement| {
        let value = value(measurement);
        let label = measurement.contender.clone();
        Bar { color: color(&label), label, value, text: text(value) }
    };
    group.iter().map(bar).collect()
}

fn by_length(run: &Run, title: &'static str, workloads: &[&str]) -> Chart {
    let panel = |entries| {
        let group = |workload: &&str| {
            let group = run.group(workload, "32", entries);
            let each = |measurement: &Measurement| measurement.per_element().median;
            Group { title: (*workload).to_owned(), bars: bars(group, each, text::three_digits) }
        };
        let title = format!("{} entries", text::count(entries));
        Panel { title, groups: workloads.iter().map(group).collect() }
    };
    let panels = vec![panel(SMALL), panel(LARGE)];
    Chart { title, unit: "ns for each entry; less is better", axis: Axis::Linear, panels }
}

fn restore(run: &Run) -> Chart {
    let panel = |workload: &str| {
        let group = |entries| {
            let group = run.group(workload, "32", entries);
            let each = |measurement: &Measurement| measurement.per_block().median;
            let blocks = group.first().map_or(0, |first| first.group.blocks());
            let title = format!("{} blocks", text::count(blocks));
            Group { title, bars: bars(group, each, text::three_digits) }
        };
        Panel { title: workload.to_owned(), groups: [SMALL, LARGE].map(group).into() }
    };
    let panels = ["restore", "restore, cold"].map(panel).into();
    let unit = "ns for each block of 4 KiB; less is better";
    Chart { title: "Restoring what was handed over", unit, axis: Axis::Linear, panels }
}

fn end_to_end(run: &Run) -> Chart {
    let mut panels = Vec::new();
    for data in ["sessions", "process table"] {
        let workload = format!("{END_TO_END}{data}");
        for group in run.groups().filter(|group| group[0].group.workload == workload) {
            let ms = |measurement: &Measurement| measurement.time.median / 1e6;
            let title = format!("{data}: {}", text::count(group[0].group.entries));
            let bars = bars(group, ms, text::three_digits);
            panels.push(Panel { title, groups: vec![Group { title: String::new(), bars }] });
        }
    }
    let unit = "ms, logarithmic; less is better";
    let title = "Live objects to bytes in a memfd to a successor that has read every entry";
    Chart { title, unit, axis: Axis::Log, panels }
}

/// What each contender needs, in the time that kho-block needs: in a memfd, which is what crosses.
fn summary(run: &Run) -> Chart {
    let relative = |title: String, group: &[Measurement], ours: &str| {
        let compared = |other: &&Measurement| {
            let other = &other.contender;
            !names::is_ours(other) && !names::is_chase_elsewhere(other, ours)
        };
        let others: Vec<_> = group.iter().filter(compared).cloned().collect();
        let bars = find(group, ours).map_or_else(Vec::new, |ours| {
            let ratio = |other: &Measurement| other.time.median / ours.time.median;
            bars(&others, ratio, |ratio| format!("{}×", text::ratio(ratio)))
        });
        Group { title, bars }
    };
    let large = text::count(LARGE);
    let mut groups = Vec::new();
    for (workload, title) in [
        ("push", format!("write {large} entries")),
        ("for", format!("read {large} entries")),
        ("restore", "restore 10,000 blocks".to_owned()),
    ] {
        groups.push(relative(title, run.group(workload, "32", LARGE), SETS[1]));
    }
    let workload = format!("{END_TO_END}sessions");
    for group in run.groups().filter(|group| group[0].group.workload == workload) {
        let title = format!("end to end: {} sessions", text::count(group[0].group.entries));
        groups.push(relative(title, group, KHO_BLOCK));
    }
    let unit = "times kho-block's time, logarithmic; right of 1 is slower, left is faster";
    let title = "What others take, where kho-block in a memfd takes 1";
    let panels = vec![Panel { title: "entries of 32 bytes".to_owned(), groups }];
    Chart { title, unit, axis: Axis::LogFromOne, panels }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_summary_has_others_and_the_limit_in_the_same_memory() {
        let run = Run::of(&[
            ("restore/32/1270000", "BlockSet, heap", 10.0),
            ("restore/32/1270000", "BlockSet, memfd", 20.0),
            ("restore/32/1270000", KERNEL, 100.0),
            ("restore/32/1270000", "pointer chase, heap", 5.0),
            ("restore/32/1270000", "pointer chase, memfd", 10.0),
            ("end to end, sessions/32/1000", KHO_BLOCK, 1.0),
            ("end to end, sessions/32/1000", "rkyv", 5.0),
        ]);
        let bars = |group: &Group| {
            group.bars.iter().map(|bar| (bar.label.clone(), bar.value)).collect::<Vec<_>>()
        };
        let groups: Vec<_> = summary(&run).panels[0].groups.iter().map(bars).collect();
        let restore = vec![(KERNEL.to_owned(), 5.0), ("pointer chase, memfd".to_owned(), 0.5)];
        assert_eq!(groups, [vec![], vec![], restore, vec![("rkyv".to_owned(), 5.0)]]);
    }

    #[test]
    fn what_was_measured_is_drawn() -> Result<()> {
        let dir = std::env::temp_dir().join(format!("kho-charts-{}", std::process::id()));
        let run = Run::of(&[("fold/32/10000", VEC, 12_300.0), ("for/32/10000", KERNEL, 45_600.0)]);
        let drawn = draw(&run, &dir)?;
        let svg = fs::read_to_string(dir.join(DIR).join("read.svg"))?;
        fs::remove_dir_all(&dir)?;
        assert_eq!(drawn.iter().map(|chart| chart.file).collect::<Vec<_>>(), ["read.svg"]);
        for text in ["1.23", "4.56", VEC, "fold", "10,000 entries", "ns for each entry"] {
            assert!(svg.contains(text), "{text}");
        }
        Ok(())
    }
}
