//! The processes as live objects, and how they become entries and come back.
//!
//! With the feature `formats` they can also be written in other formats, which the benches compare.

use anyhow::Context as _;
use kho_block::{SetHead, text};

use crate::entries::{MemoryMap, OpenFile, Process};

/// A process, with all it has. Its fields are those of [`Process`].
#[derive(Clone, Debug, PartialEq, Hash)]
#[cfg_attr(
    feature = "formats",
    derive(bitcode::Encode, rkyv::Archive, rkyv::Serialize, serde::Serialize)
)]
pub struct LiveProcess {
    /// Its id.
    pub pid: i32,
    /// The id of its parent.
    pub parent: i32,
    /// Clock ticks from boot to its start.
    pub start_time: u64,
    /// Memory that it has.
    pub resident_bytes: u64,
    /// Addresses that it has.
    pub virtual_bytes: u64,
    /// The letter that `ps` shows.
    pub state: char,
    /// What it is called.
    pub name: String,
    /// What it has open.
    pub files: Vec<LiveFile>,
    /// What it has mapped.
    pub maps: Vec<LiveMap>,
}

/// A file that a process has open. Its fields are those of [`OpenFile`].
#[derive(Clone, Debug, PartialEq, Hash)]
#[cfg_attr(
    feature = "formats",
    derive(bitcode::Encode, rkyv::Archive, rkyv::Serialize, serde::Serialize)
)]
pub struct LiveFile {
    /// Number of the descriptor.
    pub number: u32,
    /// The flags of `open`.
    pub flags: u32,
    /// Where the next read starts.
    pub position: u64,
    /// What was opened.
    pub target: String,
}

/// A range of a process's addresses. Its fields are those of [`MemoryMap`].
#[derive(Clone, Debug, PartialEq, Hash)]
#[cfg_attr(
    feature = "formats",
    derive(bitcode::Encode, rkyv::Archive, rkyv::Serialize, serde::Serialize)
)]
pub struct LiveMap {
    /// Its first address.
    pub start: u64,
    /// The address behind its last.
    pub end: u64,
    /// Where in the file it starts.
    pub offset: u64,
    /// The file's number.
    pub inode: u64,
    /// `rwxp`, as in `/proc`.
    pub permissions: String,
    /// `major:minor`, as in `/proc`.
    pub device: String,
    /// What is mapped; empty for memory without a file.
    pub path: String,
}

impl LiveProcess {
    /// The entry, given where its files and maps went.
    #[inline]
    #[must_use]
    pub fn to_entry(&self, files: SetHead<OpenFile>, maps: SetHead<MemoryMap>) -> Process {
        Process {
            pid: self.pid,
            parent: self.parent,
            start_time: self.start_time,
            resident_bytes: self.resident_bytes,
            virtual_bytes: self.virtual_bytes,
            files,
            maps,
            state: self.state.into(),
            name: text::to_field_truncated(&self.name),
        }
    }

    /// The process that the entries describe.
    ///
    /// # Errors
    /// A text is not UTF-8, or the state is not a character.
    pub fn from_entries<'a>(
        process: &Process,
        files: impl Iterator<Item = &'a OpenFile>,
        maps: impl Iterator<Item = &'a MemoryMap>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            pid: process.pid,
            parent: process.parent,
            start_time: process.start_time,
            resident_bytes: process.resident_bytes,
            virtual_bytes: process.virtual_bytes,
            state: char::from_u32(process.state).context("the state is not a character")?,
            name: text(&process.name)?,
            files: files.map(LiveFile::from_entry).collect::<Result<_, _>>()?,
            maps: maps.map(LiveMap::from_entry).collect::<Result<_, _>>()?,
        })
    }
}

impl LiveFile {
    /// The entry.
    #[inline]
    #[must_use]
    pub fn to_entry(&self) -> OpenFile {
        OpenFile {
            number: self.number,
            flags: self.flags,
            position: self.position,
            target: text::to_field_truncated(&self.target),
        }
    }

    fn from_entry(file: &OpenFile) -> anyhow::Result<Self> {
        Ok(Self {
            number: file.number,
            flags: file.flags,
            position: file.position,
            target: text(&file.target)?,
        })
    }
}

impl LiveMap {
    /// The entry.
    #[inline]
    #[must_use]
    pub fn to_entry(&self) -> MemoryMap {
        MemoryMap {
            start: self.start,
            end: self.end,
            offset: self.offset,
            inode: self.inode,
            permissions: text::to_field_truncated(&self.permissions),
            device: text::to_field_truncated(&self.device),
            path: text::to_field_truncated(&self.path),
        }
    }

    fn from_entry(map: &MemoryMap) -> anyhow::Result<Self> {
        Ok(Self {
            start: map.start,
            end: map.end,
            offset: map.offset,
            inode: map.inode,
            permissions: text(&map.permissions)?,
            device: text(&map.device)?,
            path: text(&map.path)?,
        })
    }
}

fn text(field: &[u8]) -> anyhow::Result<String> {
    Ok(text::from_field(field).context("text is not UTF-8")?.to_owned())
}
