//! What can be wrong with the state that LUO handed over.

use core::fmt;

use kho_block::{PhysAddr, ReadErrorKind, RestoreError};
use thiserror::Error;

use crate::abi::LUO_COMPATIBLE;
use crate::name::{CompatibleName, NameError, SessionName};
use crate::report::readable_debug;
use crate::tree::KhoTreeError;

/// A fault in the state that LUO handed over.
///
/// [`severity`](Self::severity) tells how the new kernel reacts to it. Faults that the kernel does
/// not notice are marked.
#[derive(Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum StateError {
    /// KHO's device tree does not lead to LUO's root.
    #[error(transparent)]
    Tree(#[from] KhoTreeError),
    /// The search found no KHO device tree that leads to a root of the supported version.
    #[error(
        "no KHO device tree from {start:#x} to {end:#x} leads to LUO's root{}",
        PassedOver(passed_over)
    )]
    NotFound {
        /// The address at which the search began.
        start: u64,
        /// The address at which the search ended.
        end: u64,
        /// Why the trees and roots that were found were not used, for example because their version
        /// is not supported. At most the first few.
        passed_over: Vec<StateError>,
    },
    /// The root is wrong.
    #[error("LUO's root at {addr}: {kind}")]
    Root {
        /// The address of the root.
        addr: PhysAddr,
        /// What is wrong with the root.
        kind: RootErrorKind,
    },
    /// The chain of sessions is wrong.
    #[error("the sessions: {0}")]
    Sessions(RestoreError),
    /// A session is wrong.
    #[error("session {index}{}: {kind}", Named(.name))]
    Session {
        /// The index of the session, from 0.
        index: usize,
        /// The session's name, unless the name is what is wrong.
        name: Option<Box<SessionName>>,
        /// What is wrong with the session.
        kind: SessionErrorKind,
    },
    /// The global objects are wrong.
    #[error("the global objects at {addr}: {kind}")]
    Flbs {
        /// The address of the header of the global objects.
        addr: PhysAddr,
        /// What is wrong with the global objects.
        kind: FlbErrorKind,
    },
    /// A block belongs to two parts of the state. The kernel does not notice, and frees it twice.
    #[error("the block at {addr} belongs both to {first} and to {second}")]
    Shared {
        /// The address of the block.
        addr: PhysAddr,
        /// The part in which the block was found first.
        first: StatePart,
        /// The other part to which the block belongs.
        second: StatePart,
    },
    /// KHO does not preserve a page: the new kernel treats it as free memory and may overwrite it,
    /// even before it has read the page.
    #[error("the page at {addr}, which belongs to {part}, is not preserved")]
    NotPreserved {
        /// The address of the page.
        addr: PhysAddr,
        /// The part of the state to which the page belongs.
        part: StatePart,
    },
    /// An entry can't be read, although the header of its block can.
    #[error("the entry at {addr}, which belongs to {part}: {kind}")]
    Unreadable {
        /// The address at which the failed read began.
        addr: PhysAddr,
        /// The part of the state to which the entry belongs.
        part: StatePart,
        /// Why the read failed.
        kind: ReadErrorKind,
    },
    /// The state has more blocks than this crate reads.
    #[error("the state has more than {limit} blocks")]
    TooLarge {
        /// The largest number of blocks that are read.
        limit: usize,
    },
    /// More faults were found than are listed. They are no worse than the listed ones.
    #[error("{count} more faults")]
    More {
        /// The number of faults that are not listed.
        count: usize,
    },
}

readable_debug!(StateError);

/// A part of LUO's state, to which a block or page belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatePart {
    /// LUO's root.
    Root,
    /// The chain of sessions.
    Sessions,
    /// The chain of a session's files.
    Files {
        /// The index of the session, from 0.
        session: usize,
    },
    /// The pages of global objects.
    Flbs,
}

impl fmt::Display for StatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("LUO's root"),
            Self::Sessions => f.write_str("the sessions"),
            Self::Files { session } => write!(f, "the files of session {session}"),
            Self::Flbs => f.write_str("the global objects"),
        }
    }
}

/// Shows `; skipped: ` and the errors, or nothing if there are none.
struct PassedOver<'a>(&'a [StateError]);

