//! The structures that LUO hands over, as they are stored in memory.
//!
//! Numbers are in the byte order of the machine.
//!
//! ```text
//!  KHO's device tree          LuoRoot                     blocks of LuoSession     blocks of LuoFile
//!  ┌─────────────────────┐    ┌──────────────────────┐    ┌───────────────────┐    ┌────────────────┐
//!  │ /LUO preserved-data ├───►│ compatible  "luo-v5" │ ┌─►│ name              │ ┌─►│ compatible     │
//!  │      blob-size      │    │ liveupdate_num       │ │  │ files             ├─┘  │ data           │
//!  └─────────────────────┘    │ sessions             ├─┘  │ file_count        │    │ token          │
//!                             │ flbs                 ├─┐  └───────────────────┘    └────────────────┘
//!                             └──────────────────────┘ │  FlbHeader, then LuoFlb
//!                                                      │  ┌───────────────────────────────────────┐
//!                                                      └─►│ page_count  count │ name  data  count │
//!                                                         └───────────────────────────────────────┘
//! ```
//!
//! # References
//!
//! - Linux 7.2: `include/linux/kho/abi/luo.h`, `include/linux/kho/abi/kexec_handover.h`,
//!   `include/linux/kho/abi/memfd.h`

use core::fmt;

use bytemuck::{Pod, Zeroable};
use kho_block::{Entry, PhysAddr, SetHead};

use crate::name::{
    COMPATIBLE_NAME_SIZE, CompatibleName, NameError, SESSION_NAME_SIZE, SessionName,
};

/// The supported version of LUO's structures, stored in [`LuoRoot::compatible`]: that of Linux 7.2.
///
/// C: `LUO_ABI_COMPATIBLE`.
pub const LUO_COMPATIBLE: &str = "luo-v5";

/// [`LUO_COMPATIBLE`] padded with zeros, as the root stores it.
pub const LUO_COMPATIBLE_FIELD: [u8; 8] = *b"luo-v5\0\0";

/// The name of the node in KHO's device tree that holds the address of LUO's root.
///
/// C: `LUO_KHO_ENTRY_NAME`.
pub const LUO_NODE: &str = "LUO";

/// The supported version of KHO's device tree, stored in the root node's `compatible` property:
/// that of Linux 7.2.
///
/// C: `KHO_FDT_COMPATIBLE`, in `include/linux/kho/abi/kexec_handover.h`.
pub const KHO_COMPATIBLE: &str = "kho-v4";

/// The property of KHO's root node that holds the address of the map of preserved memory.
///
/// C: `KHO_FDT_MEMORY_MAP_PROP_NAME`.
pub const MEMORY_MAP_PROPERTY: &str = "preserved-memory-map";

/// The property of every other node that holds the address of the node's data.
///
/// C: `KHO_SUB_TREE_PROP_NAME`.
pub const DATA_PROPERTY: &str = "preserved-data";

/// The property of every other node that holds the size of the node's data in bytes.
///
/// C: `KHO_SUB_TREE_SIZE_PROP_NAME`.
pub const SIZE_PROPERTY: &str = "blob-size";

/// The name of the kernel's handler for memfds, as stored in [`LuoFile::compatible`].
///
/// The [data](LuoFile::data) of such a file is the address of a page that describes the memfd.
///
/// C: `MEMFD_LUO_FH_COMPATIBLE`, in `include/linux/kho/abi/memfd.h`.
pub const MEMFD_HANDLER: &str = "memfd-v2";

/// The names of the file handlers of Linux 7.2 and 7.3.
///
/// These are the handlers that the kernel itself registers with
/// `liveupdate_register_file_handler`. Out-of-tree modules may register others.
pub const FILE_HANDLERS: &[&str] = &[MEMFD_HANDLER];

