//! From live objects to a successor that has read every entry, by way of bytes in a memfd: kho-block
//! beside the formats that one would pick instead.
//!
//! The same for all of them: the file is sealed by the predecessor, the successor gets nothing but
//! the descriptor, maps the file as [`SealedMemfd`] does, checks what the format can check, and reads
//! every field of every entry into a [digest](Digest). What each format does is told where it is
//! written; it was the fastest of the sensible ways to use it.
//!
//! What is not the same: kho-block's blocks are in huge pages, which its memory asks for; the files of
//! the others have the pages that a memfd has by itself. [`ZerocopyHuge`] shows the difference.

mod bitcode;
mod blocks;
mod data;
mod digest;
mod flatbuffers;
mod output;
mod postcard;
mod rayon;
mod rkyv;
mod serde;
mod serde_json;
mod zerocopy;

use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use kho_block::SealedMemfd;

pub use bitcode::Bitcode;
pub use blocks::Blocks;
pub use data::{LiveSession, processes, sessions};
pub use digest::{Digest, File, Map, Process, Session};
pub use flatbuffers::Flatbuffers;
pub use output::Output;
pub use postcard::Postcard;
pub use rayon::ParallelBlocks;
pub use rkyv::Rkyv;
pub use serde_json::SerdeJson;
pub use zerocopy::{Zerocopy, ZerocopyHuge};

/// A way to bring live objects of a type across.
pub trait Format<Live> {
    /// What the results call it.
    const NAME: &'static str;

    /// What can be made before the freeze.
    type Prepared;

    /// Buffers that are left when the file is written, to be freed when nobody waits.
    type Rest;

    /// Prepares to write: with the memfd. Where it is told how long the file is going to be, it also
    /// allocates that much.
    ///
    /// # Errors
    /// A system call failed, or memory is short.
    fn prepare(live: &[Live], len: Option<u64>) -> anyhow::Result<Self::Prepared>;

    /// Writes everything and gives out the file, sealed.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare).
    fn freeze(prepared: Self::Prepared, live: &[Live]) -> anyhow::Result<(OwnedFd, Self::Rest)>;

    /// Checks the file and reads every entry.
    ///
    /// # Errors
    /// The bytes are not what this format writes.
    fn read(file: &SealedMemfd) -> anyhow::Result<Digest>;
}

/// How long each part of one crossing took. To free the file and the buffers counts nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Crossing {
    /// Until everything was ready for the freeze.
    pub prepare: Duration,
    /// From there until the descriptor was ready for the successor.
    pub freeze: Duration,
    /// From there until the successor had read every entry.
    pub read: Duration,
    /// What the successor read.
    pub digest: Digest,
    /// Length of the file.
    pub len: u64,
}

/// Brings `live` across once.
///
/// # Errors
/// Those of the format.
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

#[cfg(test)]
mod tests;
