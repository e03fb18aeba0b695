//! The document: `docs/performance.md`.

use std::collections::BTreeSet;
use std::fmt;

use crate::charts::Drawn;
use crate::footprint::Footprint;
use crate::goals::Verdict;
use crate::host::Host;
use crate::losses;
use crate::run::{Group, Measurement, Run};
use crate::table::Table;
use crate::tables;
use crate::text;

/// What the document is made from.
pub(crate) struct Document<'a> {
    /// What was measured.
    pub(crate) run: &'a Run,
    /// Where.
    pub(crate) host: &'a Host,
    /// When, in words.
    pub(crate) date: &'a str,
    /// The results as CSV, from the document's directory.
    pub(crate) results: &'a str,
    /// What was reached.
    pub(crate) verdicts: &'a [Verdict],
    /// Memory beyond the blocks.
    pub(crate) footprints: &'a [Footprint],
    /// The charts.
    pub(crate) charts: &'a [Drawn],
    /// What was written by hand about what stops us.
    pub(crate) notes: Option<&'a str>,
}

const INTRODUCTION: &str = "\
# Performance

Made by the `report` program of `benches` from one run; no figure is entered by hand.

```sh
cargo bench -p kho-benches
cargo run --release -p kho-benches --bin report
```

";

const READING: &str = "\
Times are medians. A ratio is one of medians; its spread, in brackets elsewhere, goes from the first
quartile of one side over the third of the other to the third over the first: the middle half of both
lies in it. What is compared was measured one after the other, in one process.

";

const LOSSES: &str = "\
## Where it loses

Everything that takes more than 5 % longer than the best other that could hold the same state, the worst
first.

";

const LIMITS: &str = "\
The same beside limits, which hold no state: `memcpy`, and following the links of a chain in the same
kind of memory without claiming it.

";

const ENTRIES: &str = "\
## Entries of 32 bytes

Time for each entry or look-up; then what it is of `Vec`'s time, with the spread. Across: how many
entries there are.

";

const BLOCKS: &str = "\
## Restoring and handing over

Time for each block of up to 127 entries of 32 bytes; then what it is of `Vec`'s time where that takes
part, else of the pointer chase over the same kind of memory. Across: how many entries there are.

";

const SIZES: &str = "\
## Other sizes of entries

What the time is of `Vec`'s, or of the pointer chase's.

";

const THREADS: &str = "\
## Threads

Time for each entry.

";

const NESTED: &str = "\
## Nested sets

Time for each session; then what it is of `Vec`'s time.

";

const END_TO_END: &str = "\
## End to end

Live objects become bytes in a memfd, and a successor that has nothing but that checks them and reads
every entry. *Write* and *read* are the two parts. *Freeze to read* leaves out what everybody can do
before the objects are frozen: reserve memory, and make buffers and the file in their final size. After
the time: what it is of kho-block's.

";

const FOOTPRINT: &str = "\
## Memory beyond the blocks

What the process has allocated for a set and for its memory's table of blocks, counted by the allocator,
less the blocks.

";

impl fmt::Display for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INTRODUCTION)?;
        self.write_host(f)?;
        self.write_goals(f)?;
        if let Some(notes) = self.notes {
            write!(f, "## What stops it\n\n{}\n\n", notes.trim())?;
        }
        f.write_str(LOSSES)?;
        write_losses(f, &losses::find(self.run, false))?;
        f.write_str(LIMITS)?;
        write_losses(f, &losses::find(self.run, true))?;
        self.write_charts(f)?;
        self.write_workloads(f, ENTRIES, Kind::Entries, per_element)?;
        self.write_workloads(f, BLOCKS, Kind::Blocks, per_block)?;
        self.write_entry_sizes(f)?;
        self.write_workloads(f, THREADS, Kind::Threads, tables::by_threads)?;
        self.write_workloads(f, NESTED, Kind::Nested, per_element)?;
        self.write_end_to_end(f)?;
        write!(f, "{FOOTPRINT}{}", tables::footprints(self.footprints))
    }
}

/// Which section of the document a group belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Entries,
    Blocks,
    /// Either of these, with entries of another size than 32 bytes.
    OtherSize,
    Threads,
    Nested,
    EndToEnd,
}

fn kind(group: &Group) -> Kind {
    let workload = group.workload.as_str();
    if workload.starts_with("end to end") || workload.starts_with("freeze to read") {
        Kind::EndToEnd
    } else if workload.starts_with("nested") {
        Kind::Nested
    } else if workload.ends_with("on threads") {
        Kind::Threads
    } else if group.entry_bytes != "32" {
        Kind::OtherSize
    } else if workload.starts_with("restore") || workload == "hand over" {
        Kind::Blocks
    } else {
        Kind::Entries
    }
}

fn per_element(groups: &[&[Measurement]]) -> Table {
    tables::by_length(groups, Measurement::per_element)
}

fn per_block(groups: &[&[Measurement]]) -> Table {
    tables::by_length(groups, Measurement::per_block)
}

/// What the benches say about a workload.
fn explanation(workload: &str) -> &'static str {
    let explained = kho_benches::WORKLOADS.iter().find(|(name, _)| *name == workload);
    explained.map_or("", |(_, explanation)| explanation)
}

/// What was timed from end to end, and with which data: `end to end, read, sessions`.
fn phase_and_data(group: &[Measurement]) -> (&str, &str) {
    let workload = group[0].group.workload.as_str();
    workload.rsplit_once(", ").unwrap_or((workload, ""))
}

