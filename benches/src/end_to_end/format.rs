//! The interface of a format, and the timing of one crossing.

use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use kho_block::SealedMemfd;

use super::Digest;

/// A way to bring live objects of a type across.
pub trait Format<Live> {
    /// Name in results.
    const NAME: &'static str;

    /// Buffers and files made by [`prepare`](Self::prepare), before the freeze.
    type Prepared;

    /// Buffers that are left when the file is written. Freeing them is not timed.
    type Rest;

    /// Prepares to write. If the length of the file is known, memory of that length is allocated
    /// too.
    ///
    /// # Errors
    /// If a system call fails or memory is short.
    fn prepare(live: &[Live], len: Option<u64>) -> anyhow::Result<Self::Prepared>;

    /// Writes everything and returns the sealed file.
    ///
    /// # Errors
    /// If a system call fails or memory is short.
    fn freeze(prepared: Self::Prepared, live: &[Live]) -> anyhow::Result<(OwnedFd, Self::Rest)>;

    /// Checks the file and reads every entry.
    ///
    /// # Errors
    /// If the bytes are not valid in this format.
    fn read(file: &SealedMemfd) -> anyhow::Result<Digest>;
}

/// A digest of what one crossing read, and the times of its parts. Freeing the file and the buffers
/// is not timed.
#[derive(Clone, Copy, Debug)]
pub struct Crossing {
    /// Time until everything was ready for the freeze.
    pub prepare: Duration,
    /// Time from there until the descriptor was ready for the successor.
    pub freeze: Duration,
    /// Time from there until the successor had read every entry.
    pub read: Duration,
    /// Digest of what the successor read.
    pub digest: Digest,
    /// Length of the file in bytes.
    pub len: u64,
}

/// Brings live objects across once.
///
/// # Errors
/// If the format reports an error.
pub fn cross<Live, F: Format<Live>>(live: &[Live], len: Option<u64>) -> anyhow::Result<Crossing> {
    let start = Instant::now();
    let prepared = F::prepare(black_box(live), len)?;
    let prepare = start.elapsed();

    let start = Instant::now();
    let (fd, rest) = F::freeze(prepared, black_box(live))?;
    let freeze = start.elapsed();

    let start = Instant::now();
    let file = SealedMemfd::open(fd)?;
    let digest = black_box(F::read(black_box(&file))?);
    let read = start.elapsed();

    drop(rest);
    let len = file.as_bytes().len() as u64;
    Ok(Crossing { prepare, freeze, read, digest, len })
}
