//! The live objects that are to be preserved, and how they become entries and come back.
//!
//! The digest is taken of these, on both sides: an error in the conversion shows as well as one in
//! the blocks. The derived `Hash` will do, since predecessor and successor are the same program;
//! between versions, write out what is hashed.

use std::hash::Hash;

use anyhow::Context as _;
use kho_block::{SetHead, text};
use xxhash_rust::xxh3::Xxh3;

use crate::entries::{MemoryMap, Missed, OpenFile, Process, Synthetic};
use crate::progress::Progress;

/// All that the predecessor has to hand over.
pub(crate) struct Source {
    pub(crate) processes: Vec<LiveProcess>,
    pub(crate) missed: Missed,
    pub(crate) synthetic_count: u64,
}

#[derive(Debug, PartialEq, Hash)]
pub(crate) struct LiveProcess {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) start_time: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) state: char,
    pub(crate) name: String,
    pub(crate) files: Vec<LiveFile>,
    pub(crate) maps: Vec<LiveMap>,
}

#[derive(Debug, PartialEq, Hash)]
pub(crate) struct LiveFile {
    pub(crate) number: u32,
    pub(crate) flags: u32,
    pub(crate) position: u64,
    pub(crate) target: String,
}

#[derive(Debug, PartialEq, Hash)]
pub(crate) struct LiveMap {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) offset: u64,
    pub(crate) inode: u64,
    pub(crate) permissions: String,
    pub(crate) device: String,
    pub(crate) path: String,
}

impl LiveProcess {
    /// The entry, given where its files and maps went.
    pub(crate) fn to_entry(&self, files: SetHead<OpenFile>, maps: SetHead<MemoryMap>) -> Process {
        Process {
            pid: self.pid,
            parent: self.parent,
            start_time: self.start_time,
            resident_bytes: self.resident_bytes,
            virtual_bytes: self.virtual_bytes,
            files,
            maps,
            state: self.state.into(),
            name: text::to_field(&self.name),
        }
    }

    /// The process that the entries describe.
    pub(crate) fn from_entries<'a>(
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
    pub(crate) fn to_entry(&self) -> OpenFile {
        OpenFile {
            number: self.number,
            flags: self.flags,
            position: self.position,
            target: text::to_field(&self.target),
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
    pub(crate) fn to_entry(&self) -> MemoryMap {
        MemoryMap {
            start: self.start,
            end: self.end,
            offset: self.offset,
            inode: self.inode,
            permissions: text::to_field(&self.permissions),
            device: text::to_field(&self.device),
            path: text::to_field(&self.path),
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

/// A digest of processes with all they have, in their order.
#[derive(Default)]
pub(crate) struct ProcessDigest(Xxh3);

impl ProcessDigest {
    pub(crate) fn add(&mut self, process: &LiveProcess) {
        process.hash(&mut self.0);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.digest()
    }
}

impl Source {
    pub(crate) fn process_digest(&self) -> u64 {
        let mut digest = ProcessDigest::default();
        for process in &self.processes {
            digest.add(process);
        }
        digest.finish()
    }

    /// Digest of the synthetic entries, computed from their indices.
    pub(crate) fn synthetic_digest(&self) -> u64 {
        let mut digest = Xxh3::new();
        let mut progress = Progress::new("digest", self.synthetic_count);
        for index in 0..self.synthetic_count {
            progress.at(index);
            digest.update(bytemuck::bytes_of(&Synthetic::new(index)));
        }
        digest.digest()
    }
}