impl Document<'_> {
    fn groups(&self, wanted: Kind) -> Vec<&[Measurement]> {
        self.run.groups().filter(|group| kind(&group[0].group) == wanted).collect()
    }

    fn write_host(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["", ""]);
        table.row(["Date", self.date]);
        for (label, value) in &self.host.facts {
            table.row([*label, value]);
        }
        table.row(["All figures", &format!("[CSV]({})", self.results)]);
        writeln!(f, "{table}")
    }

    fn write_goals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |result| self.verdicts.iter().filter(|one| one.reached == result).count();
        let (reached, missed) = (count(Some(true)), count(Some(false)));
        write!(f, "## Goals\n\n{reached} reached, {missed} missed, {} not measured", count(None))?;
        write!(f, "; entries are of 32 bytes.\n\n{}\n{READING}", tables::goals(self.verdicts))
    }

    fn write_charts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.charts.is_empty() {
            f.write_str("## Charts\n\n")?;
        }
        for Drawn { file, title } in self.charts {
            write!(f, "![{title}](performance/{file})\n\n")?;
        }
        Ok(())
    }

    /// A section with a table for each workload, and what the workload is.
    fn write_workloads(
        &self,
        f: &mut fmt::Formatter<'_>,
        introduction: &str,
        kind: Kind,
        table: impl Fn(&[&[Measurement]]) -> Table,
    ) -> fmt::Result {
        f.write_str(introduction)?;
        let groups = self.groups(kind);
        for groups in groups.chunk_by(|a, b| a[0].group.workload == b[0].group.workload) {
            let workload = groups[0][0].group.workload.as_str();
            write!(f, "### {workload}\n\n")?;
            let explanation = explanation(workload);
            if !explanation.is_empty() {
                write!(f, "{explanation}\n\n")?;
            }
            writeln!(f, "{}", table(groups))?;
        }
        Ok(())
    }

    fn write_entry_sizes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SIZES)?;
        let groups = self.groups(Kind::OtherSize);
        let lengths: BTreeSet<_> = groups.iter().map(|group| group[0].group.entries).collect();
        for entries in lengths {
            let mut of_length = groups.clone();
            of_length.retain(|group| group[0].group.entries == entries);
            let table = tables::by_entry_size(&of_length);
            write!(f, "### {} entries\n\n{table}\n", text::count(entries))?;
        }
        Ok(())
    }

    fn write_end_to_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(END_TO_END)?;
        let groups = self.groups(Kind::EndToEnd);
        let all_data: BTreeSet<_> = groups.iter().map(|group| phase_and_data(group).1).collect();
        for data in all_data {
            let mut of_data = groups.clone();
            of_data.retain(|group| phase_and_data(group).1 == data);
            of_data.sort_by_key(|group| phase_and_data(group).0);
            let entries = text::count(of_data[0][0].group.entries);
            let phases = of_data.iter().map(|group| phase_and_data(group).0.to_owned());
            let table = tables::by_group(&of_data, phases, |each| each.time);
            write!(f, "### {data}: {entries}\n\n{table}\n")?;
        }
        Ok(())
    }
}

fn write_losses(f: &mut fmt::Formatter<'_>, losses: &[losses::Loss<'_>]) -> fmt::Result {
    if losses.is_empty() {
        f.write_str("Nothing.\n\n")
    } else {
        writeln!(f, "{}", losses::table(losses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(run: &Run) -> String {
        let host = Host {
            name: "host".to_owned(),
            title: "a host".to_owned(),
            facts: vec![("CPU", "fast".to_owned())],
        };
        let verdicts = crate::goals::evaluate(run, &[]);
        let document = Document {
            run,
            host: &host,
            date: "2030-01-31",
            results: "../results.csv",
            verdicts: &verdicts,
            footprints: &[],
            charts: &[],
            notes: Some("The memory is slow.\n"),
        };
        document.to_string()
    }

    #[test]
    fn every_group_is_in_a_section() {
        let workloads = [
            ("fold/32/100", "## Entries of 32 bytes"),
            ("restore, cold/32/100", "## Restoring"),
            ("hand over/32/100", "## Restoring"),
            ("fold/64/100", "## Other sizes"),
            ("restore/8/100", "## Other sizes"),
            ("fill on threads/32/100", "## Threads"),
            ("nested/mixed/100", "## Nested"),
            ("end to end, read, sessions/32/100", "## End to end"),
            ("freeze to read, process table/mixed/100", "## End to end"),
        ];
        for (id, section) in workloads {
            let pairs = [
                ("BlockSet, heap", "pointer chase, heap"),
                ("BlockSet, heap, 1 thread", "BlockSet, heap, 2 threads"),
                ("rkyv", "kho-block"),
            ];
            let all = pairs.map(|(a, b)| [(id, a, 100.0), (id, b, 100.0)]).concat();
            let document = document(&Run::of(&all));
            let (_, behind) = document.split_once(section).expect("the section is there");
            let within = behind.split("\n## ").next().unwrap_or_default();
            assert!(within.contains("\n### "), "{id}");
            assert_eq!(document.matches("\n### ").count(), 1, "{id} is in no other section");
        }
    }

    #[test]
    fn notes_and_losses_are_there() {
        let run = Run::of(&[("fold/32/100", "Vec", 10.0), ("fold/32/100", "BlockSet, heap", 12.0)]);
        let document = document(&run);
        assert!(document.contains("## What stops it\n\nThe memory is slow.\n\n"), "{document}");
        assert!(document.contains("| fold | 100 | 32 | BlockSet, heap | Vec | 1.200 |"));
        assert!(document.contains("claiming it.\n\nNothing.\n"));
    }
}
