//! What can be wrong with what LUO handed over.

use core::fmt;

use kho_block::{PhysAddr, ReadErrorKind, RestoreError};
use thiserror::Error;

use crate::abi::LUO_COMPATIBLE;
use crate::name::{Compatible, NameError, SessionName};
use crate::tree::TreeError;

/// What LUO handed over is not as it should be.
///
/// What the next kernel makes of it, [`severity`](Self::severity) says. What the kernel does not
/// notice is marked so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StateError {
    /// KHO's device tree does not lead to a root.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// No device tree of KHO's leads to a root that this crate knows.
    #[error(
        "from {start:#x} to {end:#x} no device tree of KHO's leads to a root of LUO's{}",
        PassedOver(passed_over)
    )]
    NotFound {
        /// Where the search began.
        start: u64,
        /// Where it ended.
        end: u64,
        /// What was found and is none, such as trees and roots of other versions: the first few.
        passed_over: Vec<StateError>,
    },
    /// The root is wrong.
    #[error("LUO's root at {addr}: {kind}")]
    Root {
        /// Address of the root.
        addr: PhysAddr,
        /// What is wrong with it.
        kind: RootErrorKind,
    },
    /// The chain of sessions is wrong.
    #[error("the sessions: {0}")]
    Sessions(RestoreError),
    /// A session is wrong.
    #[error("session {index}{}: {kind}", Named(.name))]
    Session {
        /// Number of the session, from 0.
        index: usize,
        /// Its name, unless that is what is wrong.
        name: Option<Box<SessionName>>,
        /// What is wrong with it.
        kind: SessionErrorKind,
    },
    /// The global objects are wrong.
    #[error("the global objects at {addr}: {kind}")]
    Flbs {
        /// Address of their header.
        addr: PhysAddr,
        /// What is wrong with them.
        kind: FlbErrorKind,
    },
    /// One block is part of two things. The kernel does not notice, and frees it twice.
    #[error("the block at {addr} is part of {first}, and of {second}")]
    Shared {
        /// Address of the block.
        addr: PhysAddr,
        /// What it was found to be part of first.
        first: Part,
        /// What else it is part of.
        second: Part,
    },
    /// KHO does not preserve a page: the next kernel takes it for free memory and writes to it, before
    /// or after it has read what was there.
    #[error("the page at {addr}, part of {part}, is not preserved")]
    NotPreserved {
        /// Address of the page.
        addr: PhysAddr,
        /// What it is part of.
        part: Part,
    },
    /// An entry can't be read, though the header of its block can.
    #[error("the entry at {addr}, part of {part}: {kind}")]
    Unreadable {
        /// Where the read began that failed.
        addr: PhysAddr,
        /// What the entry is part of.
        part: Part,
        /// Why it failed.
        kind: ReadErrorKind,
    },
    /// There are more blocks than are read in all.
    #[error("there are more than {limit} blocks in all")]
    TooLarge {
        /// How many would be read.
        limit: usize,
    },
    /// There are more faults than are kept, none of them worse than those that are.
    #[error("{count} more faults")]
    More {
        /// How many.
        count: usize,
    },
}

/// What a block is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// LUO's root.
    Root,
    /// The chain of sessions.
    Sessions,
    /// The chain of a session's files.
    Files {
        /// Number of the session, from 0.
        session: usize,
    },
    /// The pages of global objects.
    Flbs,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("LUO's root"),
            Self::Sessions => f.write_str("the sessions"),
            Self::Files { session } => write!(f, "the files of session {session}"),
            Self::Flbs => f.write_str("the global objects"),
        }
    }
}

/// `; passed over: ` and the errors, or nothing.
struct PassedOver<'a>(&'a [StateError]);

impl fmt::Display for PassedOver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "; passed over: " } else { "; " })?;
        }
        Ok(())
    }
}

/// ` "name"`, or nothing.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RootErrorKind {
    /// Its address is null.
    #[error("the address is null")]
    Null,
    /// It is not at the start of a page. The kernel does not notice.
    #[error("not at the start of a page")]
    Misaligned,
    /// The memory does not have it.
    #[error("{0}")]
    Unreadable(ReadErrorKind),
    /// It is of another version, or no root at all.
    #[error(
        "it is of version \"{}\", where this crate knows \"{LUO_COMPATIBLE}\"",
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionErrorKind {
    /// Its name is empty or has no end. The kernel takes the empty one, and cuts the other short.
    #[error("{0}")]
    Name(NameError),
    /// An earlier session has its name.
    #[error("session {first} has this name, too")]
    Duplicate {
        /// Number of the session that has the name first.
        first: usize,
    },
    /// The chain of its files is wrong.
    #[error("its files: {0}")]
    Files(RestoreError),
    /// It has not as many files as it counts. If it has none, the kernel only warns.
    #[error("it counts {counted} files, and has {found}")]
    Count {
        /// The count in the session's entry.
        counted: u64,
        /// The files in the chain.
        found: usize,
    },
    /// One of its files is wrong.
    #[error("file {file}: {kind}")]
    File {
        /// Number of the file, from 0.
        file: usize,
        /// What is wrong with it.
        kind: FileErrorKind,
    },
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileErrorKind {
    /// The name of its handler is empty or has no end.
    #[error("its handler: {0}")]
    Compatible(NameError),
    /// An earlier file of the session has its token. The kernel does not notice, and the file can't
    /// be retrieved.
    #[error("file {first} has the token {token:#x}, too")]
    DuplicateToken {
        /// The token.
        token: u64,
        /// Number of the file that has it first.
        first: usize,
    },
    /// KHO does not preserve the page that describes the file, a memfd.
    #[error("the page at {addr}, which describes it, is not preserved")]
    NotPreserved {
        /// Address of the page.
        addr: PhysAddr,
    },
}

/// What is wrong with the global objects. The kernel notices none of it when it boots, but only when
/// a file that depends on one is retrieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlbErrorKind {
    /// They are not at the start of a page.
    #[error("not at the start of a page")]
    Misaligned,
    /// The memory does not have them.
    #[error("{0}")]
    Unreadable(ReadErrorKind),
    /// The header counts no page, or more than 10,000.
    #[error("the header counts {page_count} pages")]
    PageCount {
        /// The count.
        page_count: u64,
    },
    /// The header counts more objects than fit.
    #[error("the header counts {count} objects, where at most {max} fit")]
    TooMany {
        /// The count.
        count: u64,
        /// How many fit.
        max: usize,
    },
    /// The name of an object is empty or has no end.
    #[error("object {index}: {error}")]
    Name {
        /// Number of the object, from 0.
        index: usize,
        /// What is wrong with the name.
        error: NameError,
    },
    /// An earlier object has the name.
    #[error("object {index} \"{name}\": object {first} has this name, too")]
    Duplicate {
        /// Number of the object, from 0.
        index: usize,
        /// The name.
        name: Compatible,
        /// Number of the object that has it first.
        first: usize,
    },
    /// No file depends on an object, so that it should not have been handed over.
    #[error("object {index} \"{name}\": no file depends on it")]
    Unused {
        /// Number of the object, from 0.
        index: usize,
        /// The name.
        name: Compatible,
    },
}
