//! The search for LUO's latest root in memory.

use core::ops::Range;

use kho_block::{PhysAddr, ReadMemory};

use crate::abi::LuoRoot;
use crate::error::{RootErrorKind, StateError};
use crate::faults::Faults;
use crate::tree::{KhoTree, KhoTreeError, KhoTreeErrorKind, trees};
use crate::verify::read_root;
use crate::warning::Warning;

/// The largest number of unused trees and roots that an error or the warnings name.
const MAX_NAMED: usize = 8;

/// A LUO root, and the device tree that leads to it.
#[derive(Clone, Copy)]
struct Found {
    root: LuoRoot,
    root_addr: PhysAddr,
    tree: PhysAddr,
    preserved_map: PhysAddr,
}

/// The latest root, and warnings of the others that the search found.
pub(crate) struct Latest {
    pub(crate) root_addr: PhysAddr,
    /// The device tree that leads to the root and to the map of preserved memory.
    pub(crate) tree: PhysAddr,
    pub(crate) preserved_map: PhysAddr,
    pub(crate) warnings: Vec<Warning>,
}

/// Finds the root with the highest number of live updates, and the last one if several have it.
pub(crate) fn latest<M: ReadMemory>(memory: &M, range: Range<u64>) -> Result<Latest, StateError> {
    let Range { start, end } = range;
    let mut latest: Option<Found> = None;
    let mut with_sessions: Vec<Found> = Vec::new();
    // Other versions come first: they explain more than overwritten data.
    let mut passed_over = Faults::new(MAX_NAMED);
    for (addr, tree) in trees(memory, range) {
        let found = match read_found(memory, addr, tree) {
            Ok(found) => found,
            Err(error) => {
                if is_candidate(&error) {
                    passed_over.push(!is_other_version(&error), error);
                }
                continue;
            }
        };
        if !found.root.sessions.addr().is_null() && with_sessions.len() < MAX_NAMED {
            with_sessions.push(found);
        }
        if latest.is_none_or(|latest| latest.root.liveupdate_num <= found.root.liveupdate_num) {
            latest = Some(found);
        }
    }
    let passed_over = passed_over.into_vec(|count| StateError::More { count });
    let Some(latest) = latest else {
        return Err(StateError::NotFound { start, end, passed_over });
    };
    let mut warnings = Vec::new();
    for error in passed_over {
        if is_other_version(&error) {
            warnings.push(Warning::OtherVersion(Box::new(error)));
        }
    }
    // Several trees may lead to one root.
    with_sessions.sort_unstable_by_key(|found| found.root_addr);
    with_sessions.dedup_by_key(|found| found.root_addr);
    for Found { root, root_addr, .. } in with_sessions {
        if root_addr != latest.root_addr {
            let (liveupdate_num, sessions) = (root.liveupdate_num, root.sessions.addr());
            warnings.push(Warning::OlderRoot { addr: root_addr, liveupdate_num, sessions });
        }
    }
    let Found { root_addr, tree, preserved_map, .. } = latest;
    Ok(Latest { root_addr, tree, preserved_map, warnings })
}

/// Reads the root to which the tree at `addr` leads.
fn read_found<M: ReadMemory>(
    memory: &M,
    addr: PhysAddr,
    tree: Result<KhoTree, KhoTreeErrorKind>,
) -> Result<Found, StateError> {
    let error = |kind| KhoTreeError { addr, kind };
    let tree = tree.map_err(error)?;
    let root_addr = tree.luo_root_addr().map_err(error)?;
    let root = read_root(memory, root_addr)?;
    Ok(Found { root, root_addr, tree: addr, preserved_map: tree.preserved_map })
}

/// Returns whether an error is about KHO's or LUO's data. Memory also holds other device trees.
fn is_candidate(error: &StateError) -> bool {
    match error {
        StateError::Tree(KhoTreeError { kind, .. }) => match kind {
            KhoTreeErrorKind::Incompatible { .. } => is_other_version(error),
            KhoTreeErrorKind::NotATree
            | KhoTreeErrorKind::Unreadable(_)
            | KhoTreeErrorKind::TooLarge { .. }
            | KhoTreeErrorKind::Malformed { .. } => false,
            _ => true,
        },
        _ => true,
    }
}

/// Returns whether an error is about a KHO tree or a LUO root whose version is not supported.
fn is_other_version(error: &StateError) -> bool {
    match error {
        StateError::Tree(KhoTreeError {
            kind: KhoTreeErrorKind::Incompatible { found: Some(found) },
            ..
        }) => found.split('\0').any(|name| name.starts_with("kho-v")),
        StateError::Root { kind: RootErrorKind::Incompatible { found }, .. } => {
            found.starts_with(b"luo-v")
        }
        _ => false,
    }
}
