//! What the processes become: plain data in blocks.
//!
//! ```text
//!  Process ──┬── files: OpenFile
//!            └── maps: MemoryMap
//! ```
//!
//! With the feature `formats` flat arrays of files and maps can be written, which the benches compare.

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, SetHead};

/// Bytes for a process's name.
pub const NAME_LEN: usize = 68;
/// Bytes for an open file's target. Longer paths are cut, here and in maps.
pub const TARGET_LEN: usize = 112;
/// Bytes for the path of what is mapped.
pub const PATH_LEN: usize = 80;

/// A process. What it has open and mapped are sets of their own.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "process", version = 1)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// The id of its parent.
    pub parent: i32,
    /// Clock ticks from boot to the start of the process.
    pub start_time: u64,
    /// Memory that it has.
    pub resident_bytes: u64,
    /// Addresses that it has.
    pub virtual_bytes: u64,
    /// What it has open.
    pub files: SetHead<OpenFile>,
    /// What it has mapped.
    pub maps: SetHead<MemoryMap>,
    /// The letter that `ps` shows, as a code point.
    pub state: u32,
    /// What it is called.
    #[entry(text)]
    pub name: [u8; NAME_LEN],
}

/// A file that a process has open.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "open-file", version = 1)]
#[cfg_attr(
    feature = "formats",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct OpenFile {
    /// Number of the descriptor.
    pub number: u32,
    /// The flags of `open`.
    pub flags: u32,
    /// Where the next read starts.
    pub position: u64,
    /// What was opened.
    #[entry(text)]
    pub target: [u8; TARGET_LEN],
}

/// A range of a process's addresses.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "memory-map", version = 1)]
#[cfg_attr(
    feature = "formats",
    derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout)
)]
pub struct MemoryMap {
    /// Its first address.
    pub start: u64,
    /// The address behind its last.
    pub end: u64,
    /// Where in the file it starts.
    pub offset: u64,
    /// The file's number.
    pub inode: u64,
    /// `rwxp`, as in `/proc`.
    #[entry(text)]
    pub permissions: [u8; 4],
    /// `major:minor`, as in `/proc`.
    #[entry(text)]
    pub device: [u8; 12],
    /// What is mapped; empty for memory without a file.
    #[entry(text)]
    pub path: [u8; PATH_LEN],
}

/// What the snapshot could not read.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "handover-missed", version = 1)]
pub struct Missed {
    /// Processes that ended while they were read.
    pub vanished: u64,
    /// Processes that could not be read for another reason.
    pub unreadable: u64,
    /// Processes whose open files may not be seen.
    pub files_denied: u64,
    /// Processes whose memory maps may not be seen.
    pub maps_denied: u64,
    /// Paths that were cut to fit their field.
    pub paths_cut: u64,
}
