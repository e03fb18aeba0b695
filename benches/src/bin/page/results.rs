//! Reads the results that criterion stored: `GROUP/CONTENDER/new/estimates.json`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use kho_benches::end_to_end::{Bitcode, Format, Postcard, Rkyv, SerdeJson, Session, Zerocopy};
use kho_benches::names::{BLOCK_SET, MEMCPY, POINTER_CHASE};
use serde::Deserialize;

/// Names of kho-block in results: as a set, and as a format.
const OURS: [&str; 2] = [BLOCK_SET, "kho-block"];

/// Name of the flat array in huge pages.
pub(crate) const HUGE_PAGES: &str = <Zerocopy<true> as Format<Session>>::NAME;

/// Contenders that hold no state, or that need this project's memory.
pub(crate) const LIMITS: [&str; 3] = [MEMCPY, POINTER_CHASE, HUGE_PAGES];

/// The formats that one would use instead.
pub(crate) const FORMATS: [&str; 5] = [
    <Zerocopy<false> as Format<Session>>::NAME,
    <Rkyv as Format<Session>>::NAME,
    <Bitcode as Format<Session>>::NAME,
    <Postcard as Format<Session>>::NAME,
    <SerdeJson as Format<Session>>::NAME,
];

/// Longest time between the first and the last result of one run.
const LONGEST_RUN: Duration = Duration::from_secs(60 * 60);

/// A median and its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    low: f64,
    high: f64,
}

/// One time divided by another.
pub(crate) type Ratio = Estimate;

/// The times of one group's contenders, in nanoseconds an iteration.
#[derive(Debug, Default)]
pub(crate) struct Group(BTreeMap<String, Estimate>);

/// All results of one run.
#[derive(Debug)]
pub(crate) struct Results {
    groups: BTreeMap<String, Group>,
    newest: SystemTime,
}

#[derive(Deserialize)]
struct Estimates {
    median: Median,
}

#[derive(Deserialize)]
struct Median {
    confidence_interval: Interval,
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

impl Estimate {
    fn read(path: &Path) -> Result<Self> {
        let Estimates { median } = serde_json::from_str(&fs::read_to_string(path)?)?;
        let Interval { lower_bound: low, upper_bound: high } = median.confidence_interval;
        Ok(Self { median: median.point_estimate, low, high })
    }

    /// Returns this time divided by another. Its interval reaches from the lowest to the highest
    /// quotient of the two intervals.
    pub(crate) fn over(self, other: Self) -> Ratio {
        Ratio {
            median: self.median / other.median,
            low: self.low / other.high,
            high: self.high / other.low,
        }
    }
}

/// A ratio as the page shows it: `1.12 (1.11–1.13)`.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = |value: f64| if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        let Self { median, low, high } = *self;
        let precision = digits(median);
        write!(f, "{median:.precision$} ({low:.precision$}–{high:.precision$})")
    }
}

impl Group {
    /// Returns the time of the contender that is kho-block.
    pub(crate) fn ours(&self) -> Option<Estimate> {
        OURS.iter().find_map(|name| self.0.get(*name)).copied()
    }

    /// Returns a contender's time divided by kho-block's.
    pub(crate) fn beside(&self, contender: &str) -> Option<Ratio> {
        Some(self.0.get(contender)?.over(self.ours()?))
    }

    /// Returns the fastest of the other formats, and its time divided by kho-block's.
    pub(crate) fn best_format(&self) -> Option<(&'static str, Ratio)> {
        let formats = FORMATS.iter().filter_map(|name| Some((*name, self.beside(name)?)));
        formats.min_by(|(_, a), (_, b)| a.median.total_cmp(&b.median))
    }
}

impl Results {
    /// Reads everything below criterion's directory.
    ///
    /// # Errors
    /// If there are no results, or if some are so much older than others that they are of another
    /// run.
    pub(crate) fn read(criterion: &Path) -> Result<Self> {
        let mut groups = BTreeMap::<_, Group>::new();
        let mut made = Vec::new();
        for group in names(criterion)? {
            for contender in names(&criterion.join(&group))? {
                let path = criterion.join(&group).join(&contender).join("new/estimates.json");
                if !path.exists() {
                    continue;
                }
                let estimate = Estimate::read(&path).with_context(|| path.display().to_string())?;
                made.push((fs::metadata(&path)?.modified()?, path));
                groups.entry(group.clone()).or_default().0.insert(contender, estimate);
            }
        }
        made.sort();
        let ([(oldest, path), ..], Some((newest, _))) = (&made[..], made.last()) else {
            anyhow::bail!("no results in {}: run cargo bench -p kho-benches", criterion.display());
        };
        let is_one_run = *newest <= *oldest + LONGEST_RUN;
        ensure!(is_one_run, "{} is from an earlier run than others: remove it", path.display());
        Ok(Self { groups, newest: *newest })
    }

