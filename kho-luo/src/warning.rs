//! What is no fault in what LUO handed over, and should not pass unseen.

use kho_block::PhysAddr;
use thiserror::Error;

use crate::abi::FILE_HANDLERS;
use crate::error::{Part, StateError};
use crate::name::{Compatible, SessionName};

/// Something in what LUO handed over that may be right, and that the next kernel may make nothing
/// good of.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Warning {
    /// Files have a handler that Linux 7.2 and 7.3 [do not have](FILE_HANDLERS). If the next kernel
    /// does not have it either, `/dev/liveupdate` can't be opened (`EIO`), and all sessions are lost.
    ///
    /// One warning a handler.
    #[error(
        "the handler \"{compatible}\", of file {file} of session {session} \"{name}\", is none that \
         this crate knows of (\"{}\"): without it, all sessions are lost",
        FILE_HANDLERS.join("\", \"")
    )]
    UnknownHandler {
        /// Name of the handler.
        compatible: Compatible,
        /// Number of the first session that has such a file, from 0.
        session: usize,
        /// Its name.
        name: SessionName,
        /// Number of the first such file in it, from 0.
        file: usize,
    },
    /// A block has room left, though another one follows. Linux fills each block before the next, so
    /// its count may be wrong. The kernel goes by the count: entries that are not counted are lost
    /// without a word, if they are sessions.
    #[error(
        "block {position} of {part}, at {addr}, holds {count} entries and not {max}, though another \
         block follows: Linux does not write it so"
    )]
    ShortBlock {
        /// Address of the block.
        addr: PhysAddr,
        /// What it is part of.
        part: Part,
        /// Its position in its chain, from 0.
        position: usize,
        /// How many entries it holds.
        count: usize,
        /// How many fit.
        max: usize,
    },
    /// The search has found another root, and it has sessions too. Of the roots, the one of the highest
    /// number of live updates was read: in the memory of a kernel that is up, that is the one it
    /// prepares, which has no sessions yet.
    #[error(
        "there is another root of LUO's, at {addr}, of live update {liveupdate_num}, with sessions at \
         {sessions}"
    )]
    OlderRoot {
        /// Address of the root.
        addr: PhysAddr,
        /// Its number of live updates.
        liveupdate_num: u64,
        /// Address of its first block of sessions.
        sessions: PhysAddr,
    },
    /// The search has passed over a device tree of KHO's, or a root of LUO's, of another version. It
    /// may be the one that counts.
    #[error("passed over: {0}")]
    OtherVersion(Box<StateError>),
    /// There are more warnings than are kept, none of them worse than those that are.
    #[error("{count} more warnings")]
    More {
        /// How many.
        count: usize,
    },
}
