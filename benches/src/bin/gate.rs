//! Compares the instruction counts of `benches/instructions.rs` with those on record, in
//! `instructions.csv`: fails if one grew by more than 3 %, or if the benches are not those on
//! record. With `--record` it puts the counts on record.
//!
//! Counts hold for one compiler and target. With another, the program prints `skipped: why` and
//! succeeds.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.csv");

/// The compiler and target of this program, and so of the benches.
const COMPILER: &str = env!("KHO_BENCHES_COMPILER");

/// Percentage by which a count may grow.
const TOLERANCE: u64 = 3;

/// Instructions by bench.
type Counts = BTreeMap<String, u64>;

fn main() -> Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => check(),
        ["--record"] => record(),
        _ => bail!("usage: gate [--record]"),
    }
}

/// Records the counts.
fn record() -> Result<()> {
    let counts = count()?.context("nothing was counted")?;
    fs::write(RECORD, format(&counts)).context(RECORD)?;
    println!("{} instruction counts are on record", counts.len());
    Ok(())
}

/// Compares the counts with those on record, if they can be compared.
fn check() -> Result<()> {
    let record = fs::read_to_string(RECORD).context(RECORD)?;
    let (compiler, recorded) = parse(&record)?;
    if compiler != COMPILER {
        println!("skipped: instruction counts: recorded with {compiler}, this is {COMPILER}");
        return Ok(());
    }
    let Some(counts) = count()? else { return Ok(()) };
    let differences = compare(&recorded, &counts);
    for (message, _) in &differences {
        println!("{message}");
    }
    let failures = differences.iter().filter(|(_, fails)| *fails).count();
    println!("{} instruction counts, {failures} failures", counts.len());
    ensure!(failures == 0, "{failures} instruction counts are not as on record");
    Ok(())
}

/// Runs the benches under valgrind. Returns `None` if they said why they can't run here.
fn count() -> Result<Option<Counts>> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args(["bench", "-q", "-p", "kho-benches", "--bench", "instructions"])
        .args(["--", "--output-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo can't be run")?;
    ensure!(output.status.success(), "the benches failed");
    let output = String::from_utf8(output.stdout)?;
    if let Some(skipped) = output.lines().find(|line| line.starts_with("skipped: ")) {
        println!("{skipped}");
        return Ok(None);
    }
    let counts: Counts = output.lines().map(summary).collect::<Result<_>>()?;
    ensure!(!counts.is_empty(), "there is no bench");
    Ok(Some(counts))
}

/// Returns the bench and the count of a summary in JSON.
fn summary(json: &str) -> Result<(String, u64)> {
    let summary: Value = serde_json::from_str(json).context("not a summary in JSON")?;
    let text = |pointer| summary.pointer(pointer).and_then(Value::as_str);
    let path = text("/module_path").context("no module_path in a summary")?;
    let name = path.rsplit("::").next().unwrap_or(path);
    let id = text("/id").context("no id in a summary")?;
    let count = summary.pointer("/profiles/0/data/total/metrics/Ir/values/new");
    let count = count.and_then(Value::as_u64).context("no count of instructions in a summary")?;
    Ok((format!("{name}: {id}"), count))
}

/// Returns the text of a record.
fn format(counts: &Counts) -> String {
    let mut record = format!("# {COMPILER}\nbench,instructions\n");
    for (bench, count) in counts {
        let _ = writeln!(record, "{bench},{count}");
    }
    record
}

/// Returns the compiler and the counts of a record.
fn parse(record: &str) -> Result<(&str, Counts)> {
    let mut lines = record.lines();
    let compiler = lines.next().and_then(|line| line.strip_prefix("# "));
    let compiler = compiler.context("the record does not begin with its compiler")?;
    let parse = |line: &str| -> Result<_> {
        let (bench, count) = line.split_once(',').context("no count")?;
        Ok((bench.to_owned(), count.parse()?))
    };
    let counts = lines.skip(1).map(|line| parse(line).with_context(|| format!("record: {line}")));
    Ok((compiler, counts.collect::<Result<_>>()?))
}

/// Returns a message about each count that is not as recorded, and whether that is a failure.
fn compare(recorded: &Counts, counts: &Counts) -> Vec<(String, bool)> {
    let mut differences = Vec::new();
    for (bench, old) in recorded {
        match counts.get(bench) {
            None => differences.push((format!("gone: {bench}"), true)),
            Some(new) if new != old => {
                let fails = new * 100 > old * (100 + TOLERANCE);
                let word = if fails {
                    "GREW"
                } else if new > old {
                    "grew"
                } else {
                    "shrank"
                };
                let percent = (*new as f64 / *old as f64 - 1.0) * 100.0;
                differences
                    .push((format!("{word}: {bench}: {old} to {new}, {percent:+.2} %"), fails));
            }
            Some(_) => {}
        }
    }
    for bench in counts.keys().filter(|bench| !recorded.contains_key(*bench)) {
        differences.push((format!("not on record: {bench}"), true));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> Counts {
        counts.iter().map(|(bench, count)| ((*bench).to_owned(), *count)).collect()
    }

    fn failures(recorded: &[(&str, u64)], now: &[(&str, u64)]) -> usize {
        let differences = compare(&counts(recorded), &counts(now));
        differences.iter().filter(|(_, fails)| *fails).count()
    }

    #[test]
    fn growth_beyond_the_tolerance_fails() {
        let recorded = [("push", 1000), ("fold", 1000)];
        assert_eq!(failures(&recorded, &recorded), 0);
        assert_eq!(failures(&recorded, &[("push", 1030), ("fold", 10)]), 0);
        assert_eq!(failures(&recorded, &[("push", 1031), ("fold", 10)]), 1);
        assert_eq!(failures(&recorded, &[("push", 2000), ("fold", 2000)]), 2);
    }

    #[test]
    fn other_benches_fail() {
        assert_eq!(failures(&[("push", 1000)], &[]), 1);
        assert_eq!(failures(&[], &[("push", 1000)]), 1);
        assert_eq!(failures(&[("push", 1000)], &[("fold", 1000)]), 2);
    }

    #[test]
    fn smaller_changes_are_reported() {
        let messages =
            compare(&counts(&[("a", 1000), ("b", 1000)]), &counts(&[("a", 1010), ("b", 500)]));
        let messages: Vec<_> = messages.iter().map(|(message, _)| message.as_str()).collect();
        assert_eq!(
            messages,
            ["grew: a: 1000 to 1010, +1.00 %", "shrank: b: 1000 to 500, -50.00 %"]
        );
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let counts = counts(&[("push: vec", 1), ("push: block_set", u64::MAX)]);
        let record = format(&counts);
        assert_eq!(parse(&record).expect("a record"), (COMPILER, counts));
        assert!(parse("bench,instructions\n").is_err());
        assert!(parse("# rustc\nbench,instructions\npush: vec,many\n").is_err());
    }

    #[test]
    fn the_record_here_can_be_read() {
        let record = fs::read_to_string(RECORD).expect("there is a record");
        assert!(!parse(&record).expect("a record").1.is_empty());
    }
}
