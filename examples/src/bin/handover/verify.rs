//! Converts every entry back to the object it was made of, and compares digests.

use anyhow::{Context as _, ensure};
use kho_block::Entry;
use kho_block::bytemuck::{self, bytes_of};
use kho_examples::entries::{Mapping, OpenFile, Process};
use kho_examples::live::LiveProcess;
use kho_examples::progress::Progress;
use xxhash_rust::xxh3::Xxh3;

use crate::entries::{Snapshot, Synthetic};
use crate::predecessor::ProcessDigest;
use crate::successor::{Restore, Restored, describe};

/// Verifies every entry and returns the processes as they were.
pub(crate) fn verify<R: Restore>(restored: &Restored<R>) -> anyhow::Result<Vec<LiveProcess>> {
    let snapshot = restored.snapshot();
    let processes = processes(restored, snapshot)?;
    synthetic(restored, snapshot)?;
    generations(restored, snapshot)?;
    Ok(processes)
}

fn processes<R: Restore>(
    restored: &Restored<R>,
    snapshot: &Snapshot,
) -> anyhow::Result<Vec<LiveProcess>> {
    check_count("processes", restored.processes.len(), snapshot.process_count)?;
    let files = restored.nested.iter().map(|(files, _)| files.len()).sum();
    check_count("open files", files, snapshot.file_count)?;
    let mappings = restored.nested.iter().map(|(_, mappings)| mappings.len()).sum();
    check_count("mappings", mappings, snapshot.mapping_count)?;

    let mut digest = ProcessDigest::default();
    let mut processes = Vec::with_capacity(restored.processes.len());
    for (process, (files, mappings)) in restored.processes.iter().zip(&restored.nested) {
        let who = describe(process);
        let live = LiveProcess::from_entries(process, files.iter(), mappings.iter())
            .with_context(|| format!("the digest of the processes can't match: {who}"))?;
        ensure!(
            gives_back(&live, process, files.iter(), mappings.iter()),
            "{who} has bytes after the end of a text, which no digest covers"
        );
        digest.add(&live);
        processes.push(live);
    }
    check_digest("processes", digest.finish(), snapshot.process_digest)?;
    Ok(processes)
}

/// Returns whether a live object converts to the very bytes that it was made of.
///
/// Bytes after the end of a text are not in the object, so its digest does not cover them.
fn gives_back<'a>(
    live: &LiveProcess,
    process: &Process,
    files: impl Iterator<Item = &'a OpenFile>,
    mappings: impl Iterator<Item = &'a Mapping>,
) -> bool {
    fn same<T: Entry>(one: T, other: &T) -> bool {
        bytes_of(&one) == bytes_of(other)
    }
    same(live.to_entry(process.files, process.mappings), process)
        && files.zip(&live.files).all(|(entry, file)| same(file.to_entry(), entry))
        && mappings.zip(&live.mappings).all(|(entry, mapping)| same(mapping.to_entry(), entry))
}

fn synthetic<R: Restore>(restored: &Restored<R>, snapshot: &Snapshot) -> anyhow::Result<()> {
    let set = &restored.synthetic;
    check_count("synthetic entries", set.len(), snapshot.synthetic_count)?;
    let mut digest = Xxh3::new();
    let mut progress = Progress::new("verify", snapshot.synthetic_count);
    let mut done = 0;
    for chunk in set.chunks() {
        // Block by block: the entries are plain data, so a slice of them is a slice of bytes.
        digest.update(bytemuck::cast_slice(chunk));
        done += chunk.len() as u64;
        progress.at(done);
    }
    let result = check_digest("synthetic entries", digest.digest(), snapshot.synthetic_digest);
    if result.is_err() {
        // Each is computed from its index, so the wrong one can be named.
        let wrong = (0..).zip(set.iter()).find(|(index, entry)| **entry != Synthetic::new(*index));
        if let Some(addr) = wrong.and_then(|(index, _)| set.addr_of(usize::try_from(index).ok()?)) {
            return result.with_context(|| format!("the synthetic entry at {addr} is wrong"));
        }
    }
    result
}

/// Checks that the generations follow one another in number and time. They were added after the
/// digests were taken.
fn generations<R: Restore>(restored: &Restored<R>, snapshot: &Snapshot) -> anyhow::Result<()> {
    check_count("generations", restored.generations.len(), snapshot.generations_wanted)?;
    let frozen = restored.totals().entries - restored.generations.len();
    let mut left = snapshot.times.left;
    for (index, generation) in restored.generations.iter().enumerate() {
        ensure!(
            generation.number == index as u64 + 1
                && generation.entries == (frozen + index) as u64
                && generation.entered >= left
                && generation.claimed >= generation.entered,
            "generation {} does not follow the previous one: {generation:?}",
            index + 1
        );
        left = generation.left;
    }
    Ok(())
}

fn check_count(what: &str, found: usize, expected: u64) -> anyhow::Result<()> {
    ensure!(
        found as u64 == expected,
        "the digest can't match: {found} {what} were found, but {expected} were handed over"
    );
    Ok(())
}

fn check_digest(what: &str, found: u64, expected: u64) -> anyhow::Result<()> {
    ensure!(
        found == expected,
        "the digest of the {what} is {found:#018x}, but was {expected:#018x} before the handover"
    );
    Ok(())
}
