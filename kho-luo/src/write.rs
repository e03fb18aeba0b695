//! Writing what LUO hands over.

use std::collections::{HashMap, HashSet};

use kho_block::{BlockMemory, BlockSet, ReserveError, SetHead};
use thiserror::Error;

use crate::abi::{FlbHeader, LuoFile, LuoFlb, LuoSession, flb_capacity};
use crate::name::{NameError, SessionName};

/// Sessions could not be written. Nothing was: every block that had been allocated is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Two sessions have one name.
    #[error("two sessions are named \"{name}\"")]
    DuplicateName {
        /// The name.
        name: SessionName,
    },
    /// Two files of a session have one token.
    #[error("two files of session \"{session}\" have the token {token:#x}")]
    DuplicateToken {
        /// Name of the session.
        session: SessionName,
        /// The token.
        token: u64,
    },
    /// The name of a file's handler is empty or has no end.
    #[error("the handler of file {file} of session \"{session}\": {error}")]
    Compatible {
        /// Name of the session.
        session: SessionName,
        /// Number of the file, from 0.
        file: usize,
        /// What is wrong with the name.
        error: NameError,
    },
    /// There are too few blocks for a session's files.
    #[error("the files of session \"{session}\": {error}")]
    Files {
        /// Name of the session.
        session: SessionName,
        /// What was missing.
        error: ReserveError,
    },
    /// There are too few blocks for the sessions.
    #[error("the sessions: {0}")]
    Sessions(ReserveError),
}

/// Writes sessions and their files as LUO does, and hands the blocks over: the next kernel, or
/// [`LuoState::read`](crate::LuoState::read), finds them if the head is stored in
/// [`LuoRoot::sessions`](crate::LuoRoot::sessions).
///
/// Blocks are allocated for the files of the first session, then for those of the second, and so on,
/// last for the sessions. So a [`PageMemory`](crate::PageMemory) decides where each one is.
///
/// ```
/// use kho_block::{HeapMemory, PhysAddr, SetView};
/// use kho_luo::{Compatible, LuoFile, SessionName, write_sessions};
///
/// let memfd = Compatible::new("memfd-v2")?;
/// let files = [LuoFile::new(memfd, 0x6a_0000, 7), LuoFile::new(memfd, 0x6a_3000, 8)];
/// let memory = HeapMemory::new();
/// let sessions = [(SessionName::new("vm1")?, &files[..]), (SessionName::new("empty")?, &[])];
/// let head = write_sessions(&memory, sessions)?;
/// # let _ = head;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Two sessions have one name or two files of a session one token, the name of a handler is not one,
/// or the memory has too few blocks. Then nothing was written.
pub fn write_sessions<'f, M: BlockMemory>(
    memory: &M,
    sessions: impl IntoIterator<Item = (SessionName, &'f [LuoFile])>,
) -> Result<SetHead<LuoSession>, WriteError> {
    let mut names = HashSet::new();
    // Owned until all is written: a set that is dropped gives its blocks back.
    let mut written: Vec<(SessionName, BlockSet<LuoFile, &M>)> = Vec::new();
    for (session, files) in sessions {
        if !names.insert(session) {
            return Err(WriteError::DuplicateName { name: session });
        }
        check_files(session, files)?;
        let mut set = BlockSet::new_in(memory);
        set.writer()
            .extend_from_slice(files)
            .map_err(|error| WriteError::Files { session, error })?;
        written.push((session, set));
    }
    let mut set = BlockSet::new_in(memory);
    let entries: Vec<LuoSession> = written
        .iter()
        .map(|(name, files)| LuoSession::new(*name, files.head(), files.len() as u64))
        .collect();
    set.writer().extend_from_slice(&entries).map_err(WriteError::Sessions)?;
    for (_, files) in written {
        let _ = files.hand_over(); // The head is in the entry.
    }
    Ok(set.hand_over())
}

fn check_files(session: SessionName, files: &[LuoFile]) -> Result<(), WriteError> {
    let mut tokens = HashSet::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let LuoFile { token, .. } = *file;
        if !tokens.insert(token) {
            return Err(WriteError::DuplicateToken { session, token });
        }
        file.compatible().map_err(|error| WriteError::Compatible {
            session,
            file: index,
            error,
        })?;
    }
    Ok(())
}

/// Global objects could not be written. The pages are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlbWriteError {
    /// The bytes are not a whole number of pages, at least one.
    #[error("{len} bytes are not a number of pages")]
    Length {
        /// How many bytes there are.
        len: usize,
    },
    /// There are more objects than fit.
    #[error("{count} objects are too many: {max} fit")]
    TooMany {
        /// How many there are.
        count: usize,
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
    /// Two objects have one name.
    #[error("object {index} has the name of object {first}")]
    Duplicate {
        /// Number of the object, from 0.
        index: usize,
        /// Number of the object that has the name first.
        first: usize,
    },
    /// No file depends on an object.
    #[error("no file depends on object {index}")]
    Unused {
        /// Number of the object, from 0.
        index: usize,
    },
}

/// Writes global objects into pages that follow one another: one, as Linux 7.2 makes it, or more.
///
/// ```
/// use kho_luo::{Compatible, LuoFlb, write_flbs};
///
/// let mut page = [0xff; 4096];
/// write_flbs(&mut page, 4096, &[LuoFlb::new(Compatible::new("iommu-v1")?, 0x70_0000, 3)])?;
/// assert_eq!(page[8..16], 1_u64.to_ne_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// They are not whole pages, the objects don't fit, two have one name, or one should not be there.
pub fn write_flbs(
    pages: &mut [u8],
    page_size: usize,
    flbs: &[LuoFlb],
) -> Result<(), FlbWriteError> {
    let len = pages.len();
    if len == 0 || page_size < size_of::<FlbHeader>() || !len.is_multiple_of(page_size) {
        return Err(FlbWriteError::Length { len });
    }
    let page_count = len / page_size;
    let max = flb_capacity(page_count, page_size);
    if flbs.len() > max {
        return Err(FlbWriteError::TooMany { count: flbs.len(), max });
    }
    let mut names = HashMap::new();
    for (index, flb) in flbs.iter().enumerate() {
        let name = flb.name().map_err(|error| FlbWriteError::Name { index, error })?;
        if let Some(first) = names.insert(name, index) {
            return Err(FlbWriteError::Duplicate { index, first });
        }
        if flb.count == 0 {
            return Err(FlbWriteError::Unused { index });
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
