//! Turns one run of the benches into documents: `docs/performance.md` with its charts, the README's
//! chart and table, and the figures as CSV.

mod chart;
mod charts;
mod document;
mod footprint;
mod goals;
mod host;
mod losses;
mod names;
mod readme;
mod results;
mod run;
mod stats;
mod table;
mod tables;
mod text;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, Result};
use clap::Parser;
use jiff::Timestamp;
use kho_examples::program;

use crate::document::Document;
use crate::host::Host;
use crate::run::Run;

/// Turns one run of the benches into documents.
#[derive(Parser)]
struct Options {
    /// Criterion's results; by default those in cargo's target directory.
    #[arg(long, value_name = "DIR")]
    criterion: Option<PathBuf>,
    /// Where to write, as if it was the root of the workspace.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What to call the machine; by default its processor and cores.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Take benches since then, such as 2030-01-31T12:00Z; by default those of the two hours before
    /// the newest.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
}

fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run)
}

fn run(options: Options) -> Result<()> {
    let out = &mut program::stdout();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let root = options.out.as_deref().unwrap_or(workspace);
    let criterion = options.criterion.unwrap_or_else(|| {
        let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        target.unwrap_or_else(|| workspace.join("target")).join("criterion")
    });

    let footprints = footprint::measure()?;
    let run = Run::read(&criterion, options.since)?;
    for skipped in &run.skipped {
        writeln!(out, "skipped: {skipped}")?;
    }
    let mut host = Host::ask(workspace);
    if let Some(name) = options.host {
        host.name = name;
    }
    let date = run.date.strftime("%Y-%m-%d").to_string();
    let results = format!("benches/results/{}-{date}.csv", host.name);
    let verdicts = goals::evaluate(&run, &footprints);

    results::write(&root.join(&results), &run, &footprints).context("the results as CSV")?;
    let charts = charts::draw(&run, root).context("the charts")?;
    let notes = fs::read_to_string(workspace.join("benches/notes.md")).ok();
    let document = Document {
        run: &run,
        host: &host,
        date: &date,
        results: &format!("../{results}"),
        verdicts: &verdicts,
        footprints: &footprints,
        charts: &charts,
        notes: notes.as_deref(),
    };
    fs::create_dir_all(root.join("docs"))?;
    fs::write(root.join("docs/performance.md"), document.to_string())?;
    let readme = root.join("README.md");
    if !readme.exists() || !readme::update(&readme, &verdicts, &host.title, &date)? {
        writeln!(out, "skipped: {} has no place for the chart and the table", readme.display())?;
    }
    writeln!(out, "wrote {} from {} benches", results, run.measurements.len())?;
    writeln!(out, "wrote {}", root.join("docs/performance.md").display())?;
    Ok(())
}
