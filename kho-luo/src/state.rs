//! The state that LUO handed over, once it has been read.

use core::fmt;

use kho_block::PhysAddr;

use crate::abi::{LuoFile, LuoRoot, LuoSession};
use crate::error::StateError;
use crate::name::{CompatibleName, NameError, SessionName};
use crate::preserved::Preserved;
use crate::warning::Warning;

/// The state that LUO handed over, read from memory and verified as a whole.
///
/// The memory may be hostile. The checks are stricter than the kernel's: [`StateError`] lists them.
/// State that is valid but may be fatal gives a [warning](Self::warnings). If KHO's device tree is
/// known, each page is also looked up in KHO's [map of preserved memory](crate::PreservedMap),
/// unless the map can't be read: see [`preserved`](Self::preserved).
///
/// [`read`](Self::read), [`from_tree`](Self::from_tree) and [`find`](Self::find) fail if anything
/// is wrong. [`inspect`](Self::inspect) and [`inspect_tree`](Self::inspect_tree) return what can be
/// read, and everything that is wrong with it.
///
/// # Cost
///
/// No block is read twice, whatever leads to it. A block takes one read for its header and one for
/// each entry: with pages of 4 KiB, at most 1 + 63 reads. In addition, the root takes one read,
/// each session at most one, and the global objects one, plus one for each object. Looking up a
/// page or a memfd in the map of preserved memory takes one to six more reads if it is preserved as
/// Linux does it, and at most 312. At most 1,048,576 blocks are read in all.
///
/// For each block, the state keeps less than eight times the block's size. At most
/// [`MAX_FAULTS`](Self::MAX_FAULTS) faults and as many warnings are kept: less than 1 MiB.
///
/// ```no_run
/// use kho_block::DumpMemory;
/// use kho_luo::LuoState;
///
/// # let dump = DumpMemory::new();
/// let state = LuoState::find(&dump, 0..1 << 32)?;
/// for session in &state.sessions {
///     println!("{}: {} files", session.name, session.files.len());
/// }
/// for warning in &state.warnings {
///     println!("warning: {warning}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LuoState {
    /// The address of the root.
    pub root_addr: PhysAddr,
    /// The root as it is stored.
    pub root: LuoRoot,
    /// The sessions, in the order of their chain.
    pub sessions: Vec<SessionState>,
    /// The addresses of the blocks that hold the sessions, in the order of their chain.
    pub session_blocks: Vec<PhysAddr>,
    /// The global objects, in the order in which they are stored.
    pub flbs: Vec<FlbState>,
    /// Whether KHO preserves all these pages, as far as could be checked.
    pub preserved: Preserved,
    /// Warnings of state that is valid but may be fatal or hints at a fault, worst first. At most
    /// [`MAX_FAULTS`](Self::MAX_FAULTS), then [how many more](Warning::More).
    pub warnings: Vec<Warning>,
}

/// A session that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionState {
    /// The session's name.
    pub name: SessionName,
    /// The entry as it is stored.
    pub entry: LuoSession,
    /// The session's files, in the order in which they were preserved.
    pub files: Vec<FileState>,
    /// The addresses of the blocks that hold the files, in the order of their chain.
    pub file_blocks: Vec<PhysAddr>,
}

/// A file that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FileState {
    /// The name of the file's handler in the kernel.
    pub compatible: CompatibleName,
    /// A value that only the handler understands. For a memfd, the address of the page that
    /// describes it.
    pub data: u64,
    /// The token by which the file is retrieved.
    pub token: u64,
}

/// A global object that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FlbState {
    /// The object's name.
    pub name: CompatibleName,
    /// A value that only the object's owner understands.
    pub data: u64,
    /// The number of files that depend on the object.
    pub count: u64,
}

/// The part of LUO's state that could be read, and the faults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The part of the state that could be read.
    ///
    /// Sessions without a valid name and files without a valid handler are left out. A chain that
    /// is wrong was read up to the fault.
    pub state: LuoState,
    /// The faults, worst first, and those of the same [severity](StateError::severity) in the order
    /// in which they were found. At most [`MAX_FAULTS`](LuoState::MAX_FAULTS), then [how many
    /// more](StateError::More).
    pub faults: Vec<StateError>,
}

impl Inspection {
    /// Returns the state if there are no faults.
    ///
    /// # Errors
    /// Returns the worst fault; if several are equally severe, the first of them.
    pub fn into_result(self) -> Result<LuoState, StateError> {
        match self.faults.into_iter().next() {
            Some(worst) => Err(worst),
            None => Ok(self.state),
        }
    }
}

impl LuoState {
    /// The most faults that an [`Inspection`] lists, and the most warnings.
    pub const MAX_FAULTS: usize = 1000;

    /// Returns the session with this name.
    #[must_use]
    pub fn session(&self, name: impl AsRef<[u8]>) -> Option<&SessionState> {
        let name = name.as_ref();
        self.sessions.iter().find(|session| session.name.as_bytes() == name)
    }
}

impl FileState {
    /// Returns the file as it is stored.
    #[must_use]
    pub const fn to_entry(self) -> LuoFile {
        LuoFile::new(self.compatible, self.data, self.token)
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} files)", self.name, self.files.len())
    }
}

impl TryFrom<LuoFile> for FileState {
    type Error = NameError;

    fn try_from(file: LuoFile) -> Result<Self, Self::Error> {
        let LuoFile { data, token, .. } = file;
        Ok(Self { compatible: file.compatible()?, data, token })
    }
}
