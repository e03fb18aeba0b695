//! The live objects that cross.

use anyhow::{Context as _, ensure};
use kho_examples::live::LiveProcess;
use kho_examples::proc_table;

use super::digest::Session;

/// A session as a program would have it: 32 bytes, not the entry that it becomes.
#[derive(Clone, Debug, bitcode::Encode, rkyv::Archive, rkyv::Serialize, serde::Serialize)]
pub struct LiveSession {
    /// Its number.
    pub id: u64,
    /// Whose it is.
    pub owner: u64,
    /// When it ends, in nanoseconds.
    pub expires: u64,
    /// Its flags.
    pub flags: u64,
}

impl LiveSession {
    /// The fields of the entry.
    #[inline]
    pub(super) fn to_session(&self) -> Session {
        let Self { id, owner, expires, flags } = *self;
        Session { id, owner, expires, flags }
    }
}

/// As many sessions, the same ones every time. Numbers are large and small, for some formats take
/// fewer bytes for small ones.
#[must_use]
pub fn sessions(count: usize) -> Vec<LiveSession> {
    (0..count as u64)
        .map(|id| LiveSession {
            id,
            owner: id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40,
            expires: 1_700_000_000_000_000_000 + id * 1_000_003,
            flags: id & 7,
        })
        .collect()
}

/// A table of as many processes: those of this machine that have files and maps, one after the other
/// and from the start again, each with an id of its own. Read it once for all that is to be compared.
///
/// # Errors
/// The process table can't be read.
pub fn processes(count: usize) -> anyhow::Result<Vec<LiveProcess>> {
    let (mut found, _) = proc_table::read().context("can't read the process table")?;
    found.retain(|process| !process.files.is_empty() && !process.maps.is_empty());
    ensure!(!found.is_empty(), "no process has files and maps that may be seen");
    let repeated = (1..).zip(found.iter().cycle()).take(count);
    Ok(repeated.map(|(pid, process)| LiveProcess { pid, ..process.clone() }).collect())
}
