//! One run as CSV, to be compared with later ones.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::footprint::Footprint;
use crate::run::Run;

#[derive(Serialize)]
struct Row<'a> {
    workload: &'a str,
    entry_bytes: &'a str,
    entries: usize,
    contender: &'a str,
    /// Of the next three: nanoseconds of an iteration, or bytes a block.
    unit: &'a str,
    median: f64,
    q1: f64,
    q3: f64,
    /// How many elements an iteration handles.
    elements: u64,
    samples: usize,
}

/// Writes a row for each measurement.
///
/// # Errors
/// The file can't be written.
pub(crate) fn write(path: &Path, run: &Run, footprints: &[Footprint]) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut writer = csv::Writer::from_path(path)?;
    for measurement in &run.measurements {
        let tenths = |ns: f64| (ns * 10.0).round() / 10.0;
        writer.serialize(Row {
            workload: &measurement.group.workload,
            entry_bytes: &measurement.group.entry_bytes,
            entries: measurement.group.entries,
            contender: &measurement.contender,
            unit: "ns",
            median: tenths(measurement.time.median),
            q1: tenths(measurement.time.q1),
            q3: tenths(measurement.time.q3),
            elements: measurement.elements,
            samples: measurement.samples,
        })?;
    }
    for footprint in footprints {
        let bytes = footprint.bytes_per_block();
        writer.serialize(Row {
            workload: footprint.workload,
            entry_bytes: "32",
            entries: footprint.entries,
            contender: footprint.contender,
            unit: "bytes a block",
            median: bytes,
            q1: bytes,
            q3: bytes,
            elements: footprint.blocks as u64,
            samples: 1,
        })?;
    }
    Ok(writer.flush()?)
}
