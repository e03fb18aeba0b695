//! The functions of [`LuoState`] that read it from memory.

use core::ops::Range;

use kho_block::{PhysAddr, ReadMemory};

use crate::error::StateError;
use crate::find;
use crate::state::{Inspection, LuoState};
use crate::tree::{KhoTree, KhoTreeError};
use crate::verify::Verifier;

impl LuoState {
    /// Reads the state from LUO's root at `root_addr`.
    ///
    /// The address is [`KhoTree::luo_root_addr`]. The pages are not looked up in KHO's map of
    /// preserved memory, to which only KHO's device tree leads: see [`from_tree`](Self::from_tree).
    ///
    /// For what a read may cost, see [above](Self#cost).
    ///
    /// # Errors
    /// Returns the worst of the faults by its [severity](StateError::severity), and the first of
    /// those.
    pub fn read<M: ReadMemory>(memory: &M, root_addr: PhysAddr) -> Result<Self, StateError> {
        Self::inspect(memory, root_addr)?.into_result()
    }

    /// Reads the state from KHO's device tree at `tree_addr`, and looks up each page in KHO's map
    /// of preserved memory.
    ///
    /// A kernel may reuse the pages of the map that it was started with once it has read them. In a
    /// dump that was taken after that, preserved pages may be reported as not preserved.
    ///
    /// ```
    /// use kho_block::{DumpMemory, PhysAddr};
    /// use kho_luo::{LuoState, Preserved, StateError};
    ///
    /// fn sessions(dump: &DumpMemory, tree: PhysAddr) -> Result<usize, StateError> {
    ///     let state = LuoState::from_tree(dump, tree)?;
    ///     if state.preserved != Preserved::Checked {
    ///         println!("pages {}", state.preserved);
    ///     }
    ///     Ok(state.sessions.len())
    /// }
    /// # assert!(sessions(&DumpMemory::new(), PhysAddr::new(0x1000)).is_err());
    /// ```
    ///
    /// # Errors
    /// Returns an error in the same cases as [`read`](Self::read), or if the tree can't be read, or
    /// does not lead to a root.
    pub fn from_tree<M: ReadMemory>(memory: &M, tree_addr: PhysAddr) -> Result<Self, StateError> {
        Self::inspect_tree(memory, tree_addr)?.into_result()
    }

    /// Searches `range` of `memory` for KHO's device trees, and reads the state from the latest
    /// root to which they lead.
    ///
    /// The latest root is the one with the highest
    /// [`liveupdate_num`](crate::LuoRoot::liveupdate_num). If several have that number, it is the
    /// one whose tree was found last.
    ///
    /// The memory of a kernel that was itself started by a live update has two trees. The latest
    /// root is then the one that this kernel prepares for its successor. It has no sessions until
    /// the kernel is about to start the successor. If the older root has sessions, a
    /// [warning](crate::Warning::OlderRoot) gives its address. Roots that have been overwritten are
    /// skipped. To choose between the trees yourself, use [`KhoTree::scan`].
    ///
    /// Nothing that is found is authenticated. Anyone who can write to a page can put a tree and a
    /// root there, and a high number makes that root the latest. If the kernel can tell the address
    /// of the tree, use [`from_tree`](Self::from_tree).
    ///
    /// The search costs what [`KhoTree::scan`] does, and at most one more read for each tree.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`read`](Self::read), or if no tree leads to a root.
    /// The error then lists what was found instead, such as trees and roots of other versions.
    pub fn find<M: ReadMemory>(memory: &M, range: Range<u64>) -> Result<Self, StateError> {
        let latest = find::latest(memory, range)?;
        let mut verifier = Verifier::new(memory).with_map(latest.tree, latest.preserved_map)?;
        for warning in latest.warnings {
            verifier.warn(warning);
        }
        verifier.run(latest.root_addr)?.into_result()
    }

    /// Reads what can be read from LUO's root at `root_addr`, and lists everything that is wrong.
    ///
    /// For what it may cost, see [above](Self#cost).
    ///
    /// ```
    /// use kho_block::{DumpMemory, PhysAddr};
    /// use kho_luo::{LuoState, StateError};
    ///
    /// fn show(dump: &DumpMemory, root_addr: PhysAddr) -> Result<(), StateError> {
    ///     let inspection = LuoState::inspect(dump, root_addr)?;
    ///     println!("{} sessions", inspection.state.sessions.len());
    ///     for fault in &inspection.faults {
    ///         println!("{:?}: {fault}", fault.severity());
    ///     }
    ///     Ok(())
    /// }
    /// # assert!(show(&DumpMemory::new(), PhysAddr::new(0x1000)).is_err());
    /// ```
    ///
    /// # Errors
    /// Returns an error if there is no root, so nothing can be read.
    pub fn inspect<M: ReadMemory>(
        memory: &M,
        root_addr: PhysAddr,
    ) -> Result<Inspection, StateError> {
        Verifier::new(memory).run(root_addr)
    }

    /// Reads what can be read from KHO's device tree at `tree_addr`, lists everything that is
    /// wrong, and looks up each page in KHO's map of preserved memory.
    ///
    /// # Errors
    /// Returns an error in the same cases as [`inspect`](Self::inspect), or if the tree can't be
    /// read, or does not lead to a root.
    pub fn inspect_tree<M: ReadMemory>(
        memory: &M,
        tree_addr: PhysAddr,
    ) -> Result<Inspection, StateError> {
        let tree = KhoTree::read(memory, tree_addr)?;
        let root_addr =
            tree.luo_root_addr().map_err(|kind| KhoTreeError { addr: tree_addr, kind })?;
        Verifier::new(memory).with_map(tree_addr, tree.preserved_map)?.run(root_addr)
    }
}