/// The root of LUO's state, which leads to everything else that LUO hands over.
///
/// C: `struct luo_ser`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct LuoRoot {
    /// The name and version of these structures: [`LUO_COMPATIBLE_FIELD`].
    pub compatible: [u8; 8],
    /// The number of live updates so far, including this one.
    pub liveupdate_num: u64,
    /// The head of the set of sessions. Null if there are none, and until the old kernel is about
    /// to start the new one.
    pub sessions: SetHead<LuoSession>,
    /// The address of the [`FlbHeader`] of the global objects, or null.
    pub flbs: PhysAddr,
}

impl LuoRoot {
    /// Creates a root of the supported version.
    #[must_use]
    pub const fn new(liveupdate_num: u64, sessions: SetHead<LuoSession>, flbs: PhysAddr) -> Self {
        Self { compatible: LUO_COMPATIBLE_FIELD, liveupdate_num, sessions, flbs }
    }
}

impl fmt::Debug for LuoRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LuoRoot")
            .field("compatible", &format_args!("\"{}\"", self.compatible.escape_ascii()))
            .field("liveupdate_num", &self.liveupdate_num)
            .field("sessions", &self.sessions)
            .field("flbs", &self.flbs)
            .finish()
    }
}

/// A session, as it is stored in a block.
///
/// C: `struct luo_session_ser`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-session", version = 5)]
pub struct LuoSession {
    /// The session's name, terminated by a zero. Names are unique.
    #[entry(text)]
    pub name: [u8; SESSION_NAME_SIZE],
    /// The head of the set of the session's files. Null if there are none.
    pub files: SetHead<LuoFile>,
    /// The number of files.
    pub file_count: u64,
}

impl LuoSession {
    /// Creates the entry of a session with this name and these files.
    #[must_use]
    pub const fn new(name: SessionName, files: SetHead<LuoFile>, file_count: u64) -> Self {
        Self { name: name.to_field(), files, file_count }
    }

    /// Returns the session's name.
    ///
    /// # Errors
    /// Returns an error if the name is empty, or not terminated by a zero.
    pub fn name(&self) -> Result<SessionName, NameError> {
        SessionName::from_field(&self.name)
    }
}

impl fmt::Debug for LuoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LuoSession")
            .field("name", &Field(&self.name))
            .field("files", &self.files)
            .field("file_count", &self.file_count)
            .finish()
    }
}

/// A preserved file, as it is stored in a block.
///
/// C: `struct luo_file_ser`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-file", version = 5)]
pub struct LuoFile {
    /// The name of the kernel's handler that wrote `data` and can restore the file from it,
    /// terminated by a zero. For a memfd, [`MEMFD_HANDLER`].
    #[entry(text)]
    pub compatible: [u8; COMPATIBLE_NAME_SIZE],
    /// A value that only the handler understands. For a memfd, the address of the page that
    /// describes it.
    pub data: u64,
    /// The token by which the file is retrieved. Tokens are unique within a session.
    pub token: u64,
}

impl LuoFile {
    /// Creates the entry of a file with this handler, data and token.
    #[must_use]
    pub const fn new(compatible: CompatibleName, data: u64, token: u64) -> Self {
        Self { compatible: compatible.to_field(), data, token }
    }

    /// Returns the name of the file's handler.
    ///
    /// # Errors
    /// Returns an error if the name is empty, or not terminated by a zero.
    pub fn compatible(&self) -> Result<CompatibleName, NameError> {
        CompatibleName::from_field(&self.compatible)
    }
}

impl fmt::Debug for LuoFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LuoFile")
            .field("compatible", &Field(&self.compatible))
            .field("data", &format_args!("{:#x}", self.data))
            .field("token", &format_args!("{:#x}", self.token))
            .finish()
    }
}

/// The header at the start of the pages that hold the global objects.
///
/// These pages are not linked blocks: they are contiguous, and the [`LuoFlb`]s follow the header.
///
/// C: `struct luo_flb_header_ser`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct FlbHeader {
    /// The number of pages, including the one with the header. Linux 7.2 allocates one.
    pub page_count: u64,
    /// The number of [`LuoFlb`]s that follow.
    pub count: u64,
}