impl fmt::Display for PassedOver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "; skipped: " } else { "; " })?;
        }
        Ok(())
    }
}

/// Shows ` "name"`, or nothing if there is no name.
struct Named<'a>(&'a Option<Box<SessionName>>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, " \"{name}\""),
            None => Ok(()),
        }
    }
}

/// What is wrong with LUO's root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RootErrorKind {
    /// The address of the root is null.
    #[error("the address is null")]
    Null,
    /// The root is not at the start of a page. The kernel does not notice.
    #[error("not at the start of a page")]
    Misaligned,
    /// The root can't be read.
    #[error("{0}")]
    Unreadable(ReadErrorKind),
    /// The version of the root is not supported, or there is no root at this address.
    #[error(
        "its version is \"{}\", but this crate supports \"{LUO_COMPATIBLE}\"",
        until_zero(found).escape_ascii()
    )]
    Incompatible {
        /// The version that was found.
        found: [u8; 8],
    },
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// What is wrong with a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum SessionErrorKind {
    /// The session's name is empty or not terminated. The kernel accepts an empty name and
    /// truncates one that is not terminated.
    #[error("{0}")]
    Name(NameError),
    /// An earlier session has the same name.
    #[error("session {first} has the same name")]
    Duplicate {
        /// The index of the first session with this name.
        first: usize,
    },
    /// The chain of the session's files is wrong.
    #[error("its files: {0}")]
    Files(RestoreError),
    /// The session's count of files is wrong. If there are no files, the kernel only warns.
    #[error("its file count is {counted}, but it has {found} files")]
    Count {
        /// The count in the session's entry.
        counted: u64,
        /// The number of files in the chain.
        found: usize,
    },
    /// One of the session's files is wrong.
    #[error("file {file}: {kind}")]
    File {
        /// The index of the file, from 0.
        file: usize,
        /// What is wrong with the file.
        kind: FileErrorKind,
    },
}

/// What is wrong with a file of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum FileErrorKind {
    /// The name of the file's handler is empty or not terminated.
    #[error("its handler: {0}")]
    Compatible(NameError),
    /// An earlier file of the session has the same token. The kernel does not notice, and the
    /// second file can't be retrieved.
    #[error("file {first} has the same token, {token:#x}")]
    DuplicateToken {
        /// The token of both files.
        token: u64,
        /// The index of the first file with this token.
        first: usize,
    },
    /// The file is a memfd, and KHO does not preserve the page that describes it.
    #[error("the page at {addr}, which describes it, is not preserved")]
    NotPreserved {
        /// The address of the page.
        addr: PhysAddr,
    },
}

/// What is wrong with the global objects.
///
/// The kernel does not check them at boot. It may notice when a file that depends on one is
/// retrieved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum FlbErrorKind {
    /// The header of the global objects is not at the start of a page.
    #[error("not at the start of a page")]
    Misaligned,
    /// Some bytes of the global objects can't be read.
    #[error("{0}")]
    Unreadable(ReadErrorKind),
    /// The page count in the header is 0 or more than 10,000.
    #[error("the page count in the header is {page_count}")]
    PageCount {
        /// The page count in the header.
        page_count: u64,
    },
    /// The object count in the header is more than fits in the pages.
    #[error("the object count in the header is {count}, but at most {max} fit")]
    TooMany {
        /// The object count in the header.
        count: u64,
        /// The largest number of objects that fit.
        max: usize,
    },
    /// The name of an object is empty or not terminated.
    #[error("object {index}: {error}")]
    Name {
        /// The index of the object, from 0.
        index: usize,
        /// What is wrong with the name.
        error: NameError,
    },
    /// An earlier object has the same name.
    #[error("object {index} \"{name}\": object {first} has the same name")]
    Duplicate {
        /// The index of the object, from 0.
        index: usize,
        /// The name of both objects.
        name: CompatibleName,
        /// The index of the first object with this name.
        first: usize,
    },
    /// No file depends on an object, so the kernel should not have handed it over.
    #[error("object {index} \"{name}\": no file depends on it")]
    Unused {
        /// The index of the object, from 0.
        index: usize,
        /// The name of the object.
        name: CompatibleName,
    },
}

readable_debug!(RootErrorKind, SessionErrorKind, FileErrorKind, FlbErrorKind);
