//! Processes as live objects, and their conversion to entries and back.

use anyhow::Context as _;
use kho_block::{SetHead, text};

use crate::entries::{Mapping, OpenFile, Process};

/// A process with its files and mappings. The fields are those of [`Process`].
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct LiveProcess {
    /// Process id.
    pub pid: i32,
    /// Process id of the parent.
    pub parent: i32,
    /// Start of the process, in clock ticks since boot.
    pub start_time: u64,
    /// Memory in use, in bytes.
    pub resident_bytes: u64,
    /// Size of the address space in use, in bytes.
    pub virtual_bytes: u64,
    /// State, as the letter that `ps` shows.
    pub state: char,
    /// Name of the program.
    pub name: String,
    /// Open files.
    pub files: Vec<LiveFile>,
    /// Mapped memory.
    pub mappings: Vec<LiveMapping>,
}

/// A file that a process has open. The fields are those of [`OpenFile`].
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct LiveFile {
    /// Number of the descriptor.
    pub number: u32,
    /// Flags of `open`.
    pub flags: u32,
    /// Offset in bytes at which the next read starts.
    pub position: u64,
    /// Path, or kind of file, that was opened.
    pub target: String,
}

/// A piece of memory that a process has mapped. The fields are those of [`Mapping`].
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct LiveMapping {
    /// First address.
    pub start: u64,
    /// Address after the last one.
    pub end: u64,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Inode number of the file; 0 for memory without a file.
    pub inode: u64,
    /// Permissions, such as `rwxp`.
    pub permissions: String,
    /// Device of the file, as `major:minor`.
    pub device: String,
    /// Path of the file, or a name such as `[heap]`; may be empty.
    pub path: String,
}

impl LiveProcess {
    /// Returns the entry, with the heads of the sets that hold the files and mappings.
    ///
    /// Texts are cut to their fields, here and in the entries of files and mappings: they are only shown.
    #[inline]
    #[must_use]
    pub fn to_entry(&self, files: SetHead<OpenFile>, mappings: SetHead<Mapping>) -> Process {
        Process {
            pid: self.pid,
            parent: self.parent,
            start_time: self.start_time,
            resident_bytes: self.resident_bytes,
            virtual_bytes: self.virtual_bytes,
            files,
            mappings,
            state: self.state.into(),
            name: text::to_field_truncated(&self.name),
        }
    }

    /// Returns the process that the entries describe.
    ///
    /// # Errors
    /// Returns an error if a text is not UTF-8, or the state is not a character.
    pub fn from_entries<'a>(
        process: &Process,
        files: impl Iterator<Item = &'a OpenFile>,
        mappings: impl Iterator<Item = &'a Mapping>,
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
            mappings: mappings.map(LiveMapping::from_entry).collect::<Result<_, _>>()?,
        })
    }
}

impl LiveFile {
    /// Returns the entry.
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

impl LiveMapping {
    /// Returns the entry.
    #[inline]
    #[must_use]
    pub fn to_entry(&self) -> Mapping {
        Mapping {
            start: self.start,
            end: self.end,
            offset: self.offset,
            inode: self.inode,
            permissions: text::to_field_truncated(&self.permissions),
            device: text::to_field_truncated(&self.device),
            path: text::to_field_truncated(&self.path),
        }
    }

    fn from_entry(mapping: &Mapping) -> anyhow::Result<Self> {
        Ok(Self {
            start: mapping.start,
            end: mapping.end,
            offset: mapping.offset,
            inode: mapping.inode,
            permissions: text(&mapping.permissions)?,
            device: text(&mapping.device)?,
            path: text(&mapping.path)?,
        })
    }
}

fn text(field: &[u8]) -> anyhow::Result<String> {
    Ok(text::from_field(field).context("text is not UTF-8")?.to_owned())
}
