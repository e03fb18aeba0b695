//! What criterion measured in one run.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use walkdir::WalkDir;

use crate::names;
use crate::stats::Quartiles;

/// Benches that are older than the newest by more than this are from another run.
const LONGEST_RUN: Duration = Duration::from_secs(2 * 60 * 60);

/// What was done, with entries of which size, to how many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Name of the workload.
    pub(crate) workload: String,
    /// Size of an entry, or "mixed".
    pub(crate) entry_bytes: String,
    /// How many entries.
    pub(crate) entries: usize,
}

/// One contender in one group.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    /// What was measured.
    pub(crate) group: Group,
    /// Who it was measured of.
    pub(crate) contender: String,
    /// Nanoseconds of one iteration.
    pub(crate) time: Quartiles,
    /// How many elements one iteration handles: the entries, unless the bench said otherwise.
    pub(crate) elements: u64,
    /// How many samples there are.
    pub(crate) samples: usize,
}

/// All measurements of one run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Sorted by group and contender.
    pub(crate) measurements: Vec<Measurement>,
    /// When the last one was made.
    pub(crate) date: Timestamp,
    /// What was left out, and why.
    pub(crate) skipped: Vec<String>,
}

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: Option<u64>,
}

#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

impl Group {
    /// Takes an id such as `restore, cold/32/1270000` apart.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let mut parts = id.rsplitn(3, '/');
        let entries = parts.next()?.parse().ok()?;
        let entry_bytes = parts.next()?.to_owned();
        let workload = parts.next()?.to_owned();
        Some(Self { workload, entry_bytes, entries })
    }

    /// How many full and partial blocks the entries are in; 0 if they are of mixed sizes.
    pub(crate) fn blocks(&self) -> usize {
        let bytes = self.entry_bytes.parse().unwrap_or(0);
        match kho_block::abi::count_per_block(4096, bytes) {
            0 => 0,
            fit => self.entries.div_ceil(fit),
        }
    }

    /// What to sort groups by: workloads in the order in which they are explained.
    fn order(&self) -> (usize, &str, usize, usize) {
        let explained = kho_benches::WORKLOADS;
        let position = explained.iter().position(|(name, _)| *name == self.workload);
        let bytes = self.entry_bytes.parse().unwrap_or(usize::MAX);
        (position.unwrap_or(explained.len()), &self.workload, bytes, self.entries)
    }
}

impl Measurement {
    /// Nanoseconds for each element.
    pub(crate) fn per_element(&self) -> Quartiles {
        self.time.divided_by(self.elements as f64)
    }

    /// Nanoseconds for each block of the chain.
    pub(crate) fn per_block(&self) -> Quartiles {
        self.time.divided_by(self.group.blocks() as f64)
    }

    fn parse(benchmark: Benchmark, sample: &Sample) -> Option<Self> {
        let group = Group::parse(&benchmark.group_id)?;
        let each = sample.times.iter().zip(&sample.iters).map(|(time, iters)| time / iters);
        let elements = benchmark.throughput.and_then(|throughput| throughput.elements);
        Some(Self {
            contender: benchmark.function_id?,
            time: Quartiles::of(each.collect())?,
            elements: elements.unwrap_or(group.entries as u64),
            samples: sample.times.len(),
            group,
        })
    }
}

impl Run {
    /// Reads what is below criterion's directory: the benches of the last run, or those since then.
    ///
    /// # Errors
    /// The files can't be read, or there are none.
    pub(crate) fn read(criterion: &Path, since: Option<Timestamp>) -> Result<Self> {
        let mut found = Vec::new();
        for entry in WalkDir::new(criterion).sort_by_file_name() {
            let entry = entry.context("criterion's results")?;
            let is_new = entry.path().parent().is_some_and(|dir| dir.ends_with("new"));
            if is_new && entry.file_name() == "sample.json" {
                found.push((entry.metadata()?.modified()?, entry.into_path()));
            }
        }
        let newest = found.iter().map(|(made, _)| *made).max();
        let newest = newest.with_context(|| format!("no results in {}", criterion.display()))?;
        let since = since.map_or(newest - LONGEST_RUN, SystemTime::from);

        let (mut measurements, mut skipped) = (Vec::new(), Vec::new());
        for (made, path) in found {
            let benchmark: Benchmark = read_json(&path.with_file_name("benchmark.json"))?;
            let name = match &benchmark.function_id {
                Some(function) => format!("{}/{function}", benchmark.group_id),
                None => benchmark.group_id.clone(),
            };
            if made < since {
                skipped.push(format!("{name}: from an earlier run"));
                continue;
            }
            match Measurement::parse(benchmark, &read_json(&path)?) {
                Some(measurement) => measurements.push(measurement),
                None => skipped.push(format!("{name}: not a bench of the matrix")),
            }
        }
        ensure!(!measurements.is_empty(), "no results of the matrix in {}", criterion.display());
        Ok(Self { date: newest.try_into()?, ..Self::new(measurements, skipped) })
    }

    fn new(mut measurements: Vec<Measurement>, skipped: Vec<String>) -> Self {
        measurements.sort_by(|a, b| {
            let contenders = names::order(&a.contender).cmp(&names::order(&b.contender));
            a.group.order().cmp(&b.group.order()).then(contenders)
        });
        Self { measurements, date: Timestamp::UNIX_EPOCH, skipped }
    }

