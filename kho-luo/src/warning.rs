//! Warnings of state that is valid, but may fail in the new kernel.

use kho_block::PhysAddr;
use thiserror::Error;

use crate::abi::FILE_HANDLERS;
use crate::error::{StateError, StatePart};
use crate::name::{CompatibleName, SessionName};
use crate::report::readable_debug;

/// Something in LUO's state that is valid, but may be fatal in the new kernel or hint at a fault.
#[derive(Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Warning {
    /// A file has a handler that Linux 7.2 and 7.3 [do not have](FILE_HANDLERS). If the new kernel
    /// does not have it either, `/dev/liveupdate` can't be opened (`EIO`), and all sessions are
    /// lost.
    ///
    /// There is one warning for each such handler.
    #[error(
        "file {file} of session {session} \"{name}\" has the unknown handler \"{compatible}\" (known: \
         \"{}\"): if the new kernel does not have it, all sessions are lost",
        FILE_HANDLERS.join("\", \"")
    )]
    UnknownHandler {
        /// The name of the handler.
        compatible: CompatibleName,
        /// The index of the first session that has such a file, from 0.
        session: usize,
        /// The name of that session.
        name: SessionName,
        /// The index of the first such file in that session, from 0.
        file: usize,
    },
    /// A block other than the last one of its chain is not full.
    ///
    /// Linux fills each block before it links the next, so the block's count may be wrong. The
    /// kernel relies on the count: sessions beyond it are lost silently.
    #[error(
        "block {position} of {part}, at {addr}, has {count} of {max} entries, but another block \
         follows: Linux fills each block before the next"
    )]
    ShortBlock {
        /// The address of the block.
        addr: PhysAddr,
        /// The part of the state to which it belongs.
        part: StatePart,
        /// The position of the block in its chain, from 0.
        position: usize,
        /// The number of entries in the block.
        count: usize,
        /// The number of entries that fit.
        max: usize,
    },
    /// The search found an older root that has sessions, too.
    ///
    /// The root with the highest number of live updates was read. In the memory of a running
    /// kernel, that is the root that the kernel prepares for its successor, which has no sessions
    /// yet.
    #[error(
        "another LUO root, at {addr}, of live update {liveupdate_num}, has sessions at {sessions}"
    )]
    OlderRoot {
        /// The address of the older root.
        addr: PhysAddr,
        /// The number of live updates in the older root.
        liveupdate_num: u64,
        /// The address of the older root's first block of sessions.
        sessions: PhysAddr,
    },
    /// The search skipped a KHO device tree or a LUO root whose version is not supported. It may be
    /// the one that the new kernel uses.
    #[error("skipped: {0}")]
    OtherVersion(Box<StateError>),
    /// There are more warnings than are listed. They are no worse than the listed ones.
    #[error("{count} more warnings")]
    More {
        /// The number of warnings that are not listed.
        count: usize,
    },
}

readable_debug!(Warning);
