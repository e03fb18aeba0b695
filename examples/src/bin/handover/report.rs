//! Prints what the last successor found, and how long each step took.

use std::cmp::Reverse;
use std::io::{self, Write};

use indicatif::{HumanBytes, HumanCount};
use kho_block::ReadMemory;
use kho_examples::entries::Missed;
use kho_examples::live::LiveProcess;
use kho_examples::program;

use crate::successor::{Restore, Restored, Totals};

pub(crate) struct Report<'a, R: Restore> {
    pub(crate) restored: &'a Restored<R>,
    pub(crate) processes: &'a [LiveProcess],
    /// When `main` began.
    pub(crate) entered: u64,
    /// When all chains were checked.
    pub(crate) restored_at: u64,
    /// When all entries were read.
    pub(crate) read_at: u64,
}

impl<R: Restore> Report<'_, R> {
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let out = &mut program::stdout();
        let totals = self.restored.totals();
        self.print_processes(out)?;
        self.print_self(out)?;
        self.print_missed(out)?;
        self.print_counts(out, totals)?;
        self.print_generations(out)?;
        self.print_times(out, totals)?;
        let entries = HumanCount(totals.entries as u64);
        writeln!(out, "verified {entries} entries in {} sets", totals.sets)?;
        Ok(())
    }

    fn print_processes(&self, out: &mut impl Write) -> io::Result<()> {
        let mut largest: Vec<_> = self.processes.iter().collect();
        largest.sort_by_key(|process| (Reverse(process.resident_bytes), process.pid));
        let rows = usize::try_from(self.restored.snapshot().rows).unwrap_or(usize::MAX);
        writeln!(
            out,
            "{:>8} {:>8} S {:>12} {:>12} {:>6} {:>8}  NAME",
            "PID", "PARENT", "RESIDENT", "VIRTUAL", "FILES", "MAPPINGS"
        )?;
        for process in largest.into_iter().take(rows) {
            writeln!(
                out,
                "{:>8} {:>8} {} {:>12} {:>12} {:>6} {:>8}  {}",
                process.pid,
                process.parent,
                process.state,
                bytes(process.resident_bytes),
                bytes(process.virtual_bytes),
                process.files.len(),
                process.mappings.len(),
                // Escaped, as a process chooses its name and could put control codes in it.
                process.name.escape_debug(),
            )?;
        }
        writeln!(out)
    }

    /// Prints the successor's own entry: `exec` keeps the process.
    fn print_self(&self, out: &mut impl Write) -> io::Result<()> {
        let me = i64::from(std::process::id());
        match self.processes.iter().find(|process| i64::from(process.pid) == me) {
            Some(process) => writeln!(
                out,
                "this process is {}, a child of {}; it had {} open files and {} mappings",
                process.pid,
                process.parent,
                process.files.len(),
                process.mappings.len()
            ),
            None => writeln!(out, "this process, {me}, was not in the snapshot"),
        }
    }

    fn print_missed(&self, out: &mut impl Write) -> io::Result<()> {
        let Missed { vanished, unreadable, files_denied, mappings_denied, paths_cut } =
            self.restored.snapshot().missed;
        for (count, what) in [
            (vanished, "processes that ended while they were read"),
            (unreadable, "processes that could not be read"),
            (files_denied, "processes that deny access to their open files"),
            (mappings_denied, "processes that deny access to their mappings"),
            (paths_cut, "paths that were cut to fit their field"),
        ] {
            if count > 0 {
                writeln!(out, "{what}: {count}")?;
            }
        }
        writeln!(out)
    }

    fn print_counts(&self, out: &mut impl Write, totals: Totals) -> io::Result<()> {
        let snapshot = self.restored.snapshot();
        for (what, count) in [
            ("processes", snapshot.process_count),
            ("open files", snapshot.file_count),
            ("mappings", snapshot.mapping_count),
            ("synthetic", snapshot.synthetic_count),
            ("generations", self.restored.generations.len() as u64),
            ("blocks", totals.blocks as u64),
        ] {
            write!(out, "{what:<12}{:>12}", HumanCount(count).to_string())?;
            if what == "blocks" {
                let size = totals.blocks as u64 * R::Memory::BLOCK_SIZE as u64;
                write!(out, "  {}", HumanBytes(size))?;
            }
            writeln!(out)?;
        }
        writeln!(out)
    }

    fn print_generations(&self, out: &mut impl Write) -> io::Result<()> {
        if self.restored.generations.is_empty() {
            return Ok(());
        }
        writeln!(out, "GENERATION {:>8} {:>12} {:>12} {:>12}", "PID", "JUMP", "CLAIM", "ENTRIES")?;
        let mut left = self.restored.snapshot().times.left;
        for generation in self.restored.generations.iter() {
            writeln!(
                out,
                "{:>10} {:>8} {:>12} {:>12} {:>12}",
                generation.number,
                generation.pid,
                milliseconds(generation.entered.saturating_sub(left)),
                milliseconds(generation.claimed.saturating_sub(generation.entered)),
                HumanCount(generation.entries).to_string(),
            )?;
            left = generation.left;
        }
        writeln!(out)
    }

    fn print_times(&self, out: &mut impl Write, totals: Totals) -> io::Result<()> {
        let times = self.restored.snapshot().times;
        // The jump to this process was made by the previous generation, if there is one.
        let previous = self.restored.generations.iter().rev().nth(1);
        let left = previous.map_or(times.left, |generation| generation.left);
        let jump = self.entered.saturating_sub(left);
        let restore = self.restored_at.saturating_sub(self.entered);
        let read = self.read_at.saturating_sub(self.restored_at);
        let entries = totals.entries as u64;
        // The generations were added after the freeze.
        let added = &self.restored.generations;
        let frozen = entries - added.len() as u64;
        let reserved = (totals.blocks - added.block_count()) as u64;
        for (what, time, meaning) in [
            ("snapshot", times.snapshot, "reading /proc".to_owned()),
            ("reserve", times.reserve, format!("reserving {} blocks", HumanCount(reserved))),
            ("digest", times.digest, "hashing the live objects".to_owned()),
            ("freeze", times.freeze, format!("writing {}", rate(frozen, times.freeze))),
            ("jump", jump, "replacing the program, up to main of the successor".to_owned()),
            ("restore", restore, "checking every chain".to_owned()),
            ("read", read, format!("verifying {}", rate(entries, read))),
        ] {
            writeln!(out, "{what:<12}{:>12}  {meaning}", milliseconds(time))?;
        }
        writeln!(out)
    }
}

fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}

fn milliseconds(nanoseconds: u64) -> String {
    format!("{}.{:03} ms", nanoseconds / 1_000_000, nanoseconds / 1000 % 1000)
}

/// Returns the number of entries, and how many that is in a second.
fn rate(entries: u64, nanoseconds: u64) -> String {
    let per_second = u128::from(entries) * 1_000_000_000 / u128::from(nanoseconds.max(1));
    let (millions, tenths) = (per_second / 1_000_000, per_second / 100_000 % 10);
    format!("{} entries, {millions}.{tenths} million per second", HumanCount(entries))
}
