//! What LUO handed over, read out of memory and verified as a whole.

use core::fmt;
use core::ops::Range;

use kho_block::{PhysAddr, ReadMemory};

use crate::abi::{LuoFile, LuoRoot, LuoSession};
use crate::error::StateError;
use crate::find;
use crate::name::{Compatible, SessionName};
use crate::preserved::Preserved;
use crate::tree::{KhoTree, TreeError};
use crate::walk::{Walk, Walked};
use crate::warning::Warning;

/// What LUO handed over: read from any memory, which may be hostile, and verified as a whole.
///
/// It is what the next kernel would make of it, and stricter: see [`StateError`]. What may be right
/// and may be fatal is a [warning](Self::warnings). Where KHO's device tree is known, each page is
/// also looked up in KHO's [map of preserved memory](crate::PreservedMap), unless memory does not
/// have the map: see [`preserved`](Self::preserved).
///
/// # Cost
///
/// No block is read twice, whatever leads to it. Of each block the header is read, then each entry:
/// with pages of 4 KiB, at most 1 + 63 reads. Besides, the root costs one read, each session at most
/// one, and the global objects one and one for each. To look a page or a memfd up in the map of
/// preserved memory takes one to six reads more if it is preserved as Linux does it, and at most 312.
/// At most 1,048,576 blocks are read in all.
///
/// What is kept of a block takes less than eight times its bytes. Of the faults and of the warnings
/// at most [`MAX_FAULTS`](Self::MAX_FAULTS) are kept, less than 1 MiB.
///
/// ```no_run
/// use kho_block::DumpMemory;
/// use kho_luo::LuoState;
///
/// # let image = DumpMemory::new();
/// let state = LuoState::find(&image, 0..1 << 32)?;
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
    /// Address of the root.
    pub addr: PhysAddr,
    /// The root as it is stored.
    pub root: LuoRoot,
    /// The sessions, in their order.
    pub sessions: Vec<SessionState>,
    /// Addresses of the blocks that the sessions are in, in the order of the chain.
    pub session_blocks: Vec<PhysAddr>,
    /// The global objects, in their order.
    pub flbs: Vec<FlbState>,
    /// Whether KHO preserves all these pages, as far as could be told.
    pub preserved: Preserved,
    /// What should not pass unseen, worst first. At most [`MAX_FAULTS`](Self::MAX_FAULTS), and then
    /// [how many more](Warning::More).
    pub warnings: Vec<Warning>,
}

/// A session that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionState {
    /// The name.
    pub name: SessionName,
    /// The entry as it is stored.
    pub entry: LuoSession,
    /// The files, in the order in which they were preserved.
    pub files: Vec<FileState>,
    /// Addresses of the blocks that the files are in, in the order of the chain.
    pub file_blocks: Vec<PhysAddr>,
}

/// A file that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileState {
    /// The name of its handler in the kernel.
    pub compatible: Compatible,
    /// The handler's own.
    pub data: u64,
    /// What it is retrieved by.
    pub token: u64,
}

/// A global object that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlbState {
    /// Its name.
    pub name: Compatible,
    /// The object's own.
    pub data: u64,
    /// How many files depend on it.
    pub count: u64,
}

impl LuoState {
    /// How many faults, and how many warnings, are kept at most.
    pub const MAX_FAULTS: usize = 1000;

    /// Reads what LUO handed over from its root at `addr`, which [`KhoTree::luo`] tells.
    ///
    /// Whether KHO preserves it can't be told from there: see [`from_tree`](Self::from_tree). What a
    /// read costs at most, see [above](Self#cost).
    ///
    /// # Errors
    /// Anything in it is wrong: of all faults the worst, by its [severity](StateError::severity), and
    /// of those the first.
    pub fn read<M: ReadMemory>(memory: &M, addr: PhysAddr) -> Result<Self, StateError> {
        Self::sound(Walk::new(memory, 1).run(addr)?)
    }

    /// The same from KHO's device tree at `tree`. Looks each page up in the map of preserved memory
    /// that the tree leads to.
    ///
    /// The next kernel may use the pages of the map for something else once it has read it. In a dump
    /// that was taken then, the answer may be that pages are not preserved which were.
    ///
    /// # Errors
    /// As for [`read`](Self::read), or the tree can't be read, or does not lead to a root.
    pub fn from_tree<M: ReadMemory>(memory: &M, tree: PhysAddr) -> Result<Self, StateError> {
        Self::sound(Self::walk_tree(memory, tree, 1)?)
    }

