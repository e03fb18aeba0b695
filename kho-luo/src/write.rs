//! Writes sessions, files and global objects as LUO hands them over.

use std::collections::{HashMap, HashSet};

use kho_block::{BlockMemory, BlockSet, ReserveError, SetHead};
use thiserror::Error;

use crate::abi::{FlbHeader, LuoFile, LuoFlb, LuoSession, flb_capacity};
use crate::name::{NameError, SessionName};
use crate::report::readable_debug;

/// The error of writing sessions with [`write_sessions`]. All allocated blocks have been freed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum WriteSessionsError {
    /// Two sessions have the same name.
    #[error("two sessions are named \"{name}\"")]
    DuplicateName {
        /// The name of both sessions.
        name: SessionName,
    },
    /// Two files of a session have the same token.
    #[error("two files of session \"{session}\" have the token {token:#x}")]
    DuplicateToken {
        /// The name of the session.
        session: SessionName,
        /// The token of both files.
        token: u64,
    },
    /// The name of a file's handler is empty or not terminated.
    #[error("the handler of file {file} of session \"{session}\": {error}")]
    Compatible {
        /// The name of the session.
        session: SessionName,
        /// The index of the file, from 0.
        file: usize,
        /// What is wrong with the name.
        error: NameError,
    },
    /// No blocks can be allocated for the files of a session.
    #[error("the files of session \"{session}\": {error}")]
    Files {
        /// The name of the session.
        session: SessionName,
        /// Why the allocation failed.
        error: ReserveError,
    },
    /// No blocks can be allocated for the sessions.
    #[error("the sessions: {0}")]
    Sessions(ReserveError),
}

/// Writes sessions and their files as LUO does, and hands over the blocks that hold them.
///
/// To let the new kernel or [`LuoState::read`](crate::LuoState::read) find them, store the head
/// that is returned in [`LuoRoot::sessions`](crate::LuoRoot::sessions).
///
/// The blocks for the files of the first session are allocated first, then those for the files of
/// the second, and so on. The blocks for the sessions come last. A
/// [`PageMemory`](kho_block::PageMemory) gives its pages out in the order in which they were added,
/// so it decides where each block is.
///
/// ```
/// use kho_block::{HeapMemory, PhysAddr};
/// use kho_luo::{CompatibleName, LuoFile, LuoRoot, SessionName, write_sessions};
///
/// let memfd = CompatibleName::new("memfd-v2")?;
/// let files = [LuoFile::new(memfd, 0x6a_0000, 7), LuoFile::new(memfd, 0x6a_3000, 8)];
/// let memory = HeapMemory::new();
/// let sessions = [(SessionName::new("vm1")?, &files[..]), (SessionName::new("empty")?, &[])];
/// let root = LuoRoot::new(1, write_sessions(&memory, sessions)?, PhysAddr::NULL);
/// # let _ = root;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Returns an error if two sessions have the same name, two files of a session have the same token,
/// the name of a handler is invalid, or the memory has too few blocks. Nothing has been written
/// then.
pub fn write_sessions<'f, M: BlockMemory>(
    memory: &M,
    sessions: impl IntoIterator<Item = (SessionName, &'f [LuoFile])>,
) -> Result<SetHead<LuoSession>, WriteSessionsError> {
    let mut names = HashSet::new();
    // The sets stay owned until everything is written: on an error, dropping them frees their
    // blocks.
    let mut written: Vec<(SessionName, BlockSet<LuoFile, &M>)> = Vec::new();
    for (session, files) in sessions {
        if !names.insert(session) {
            return Err(WriteSessionsError::DuplicateName { name: session });
        }
        check_files(session, files)?;
        let mut set = BlockSet::new_in(memory);
        set.writer()
            .extend_from_slice(files)
            .map_err(|error| WriteSessionsError::Files { session, error })?;
        written.push((session, set));
    }
    let mut set = BlockSet::new_in(memory);
    let entries: Vec<LuoSession> = written
        .iter()
        .map(|(name, files)| LuoSession::new(*name, files.head(), files.len() as u64))
        .collect();
    set.writer().extend_from_slice(&entries).map_err(WriteSessionsError::Sessions)?;
    for (_, files) in written {
        let _ = files.hand_over(); // The head is in the session's entry.
    }
    Ok(set.hand_over())
}