    /// Returns the time of the last result.
    pub(crate) fn date(&self) -> SystemTime {
        self.newest
    }

    /// Returns the results of one group.
    ///
    /// # Errors
    /// If the group was not measured.
    pub(crate) fn group(&self, name: &str) -> Result<&Group> {
        self.groups.get(name).with_context(|| format!("{name:?} was not measured"))
    }

    /// Returns all results as CSV: medians with their intervals, in nanoseconds an iteration.
    pub(crate) fn csv(&self) -> String {
        let mut csv = "work,contender,median_ns,low_ns,high_ns\n".to_owned();
        for (work, Group(contenders)) in &self.groups {
            for (contender, Estimate { median, low, high }) in contenders {
                let _ = writeln!(csv, "{work},{contender},{median:.1},{low:.1},{high:.1}");
            }
        }
        csv
    }
}

/// Returns the names of the directories in a directory, sorted.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
impl Results {
    /// Returns results with intervals of 10 % to both sides.
    pub(crate) fn of(medians: &[(&str, &str, f64)]) -> Self {
        let mut groups = BTreeMap::<_, Group>::new();
        for (group, contender, median) in medians {
            let estimate = Estimate { median: *median, low: median * 0.9, high: median * 1.1 };
            let Group(contenders) = groups.entry((*group).to_owned()).or_default();
            contenders.insert((*contender).to_owned(), estimate);
        }
        Self { groups, newest: SystemTime::UNIX_EPOCH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_medians_with_the_widest_interval() {
        let results = Results::of(&[("push 1", "BlockSet", 2.0), ("push 1", "Vec", 3.0)]);
        let ratio = results.group("push 1").unwrap().beside("Vec").unwrap();
        assert_eq!(ratio.to_string(), "1.50 (1.23–1.83)");
        assert!(results.group("push 2").is_err());
    }

    #[test]
    fn the_best_format_is_neither_ours_nor_a_limit() {
        let results = Results::of(&[
            ("end to end", "kho-block", 1.0),
            ("end to end", "zerocopy in huge pages", 0.5),
            ("end to end", "rkyv", 4.0),
            ("end to end", "zerocopy", 2.0),
        ]);
        let (name, ratio) = results.group("end to end").unwrap().best_format().unwrap();
        assert_eq!((name, ratio.median), ("zerocopy", 2.0));
    }

    #[test]
    fn results_of_one_run_are_read() {
        let dir = std::env::temp_dir().join(format!("kho-page-{}", std::process::id()));
        let write = |contender: &str, age: u64| {
            let new = dir.join("push 1").join(contender).join("new");
            fs::create_dir_all(&new).unwrap();
            let interval = r#"{"confidence_level":0.95,"lower_bound":1.0,"upper_bound":3.0}"#;
            let median = format!(r#"{{"confidence_interval":{interval},"point_estimate":2.0}}"#);
            let path = new.join("estimates.json");
            fs::write(&path, format!(r#"{{"median":{median},"slope":null}}"#)).unwrap();
            let made = SystemTime::now() - Duration::from_secs(age * 60);
            fs::File::options().append(true).open(path).unwrap().set_modified(made).unwrap();
        };
        write("Vec", 0);
        write("kernel's C", 50);
        let csv = Results::read(&dir).map(|results| results.csv());
        write("old", 70);
        let mixed = Results::read(&dir);
        fs::remove_dir_all(&dir).unwrap();
        let row = |contender| format!("push 1,{contender},2.0,1.0,3.0\n");
        let rows = row("Vec") + &row("kernel's C");
        assert_eq!(csv.unwrap(), format!("work,contender,median_ns,low_ns,high_ns\n{rows}"));
        assert!(mixed.unwrap_err().to_string().contains("old/new"));
    }
}