    /// The measurements of each group.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[Measurement]> {
        self.measurements.chunk_by(|a, b| a.group == b.group)
    }

    /// The measurements of one group; empty if it was not measured.
    pub(crate) fn group(&self, workload: &str, bytes: &str, entries: usize) -> &[Measurement] {
        let is_meant = |group: &Group| {
            group.workload == workload && group.entry_bytes == bytes && group.entries == entries
        };
        self.groups().find(|group| is_meant(&group[0].group)).unwrap_or_default()
    }

    /// For how many entries a workload was measured, rising.
    pub(crate) fn lengths(&self, workload: &str, bytes: &str) -> impl Iterator<Item = usize> {
        self.groups().filter_map(move |group| {
            let group = &group[0].group;
            (group.workload == workload && group.entry_bytes == bytes).then_some(group.entries)
        })
    }

    #[cfg(test)]
    pub(crate) fn of(medians: &[(&str, &str, f64)]) -> Self {
        let measurement = |(group, contender, median): &(&str, &str, f64)| {
            let group = Group::parse(group).expect("a group's id");
            let elements = group.entries as u64;
            let time = Quartiles { q1: median * 0.9, median: *median, q3: median * 1.1 };
            Measurement { group, contender: (*contender).to_owned(), time, elements, samples: 10 }
        };
        Self::new(medians.iter().map(measurement).collect(), Vec::new())
    }
}

/// The contender's measurement in a group.
pub(crate) fn find<'r>(group: &'r [Measurement], contender: &str) -> Option<&'r Measurement> {
    group.iter().find(|measurement| measurement.contender == contender)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    serde_json::from_reader(std::io::BufReader::new(file))
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parse(benchmark: &str, sample: &str) -> Option<Measurement> {
        let benchmark = serde_json::from_str(benchmark).expect("what criterion writes");
        Measurement::parse(benchmark, &serde_json::from_str(sample).expect("what criterion writes"))
    }

    #[test]
    fn a_bench_is_parsed() {
        let parsed = parse(
            r#"{"group_id":"restore, cold/32/1270000","function_id":"BlockSet, heap",
                "value_str":null,"throughput":{"Elements":10000},"title":"t"}"#,
            r#"{"sampling_mode":"Linear","iters":[1.0,2.0,3.0],"times":[50.0,60.0,120.0]}"#,
        );
        let parsed = parsed.expect("a bench of the matrix");
        let group = Group {
            workload: "restore, cold".to_owned(),
            entry_bytes: "32".to_owned(),
            entries: 1_270_000,
        };
        assert_eq!((parsed.group, parsed.contender.as_str()), (group, "BlockSet, heap"));
        assert_eq!((parsed.elements, parsed.samples), (10_000, 3));
        assert_eq!(parsed.time, Quartiles { q1: 35.0, median: 40.0, q3: 45.0 });
    }

    #[test]
    fn elements_are_the_entries_if_nothing_else_is_said() {
        let benchmark =
            r#"{"group_id":"end to end, process table/mixed/1000","function_id":"rkyv"}"#;
        let parsed = parse(benchmark, r#"{"iters":[1.0],"times":[3000.0]}"#).expect("a bench");
        assert_eq!(parsed.group.entry_bytes, "mixed");
        assert_eq!(parsed.per_element().median, 3.0);
    }

    #[test]
    fn other_ids_are_not_of_the_matrix() {
        for id in ["push/10000", "push", "push/32/many", ""] {
            assert_eq!(Group::parse(id), None, "{id}");
        }
    }

    #[test]
    fn groups_hold_what_belongs_together() {
        let run = Run::of(&[
            ("fold/32/10000", "Vec", 1.0),
            ("push/32/10000", "Vec", 2.0),
            ("fold/32/10000", "BlockSet, heap", 3.0),
            ("fold/8/10000", "Vec", 4.0),
            ("fold/32/100", "Vec", 5.0),
        ]);
        let times = |group: &[Measurement]| group.iter().map(|m| m.time.median).collect::<Vec<_>>();
        assert_eq!(times(run.group("fold", "32", 10_000)), [1.0, 3.0]);
        assert_eq!(times(run.group("fold", "64", 10_000)), [0.0; 0]);
        assert_eq!(run.lengths("fold", "32").collect::<Vec<_>>(), [100, 10_000]);
        assert_eq!(run.groups().count(), 4);
    }

    #[test]
    fn only_the_last_run_is_read() -> Result<()> {
        let dir = std::env::temp_dir().join(format!("kho-report-{}", std::process::id()));
        let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
        for (function, made) in
            [("Vec", hours_ago(1)), ("old", hours_ago(3)), ("now", hours_ago(0))]
        {
            let new = dir.join(function).join("new");
            fs::create_dir_all(&new)?;
            let benchmark = format!(r#"{{"group_id":"f/32/1","function_id":"{function}"}}"#);
            fs::write(new.join("benchmark.json"), benchmark)?;
            fs::write(new.join("sample.json"), r#"{"iters":[1.0],"times":[2.0]}"#)?;
            File::options().append(true).open(new.join("sample.json"))?.set_modified(made)?;
        }
        let run = Run::read(&dir, None)?;
        let since = Run::read(&dir, Some(Timestamp::try_from(hours_ago(4))?))?;
        fs::remove_dir_all(&dir)?;
        assert_eq!(run.measurements.len(), 2);
        assert_eq!(run.skipped, ["f/32/1/old: from an earlier run"]);
        assert_eq!(since.measurements.len(), 3);
        Ok(())
    }
}