fn check_files(session: SessionName, files: &[LuoFile]) -> Result<(), WriteSessionsError> {
    let mut tokens = HashSet::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let LuoFile { token, .. } = *file;
        if !tokens.insert(token) {
            return Err(WriteSessionsError::DuplicateToken { session, token });
        }
        file.compatible().map_err(|error| WriteSessionsError::Compatible {
            session,
            file: index,
            error,
        })?;
    }
    Ok(())
}

/// The error of writing global objects with [`write_flbs`]. The pages have not been changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum WriteFlbsError {
    /// The length of the buffer is not a multiple of the page size, or is 0.
    #[error("{len} bytes are not a whole number of pages")]
    Length {
        /// The length of the buffer in bytes.
        len: usize,
    },
    /// More objects were given than fit in the pages.
    #[error("{count} objects were given, but at most {max} fit")]
    TooMany {
        /// The number of objects.
        count: usize,
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
    /// Two objects have the same name.
    #[error("object {index} has the name of object {first}")]
    Duplicate {
        /// The index of the second object, from 0.
        index: usize,
        /// The index of the first object with this name.
        first: usize,
    },
    /// No file depends on an object, so it must not be handed over.
    #[error("no file depends on object {index}")]
    Unused {
        /// The index of the object, from 0.
        index: usize,
    },
}

readable_debug!(WriteSessionsError, WriteFlbsError);

/// Writes global objects as LUO does, into contiguous pages. Linux 7.2 uses one page.
///
/// To let the new kernel or [`LuoState::read`](crate::LuoState::read) find them, store the address
/// of the pages in [`LuoRoot::flbs`](crate::LuoRoot::flbs).
///
/// ```
/// use kho_luo::{CompatibleName, LuoFlb, write_flbs};
///
/// let mut page = [0xff; 4096];
/// write_flbs(&mut page, 4096, &[LuoFlb::new(CompatibleName::new("iommu-v1")?, 0x70_0000, 3)])?;
/// assert_eq!(page[8..16], 1_u64.to_ne_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Returns an error if `pages` is not a whole number of pages, the objects don't fit, a name is
/// invalid or used twice, or no file depends on one of the objects. Nothing has been written then.
pub fn write_flbs(
    pages: &mut [u8],
    page_size: usize,
    flbs: &[LuoFlb],
) -> Result<(), WriteFlbsError> {
    let len = pages.len();
    if len == 0 || page_size < size_of::<FlbHeader>() || !len.is_multiple_of(page_size) {
        return Err(WriteFlbsError::Length { len });
    }
    let page_count = len / page_size;
    let max = flb_capacity(page_count, page_size);
    if flbs.len() > max {
        return Err(WriteFlbsError::TooMany { count: flbs.len(), max });
    }
    let mut names = HashMap::new();
    for (index, flb) in flbs.iter().enumerate() {
        let name = flb.name().map_err(|error| WriteFlbsError::Name { index, error })?;
        if let Some(first) = names.insert(name, index) {
            return Err(WriteFlbsError::Duplicate { index, first });
        }
        if flb.count == 0 {
            return Err(WriteFlbsError::Unused { index });
        }
    }
    let header = FlbHeader { page_count: page_count as u64, count: flbs.len() as u64 };
    let header = bytemuck::bytes_of(&header);
    let entries: &[u8] = bytemuck::cast_slice(flbs);
    pages.fill(0);
    pages[..header.len()].copy_from_slice(header);
    pages[header.len()..][..entries.len()].copy_from_slice(entries);
    Ok(())
}