    /// Looks for KHO's device trees in `range` of an image, and reads what the latest root that they
    /// lead to has: the one of the highest [`liveupdate_num`](LuoRoot::liveupdate_num).
    ///
    /// In the memory of a kernel that was itself started by a live update there are two trees. The
    /// latest root is then the one that this kernel prepares for its successor, and has no sessions
    /// until that is started; if the older one still has some, a [warning](Warning::OlderRoot) says
    /// where. A root that is overwritten is passed over. Take the [addresses](KhoTree::scan) to
    /// choose for yourself.
    ///
    /// Nothing here is authenticated: whoever can write to a page of the image can put a tree and a
    /// root there, and with a high number it is the latest. Where the kernel's word can be had, use
    /// [`from_tree`](Self::from_tree).
    ///
    /// The search costs what [`KhoTree::scan`] does, and at most one read more for each tree.
    ///
    /// # Errors
    /// No tree leads to a root: what was found instead is named, such as trees and roots of other
    /// versions. Or as for [`read`](Self::read).
    pub fn find<M: ReadMemory>(memory: &M, range: Range<u64>) -> Result<Self, StateError> {
        let found = find::latest(memory, range)?;
        let mut walk = Walk::new(memory, 1);
        for warning in found.warnings {
            walk.warn(warning);
        }
        Self::sound(walk.with_map(found.tree, found.map)?.run(found.root)?)
    }

    /// Reads what can be read, to find out what went wrong: with it come the faults, the worst first,
    /// and those alike in the order in which they were met. There are at most
    /// [`MAX_FAULTS`](Self::MAX_FAULTS) of them, then [how many more](StateError::More). A session
    /// whose name is wrong is left out, as is a file whose handler's is; a chain that is wrong is
    /// read up to there.
    ///
    /// What it costs at most, see [above](Self#cost).
    ///
    /// # Errors
    /// Nothing can be read: there is no root.
    pub fn inspect<M: ReadMemory>(
        memory: &M,
        addr: PhysAddr,
    ) -> Result<(Self, Vec<StateError>), StateError> {
        Ok(Self::with_faults(Walk::new(memory, Self::MAX_FAULTS).run(addr)?))
    }

    /// The same from KHO's device tree at `tree`. Looks each page up in the map of preserved memory,
    /// as [`from_tree`](Self::from_tree) does.
    ///
    /// # Errors
    /// As for [`inspect`](Self::inspect), or the tree can't be read, or does not lead to a root.
    pub fn inspect_tree<M: ReadMemory>(
        memory: &M,
        tree: PhysAddr,
    ) -> Result<(Self, Vec<StateError>), StateError> {
        Ok(Self::with_faults(Self::walk_tree(memory, tree, Self::MAX_FAULTS)?))
    }

    fn walk_tree<M: ReadMemory>(
        memory: &M,
        addr: PhysAddr,
        limit: usize,
    ) -> Result<Walked, StateError> {
        let tree = KhoTree::read(memory, addr)?;
        let root = tree.luo().map_err(|kind| TreeError { addr, kind })?;
        Walk::new(memory, limit).with_map(addr, tree.memory_map)?.run(root)
    }

    fn sound(Walked { state, faults }: Walked) -> Result<Self, StateError> {
        faults.into_worst().map_or(Ok(state), Err)
    }

    fn with_faults(Walked { state, faults }: Walked) -> (Self, Vec<StateError>) {
        (state, faults.into_vec(|count| StateError::More { count }))
    }

    /// The session of this name.
    #[must_use]
    pub fn session(&self, name: &str) -> Option<&SessionState> {
        self.sessions.iter().find(|session| session.name == name)
    }
}

impl FileState {
    /// The file as it is stored.
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
    type Error = crate::NameError;

    fn try_from(file: LuoFile) -> Result<Self, Self::Error> {
        let LuoFile { data, token, .. } = file;
        Ok(Self { compatible: file.compatible()?, data, token })
    }
}
