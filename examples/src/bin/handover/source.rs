//! What is to be preserved, and digests of it.
//!
//! The digest is taken of live objects, on both sides: an error in the conversion shows as well as
//! one in the blocks. The derived `Hash` will do, since predecessor and successor are the same program;
//! between versions, write out what is hashed.

use std::hash::Hash;

use kho_examples::entries::Missed;
use kho_examples::live::LiveProcess;
use xxhash_rust::xxh3::Xxh3;

use crate::entries::Synthetic;
use crate::progress::Progress;

/// All that the predecessor has to hand over.
pub(crate) struct Source {
    pub(crate) processes: Vec<LiveProcess>,
    pub(crate) missed: Missed,
    pub(crate) synthetic_count: u64,
}

/// A digest of processes with all they have, in their order.
#[derive(Default)]
pub(crate) struct ProcessDigest(Xxh3);

impl ProcessDigest {
    pub(crate) fn add(&mut self, process: &LiveProcess) {
        process.hash(&mut self.0);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.digest()
    }
}

impl Source {
    pub(crate) fn process_digest(&self) -> u64 {
        let mut digest = ProcessDigest::default();
        for process in &self.processes {
            digest.add(process);
        }
        digest.finish()
    }

    /// Digest of the synthetic entries, computed from their indices.
    pub(crate) fn synthetic_digest(&self) -> u64 {
        let mut digest = Xxh3::new();
        let mut progress = Progress::new("digest", self.synthetic_count);
        for index in 0..self.synthetic_count {
            progress.at(index);
            digest.update(bytemuck::bytes_of(&Synthetic::new(index)));
        }
        digest.digest()
    }
}
