//! The objects as plain data: entries of sets, and elements of zerocopy's flat arrays.

use anyhow::Context as _;
use bytemuck::{Pod, Zeroable};
use kho_block::{Entry, SetHead, text};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{LiveProcess, Mapping, OpenFile, Process, Session};

/// A session.
#[derive(
    Clone, Copy, Debug, Pod, Zeroable, Entry, FromBytes, Immutable, IntoBytes, KnownLayout,
)]
#[repr(C)]
#[entry(name = "end-to-end-session", version = 1)]
pub struct SessionEntry {
    id: u64,
    owner: u64,
    expires: u64,
    flags: u64,
}

impl From<&Session> for SessionEntry {
    #[inline]
    fn from(&Session { id, owner, expires, flags }: &Session) -> Self {
        Self { id, owner, expires, flags }
    }
}

impl From<&SessionEntry> for Session {
    #[inline]
    fn from(&SessionEntry { id, owner, expires, flags }: &SessionEntry) -> Self {
        Self { id, owner, expires, flags }
    }
}

/// A process without its files and mappings.
#[derive(
    Clone, Copy, Debug, Pod, Zeroable, Entry, FromBytes, Immutable, IntoBytes, KnownLayout,
)]
#[repr(C)]
#[entry(name = "end-to-end-process", version = 1)]
pub(super) struct ProcessEntry {
    pid: i32,
    parent: i32,
    start_time: u64,
    resident_bytes: u64,
    virtual_bytes: u64,
    state: u32,
    #[entry(text)]
    name: [u8; 68],
}

/// A process with its sets of files and mappings.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "end-to-end-process-with-sets", version = 1)]
pub(super) struct ProcessWithSets {
    pub(super) files: SetHead<OpenFileEntry>,
    pub(super) mappings: SetHead<MappingEntry>,
    pub(super) process: ProcessEntry,
}

impl From<&LiveProcess> for ProcessEntry {
    #[inline]
    fn from(live: &LiveProcess) -> Self {
        Self {
            pid: live.pid,
            parent: live.parent,
            start_time: live.start_time,
            resident_bytes: live.resident_bytes,
            virtual_bytes: live.virtual_bytes,
            state: live.state.into(),
            name: text::to_field_truncated(&live.name),
        }
    }
}

impl ProcessEntry {
    /// Returns the process, without files and mappings.
    #[inline]
    pub(super) fn process(&self) -> anyhow::Result<Process<&str>> {
        Ok(Process {
            pid: self.pid,
            parent: self.parent,
            start_time: self.start_time,
            resident_bytes: self.resident_bytes,
            virtual_bytes: self.virtual_bytes,
            state: char::from_u32(self.state).context("the state is not a character")?,
            name: text::from_field(&self.name)?,
            files: Vec::new(),
            mappings: Vec::new(),
        })
    }
}

/// An open file.
#[derive(
    Clone, Copy, Debug, Pod, Zeroable, Entry, FromBytes, Immutable, IntoBytes, KnownLayout,
)]
#[repr(C)]
#[entry(name = "end-to-end-open-file", version = 1)]
pub(super) struct OpenFileEntry {
    number: u32,
    flags: u32,
    position: u64,
    #[entry(text)]
    target: [u8; 112],
}

impl From<&OpenFile<String>> for OpenFileEntry {
    #[inline]
    fn from(live: &OpenFile<String>) -> Self {
        Self {
            number: live.number,
            flags: live.flags,
            position: live.position,
            target: text::to_field_truncated(&live.target),
        }
    }
}

impl OpenFileEntry {
    /// Returns the file.
    #[inline]
    pub(super) fn open_file(&self) -> anyhow::Result<OpenFile<&str>> {
        Ok(OpenFile {
            number: self.number,
            flags: self.flags,
            position: self.position,
            target: text::from_field(&self.target)?,
        })
    }
}

/// A mapping.
#[derive(
    Clone, Copy, Debug, Pod, Zeroable, Entry, FromBytes, Immutable, IntoBytes, KnownLayout,
)]
#[repr(C)]
#[entry(name = "end-to-end-mapping", version = 1)]
pub(super) struct MappingEntry {
    start: u64,
    end: u64,
    offset: u64,
    inode: u64,
    #[entry(text)]
    permissions: [u8; 4],
    #[entry(text)]
    device: [u8; 12],
    #[entry(text)]
    path: [u8; 80],
}

impl From<&Mapping<String>> for MappingEntry {
    #[inline]
    fn from(live: &Mapping<String>) -> Self {
        Self {
            start: live.start,
            end: live.end,
            offset: live.offset,
            inode: live.inode,
            permissions: text::to_field_truncated(&live.permissions),
            device: text::to_field_truncated(&live.device),
            path: text::to_field_truncated(&live.path),
        }
    }
}

impl MappingEntry {
    /// Returns the mapping.
    #[inline]
    pub(super) fn mapping(&self) -> anyhow::Result<Mapping<&str>> {
        Ok(Mapping {
            start: self.start,
            end: self.end,
            offset: self.offset,
            inode: self.inode,
            permissions: text::from_field(&self.permissions)?,
            device: text::from_field(&self.device)?,
            path: text::from_field(&self.path)?,
        })
    }
}
