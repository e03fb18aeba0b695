//! kho-block on all cores: sessions are filled in and read by rayon's threads.

use std::os::fd::OwnedFd;

use kho_block::{SealedMemfd, SetView};
use rayon::prelude::*;

use super::blocks::{Blocks, SessionEntry, hand_over, head};
use super::{Digest, Format, LiveSession, Session};

/// kho-block with rayon.
pub struct ParallelBlocks;

impl Format<LiveSession> for ParallelBlocks {
    const NAME: &'static str = "kho-block, rayon";

    type Prepared = <Blocks as Format<LiveSession>>::Prepared;

    type Rest = ();

    fn prepare(live: &[LiveSession], len: Option<u64>) -> anyhow::Result<Self::Prepared> {
        Blocks::prepare(live, len)
    }

    fn freeze(
        (memory, mut set): Self::Prepared,
        live: &[LiveSession],
    ) -> anyhow::Result<(OwnedFd, ())> {
        set.par_extend(live.par_iter().map(|session| SessionEntry::from(session.to_session())))?;
        Ok((hand_over(memory, set)?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let sessions = SetView::restore(file, head::<SessionEntry>(file)?)?;
        let add = |mut digest: Digest, entry: &SessionEntry| {
            Session::from(entry).add_to(&mut digest);
            digest
        };
        Ok(sessions.par_iter().fold(Digest::default, add).reduce(Digest::default, Digest::and))
    }
}