/// A global object of the kernel that is preserved for as long as a preserved file depends on it.
///
/// The kernel calls such objects *file-lifecycle-bound*, FLB for short.
///
/// C: `struct luo_flb_ser`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-flb", version = 5)]
pub struct LuoFlb {
    /// The name and version of the object, terminated by a zero.
    #[entry(text)]
    pub name: [u8; COMPATIBLE_NAME_SIZE],
    /// A value that only the object's owner understands.
    pub data: u64,
    /// The number of files that depend on the object. Never 0.
    pub count: u64,
}

impl LuoFlb {
    /// Creates the entry of an object with this name and data, on which `count` files depend.
    #[must_use]
    pub const fn new(name: CompatibleName, data: u64, count: u64) -> Self {
        Self { name: name.to_field(), data, count }
    }

    /// Returns the object's name.
    ///
    /// # Errors
    /// Returns an error if the name is empty, or not terminated by a zero.
    pub fn name(&self) -> Result<CompatibleName, NameError> {
        CompatibleName::from_field(&self.name)
    }
}

impl fmt::Debug for LuoFlb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LuoFlb")
            .field("name", &Field(&self.name))
            .field("data", &format_args!("{:#x}", self.data))
            .field("count", &self.count)
            .finish()
    }
}

/// Returns how many [`LuoFlb`]s fit in `page_count` pages of `page_size` bytes, after the header.
pub(crate) const fn flb_capacity(page_count: usize, page_size: usize) -> usize {
    page_count.saturating_mul(page_size).saturating_sub(size_of::<FlbHeader>())
        / size_of::<LuoFlb>()
}

/// Shows a text field, which may hold any bytes, up to its first zero.
struct Field<'a>(&'a [u8]);

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        f.write_str("\"")?;
        crate::name::fmt_bytes(text, f)?;
        f.write_str("\"")
    }
}

const _: () = {
    use core::mem::offset_of;

    assert!(size_of::<LuoRoot>() == 32 && align_of::<LuoRoot>() == 8);
    assert!(offset_of!(LuoRoot, compatible) == 0);
    assert!(offset_of!(LuoRoot, liveupdate_num) == 8);
    assert!(offset_of!(LuoRoot, sessions) == 16);
    assert!(offset_of!(LuoRoot, flbs) == 24);

    assert!(size_of::<LuoSession>() == 80 && align_of::<LuoSession>() == 8);
    assert!(offset_of!(LuoSession, name) == 0);
    assert!(offset_of!(LuoSession, files) == 64);
    assert!(offset_of!(LuoSession, file_count) == 72);

    assert!(size_of::<LuoFile>() == 64 && align_of::<LuoFile>() == 8);
    assert!(offset_of!(LuoFile, compatible) == 0);
    assert!(offset_of!(LuoFile, data) == 48);
    assert!(offset_of!(LuoFile, token) == 56);

    assert!(size_of::<FlbHeader>() == 16 && align_of::<FlbHeader>() == 8);
    assert!(offset_of!(FlbHeader, page_count) == 0);
    assert!(offset_of!(FlbHeader, count) == 8);

    assert!(size_of::<LuoFlb>() == 64 && align_of::<LuoFlb>() == 8);
    assert!(offset_of!(LuoFlb, name) == 0);
    assert!(offset_of!(LuoFlb, data) == 48);
    assert!(offset_of!(LuoFlb, count) == 56);

    assert!(LUO_COMPATIBLE.len() < LUO_COMPATIBLE_FIELD.len());
    assert!(kho_block::abi::count_per_block(4096, size_of::<LuoSession>()) == 51);
    assert!(kho_block::abi::count_per_block(4096, size_of::<LuoFile>()) == 63);
    assert!(flb_capacity(1, 4096) == 63);
};
