//! The search for LUO's root in an image.

use core::ops::Range;

use kho_block::{PhysAddr, ReadMemory};

use crate::abi::LuoRoot;
use crate::error::{RootErrorKind, StateError};
use crate::faults::Faults;
use crate::tree::{KhoTree, TreeError, TreeErrorKind, trees};
use crate::walk::read_root;
use crate::warning::Warning;

/// How much of what was passed over is named.
const MAX_NAMED: usize = 8;

/// The latest root.
pub(crate) struct Found {
    pub(crate) root: PhysAddr,
    /// The tree that leads to it, and to the map of preserved memory.
    pub(crate) tree: PhysAddr,
    pub(crate) map: PhysAddr,
    pub(crate) warnings: Vec<Warning>,
}

/// Finds the root of the highest number of live updates; of two alike the one that comes last.
pub(crate) fn latest<M: ReadMemory>(memory: &M, range: Range<u64>) -> Result<Found, StateError> {
    let Range { start, end } = range;
    let mut latest: Option<(LuoRoot, Found)> = None;
    let mut with_sessions = Vec::new();
    // Other versions first: they explain more than what is overwritten.
    let mut passed_over = Faults::new(MAX_NAMED);
    for (tree, read) in trees(memory, range) {
        let (map, root, addr) = match root_of(memory, tree, read) {
            Ok(found) => found,
            Err(error) => {
                if is_candidate(&error) {
                    passed_over.push(!is_other_version(&error), error);
                }
                continue;
            }
        };
        if !root.sessions.addr().is_null() && with_sessions.len() < MAX_NAMED {
            with_sessions.push((addr, root));
        }
        if latest.as_ref().is_none_or(|(latest, _)| latest.liveupdate_num <= root.liveupdate_num) {
            latest = Some((root, Found { root: addr, tree, map, warnings: Vec::new() }));
        }
    }
    let passed_over = passed_over.into_vec(|count| StateError::More { count });
    let Some((_, mut latest)) = latest else {
        return Err(StateError::NotFound { start, end, passed_over });
    };
    let others = passed_over.into_iter().filter(is_other_version);
    latest.warnings.extend(others.map(|error| Warning::OtherVersion(Box::new(error))));
    // Several trees may lead to one root.
    with_sessions.sort_unstable_by_key(|(addr, _)| *addr);
    with_sessions.dedup_by_key(|(addr, _)| *addr);
    with_sessions.retain(|(addr, _)| *addr != latest.root);
    latest.warnings.extend(with_sessions.into_iter().map(|(addr, root)| {
        let (liveupdate_num, sessions) = (root.liveupdate_num, root.sessions.addr());
        Warning::OlderRoot { addr, liveupdate_num, sessions }
    }));
    Ok(latest)
}

/// Where the map is that a tree leads to, LUO's root, and the root's address.
fn root_of<M: ReadMemory>(
    memory: &M,
    addr: PhysAddr,
    tree: Result<KhoTree, TreeErrorKind>,
) -> Result<(PhysAddr, LuoRoot, PhysAddr), StateError> {
    let error = |kind| TreeError { addr, kind };
    let tree = tree.map_err(error)?;
    let root = tree.luo().map_err(error)?;
    Ok((tree.memory_map, read_root(memory, root)?, root))
}

/// Whether an error is that of something of KHO's or LUO's: other device trees lie in memory, too.
fn is_candidate(error: &StateError) -> bool {
    match error {
        StateError::Tree(TreeError { kind, .. }) => match kind {
            TreeErrorKind::Incompatible { .. } => is_other_version(error),
            TreeErrorKind::NotATree
            | TreeErrorKind::Unreadable(_)
            | TreeErrorKind::TooLarge { .. }
            | TreeErrorKind::Malformed(_) => false,
            _ => true,
        },
        _ => true,
    }
}

/// Whether an error is that of a tree of KHO's or a root of LUO's whose version this crate does not
/// know.
fn is_other_version(error: &StateError) -> bool {
    match error {
        StateError::Tree(TreeError {
            kind: TreeErrorKind::Incompatible { found: Some(found) },
            ..
        }) => found.split('\0').any(|name| name.starts_with("kho-v")),
        StateError::Root { kind: RootErrorKind::Incompatible { found }, .. } => {
            found.starts_with(b"luo-v")
        }
        _ => false,
    }
}
