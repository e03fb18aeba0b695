//! The bytes that LUO hands over.
//!
//! Source: Linux 7.2, `include/linux/kho/abi/luo.h`. Numbers are in the byte order of the machine.
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

use core::fmt;

use bytemuck::{Pod, Zeroable};
use kho_block::{Entry, PhysAddr, SetHead};

use crate::name::{COMPATIBLE_SIZE, Compatible, NameError, SESSION_NAME_SIZE, SessionName};

/// What [`LuoRoot::compatible`] says of the structures that this crate knows: those of Linux 7.2.
///
/// C: `LUO_ABI_COMPATIBLE`.
pub const LUO_COMPATIBLE: &str = "luo-v5";

/// [`LUO_COMPATIBLE`] as it is stored.
pub const LUO_COMPATIBLE_FIELD: [u8; 8] = *b"luo-v5\0\0";

/// Name of the node in KHO's device tree that leads to LUO's root.
///
/// C: `LUO_KHO_ENTRY_NAME`.
pub const LUO_NODE: &str = "LUO";

/// What the root node of KHO's device tree is compatible with, in Linux 7.2.
///
/// C: `KHO_FDT_COMPATIBLE`, in `include/linux/kho/abi/kexec_handover.h`.
pub const KHO_COMPATIBLE: &str = "kho-v4";

/// Property of KHO's root node: where the map of preserved memory is.
///
/// C: `KHO_FDT_MEMORY_MAP_PROP_NAME`.
pub const MEMORY_MAP_PROPERTY: &str = "preserved-memory-map";

/// Property of each other node: where its data is.
///
/// C: `KHO_SUB_TREE_PROP_NAME`.
pub const DATA_PROPERTY: &str = "preserved-data";

/// Property of each other node: how many bytes its data has.
///
/// C: `KHO_SUB_TREE_SIZE_PROP_NAME`.
pub const SIZE_PROPERTY: &str = "blob-size";

/// The handler of memfds: its name in [`LuoFile::compatible`]. Its data is the address of a page that
/// describes the file.
///
/// C: `MEMFD_LUO_FH_COMPATIBLE`, in `include/linux/kho/abi/memfd.h`.
pub const MEMFD_HANDLER: &str = "memfd-v2";

/// The handlers of files that Linux 7.2 and 7.3 have: what those kernels register with
/// `liveupdate_register_file_handler`. Modules from elsewhere may add others.
pub const FILE_HANDLERS: &[&str] = &[MEMFD_HANDLER];

/// The root of all that LUO hands over.
///
/// C: `struct luo_ser`.
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LuoRoot {
    /// Name and version of these structures, [`LUO_COMPATIBLE_FIELD`].
    pub compatible: [u8; 8],
    /// How many live updates there have been, this one included.
    pub liveupdate_num: u64,
    /// The sessions. Null until the old kernel is about to start the new one, and if there are none.
    pub sessions: SetHead<LuoSession>,
    /// Address of a [`FlbHeader`], or null.
    pub flbs: PhysAddr,
}

impl LuoRoot {
    /// A root of this crate's version.
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

/// A session.
///
/// C: `struct luo_session_ser`.
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-session", version = 5)]
pub struct LuoSession {
    /// The name, which no other session has, ended by a zero.
    #[entry(text)]
    pub name: [u8; SESSION_NAME_SIZE],
    /// The session's files; null if there are none.
    pub files: SetHead<LuoFile>,
    /// How many files there are.
    pub file_count: u64,
}

impl LuoSession {
    /// The session of this name with these files.
    #[must_use]
    pub const fn new(name: SessionName, files: SetHead<LuoFile>, file_count: u64) -> Self {
        Self { name: name.to_field(), files, file_count }
    }

    /// The session's name.
    ///
    /// # Errors
    /// It is empty, or no zero ends it.
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

/// A preserved file.
///
/// C: `struct luo_file_ser`.
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-file", version = 5)]
pub struct LuoFile {
    /// Which handler of the kernel made `data` and knows what to make of it, ended by a zero; for a
    /// memfd, `memfd-v2`.
    #[entry(text)]
    pub compatible: [u8; COMPATIBLE_SIZE],
    /// The handler's own: for a memfd, the address of what describes it.
    pub data: u64,
    /// What the file is retrieved by, which no other file of the session has.
    pub token: u64,
}

impl LuoFile {
    /// The file with this handler, data and token.
    #[must_use]
    pub const fn new(compatible: Compatible, data: u64, token: u64) -> Self {
        Self { compatible: compatible.to_field(), data, token }
    }

    /// The name of the file's handler.
    ///
    /// # Errors
    /// It is empty, or no zero ends it.
    pub fn compatible(&self) -> Result<Compatible, NameError> {
        Compatible::from_field(&self.compatible)
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

/// What the pages of global objects begin with. They are no linked blocks: the pages follow one
/// another, and [`LuoFlb`]s follow the header.
///
/// C: `struct luo_flb_header_ser`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FlbHeader {
    /// How many pages there are, that of the header included. Linux 7.2 makes one.
    pub page_count: u64,
    /// How many [`LuoFlb`]s follow.
    pub count: u64,
}

/// A global object of the kernel that files depend on and that crosses with the first of them:
/// *file-lifecycle-bound*, FLB.
///
/// C: `struct luo_flb_ser`.
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-flb", version = 5)]
pub struct LuoFlb {
    /// Name and version of the object, ended by a zero.
    #[entry(text)]
    pub name: [u8; COMPATIBLE_SIZE],
    /// The object's own.
    pub data: u64,
    /// How many files depend on it; never 0.
    pub count: u64,
}

impl LuoFlb {
    /// The object with this name and data, on which `count` files depend.
    #[must_use]
    pub const fn new(name: Compatible, data: u64, count: u64) -> Self {
        Self { name: name.to_field(), data, count }
    }

    /// The object's name.
    ///
    /// # Errors
    /// It is empty, or no zero ends it.
    pub fn name(&self) -> Result<Compatible, NameError> {
        Compatible::from_field(&self.name)
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

/// How many [`LuoFlb`]s fit in `page_count` pages of `page_size` bytes, after the header.
pub(crate) const fn flb_capacity(page_count: usize, page_size: usize) -> usize {
    page_count.saturating_mul(page_size).saturating_sub(size_of::<FlbHeader>())
        / size_of::<LuoFlb>()
}

/// A field of text that may hold anything, to be shown up to its first zero.
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
