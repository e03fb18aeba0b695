//! Makes the page about performance from what `cargo bench` measured: `docs/performance.md`, its
//! two charts, and all results as CSV. The words of the page are in `page.md`, beside this file.
//!
//! Criterion does the statistics. This program only divides its medians.

mod chart;
mod goals;
mod host;
mod results;
mod table;

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use kho_benches::names::{KERNEL, MEMCPY, POINTER_CHASE, VEC};

use chart::{Bars, Chart};
use results::{FORMATS, HUGE_PAGES, Ratio, Results};

fn main() -> Result<()> {
    let args: Vec<_> = env::args_os().skip(1).collect();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let criterion = match &args[..] {
        [] => env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| workspace.join("target"), PathBuf::from)
            .join("criterion"),
        [dir] => PathBuf::from(dir),
        _ => bail!("usage: page [DIRECTORY OF CRITERION]"),
    };
    let results = Results::read(&criterion)?;
    let page = include_str!("page.md")
        .replace("{machine}", &host::list(workspace, results.date())?)
        .replace("{table}", &table::table(&results)?)
        .replace("{goals}", &goals::list(&results)?);
    let docs = workspace.join("docs");
    for (file, text) in [
        ("performance.md", page),
        ("performance/results.csv", results.csv()),
        ("performance/summary.svg", summary(&results)?.svg()),
        ("performance/end-to-end.svg", end_to_end(&results)?.svg()),
    ] {
        let path = docs.join(file);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Draws large sets beside everything that does the same work on arrays.
fn summary(results: &Results) -> Result<Chart> {
    let works = [
        ("push", "push 1270000"),
        ("append a slice", "append 1270000"),
        ("for loop", "for 1270000"),
        ("fold", "fold 1270000"),
        ("random get", "get 1270000"),
        ("restore", "restore 1270000"),
    ];
    let mut groups = Vec::new();
    for (work, group) in works {
        let group = results.group(group)?;
        let limit = group.beside(MEMCPY).or_else(|| group.beside(POINTER_CHASE));
        groups.push((work, vec![group.beside(VEC), group.beside(KERNEL), limit]));
    }
    Ok(Chart {
        title: "Time of the same work, relative to a BlockSet",
        note: "1,270,000 entries of 32 bytes, the set in a memfd; right of 1, the set is faster",
        series: vec![
            ("Vec", "#6b7280"),
            ("kernel's C code", "#d97706"),
            ("limit: memcpy, or a pointer chase", "#cbd5e1"),
        ],
        groups: bars(groups),
    })
}

/// Draws kho-block as a format beside other formats.
fn end_to_end(results: &Results) -> Result<Chart> {
    let sessions = results.group("end to end sessions")?;
    let processes = results.group("end to end processes")?;
    let formats = FORMATS.into_iter().chain([HUGE_PAGES]);
    let groups =
        formats.map(|format| (format, vec![sessions.beside(format), processes.beside(format)]));
    Ok(Chart {
        title: "Time of other formats, relative to kho-block",
        note: "from live objects, by a memfd, to a successor that has read them; right of 1, kho-block is faster",
        series: vec![
            ("1,270,000 sessions of 32 bytes", "#2563eb"),
            ("1,000 processes with files and mappings", "#93c5fd"),
        ],
        groups: bars(groups),
    })
}

/// Returns the bars of ratios, drawn at their medians.
fn bars<'a>(groups: impl IntoIterator<Item = (&'a str, Vec<Option<Ratio>>)>) -> Vec<Bars> {
    let group = |(name, ratios): (&str, Vec<Option<Ratio>>)| Bars {
        name: name.to_owned(),
        values: ratios.into_iter().map(|ratio| Some(ratio?.median)).collect(),
    };
    groups.into_iter().map(group).collect()
}
