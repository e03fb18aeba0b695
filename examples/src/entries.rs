//! Processes as entries: plain data in blocks.
//!
//! ```text
//!  Process ──┬── files: OpenFile
//!            └── mappings: Mapping
//! ```

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, SetHead};

/// Size in bytes of the field for a process's name.
pub const NAME_LEN: usize = 68;
/// Size in bytes of the field for the path of an open file. Longer paths are cut.
pub const TARGET_LEN: usize = 112;
/// Size in bytes of the field for the path of a mapped file. Longer paths are cut.
pub const PATH_LEN: usize = 80;

/// A process. Its files and mappings are sets of their own.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "process", version = 1)]
pub struct Process {
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
    /// Open files.
    pub files: SetHead<OpenFile>,
    /// Mapped memory.
    pub mappings: SetHead<Mapping>,
    /// State: the code point of the letter that `ps` shows.
    pub state: u32,
    /// Name of the program.
    #[entry(text)]
    pub name: [u8; NAME_LEN],
}

/// A file that a process has open.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "open-file", version = 1)]
pub struct OpenFile {
    /// Number of the descriptor.
    pub number: u32,
    /// Flags of `open`.
    pub flags: u32,
    /// Offset in bytes at which the next read starts.
    pub position: u64,
    /// Path, or kind of file, that was opened.
    #[entry(text)]
    pub target: [u8; TARGET_LEN],
}

/// A piece of memory that a process has mapped.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "mapping", version = 1)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address after the last one.
    pub end: u64,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Inode number of the file; 0 for memory without a file.
    pub inode: u64,
    /// Permissions, such as `rwxp`.
    #[entry(text)]
    pub permissions: [u8; 4],
    /// Device of the file, as `major:minor`.
    #[entry(text)]
    pub device: [u8; 12],
    /// Path of the file, or a name such as `[heap]`; may be empty.
    #[entry(text)]
    pub path: [u8; PATH_LEN],
}

/// Counts of the things that the snapshot could not read.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "handover-missed", version = 1)]
pub struct Missed {
    /// Processes that ended while they were read.
    pub vanished: u64,
    /// Processes that could not be read for another reason.
    pub unreadable: u64,
    /// Processes that deny access to their open files.
    pub files_denied: u64,
    /// Processes that deny access to their mappings.
    pub mappings_denied: u64,
    /// Paths that were cut to fit their fields.
    pub paths_cut: u64,
}
