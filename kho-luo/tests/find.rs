//! What a search names that it has not chosen.
// The bytes are of x86-64.
#![cfg(all(target_endian = "little", target_pointer_width = "64"))]

mod common;

use bytemuck::bytes_of;
use common::{World, captures, handed_over, kho_tree, tree};
use kho_block::PhysAddr;
use kho_luo::{LuoRoot, LuoState, StateError, Warning};

const MAP: (&str, &[u8]) = ("preserved-memory-map", &[0, 0, 1, 0, 0, 0, 0, 0]);

/// A capture with these pages besides.
fn world(pages: &[(u64, &[u8])]) -> World {
    let [capture, _] = captures();
    with(capture.world, pages)
}

fn with(mut world: World, pages: &[(u64, &[u8])]) -> World {
    for (addr, bytes) in pages {
        let mut page = vec![0; common::PAGE];
        page[..bytes.len()].copy_from_slice(bytes);
        assert!(world.pages.insert(*addr, page).is_none());
    }
    world
}

fn find(world: &World) -> Result<LuoState, StateError> {
    LuoState::find(&world.image(), 0..u64::MAX)
}

/// What a search that finds nothing says.
fn nothing(pages: &[(u64, &[u8])]) -> String {
    find(&world(pages)).unwrap_err().to_string()
}

#[test]
fn versions_that_are_passed_over_are_named() {
    let newer = tree(&[("compatible", b"kho-v5\0"), MAP], vec![handed_over("LUO", 0x2000, 32)]);
    let said = nothing(&[(0x1000, &newer)]);
    assert!(
        said.contains("0x1000") && said.contains("kho-v5") && said.contains("kho-v4"),
        "{said}"
    );

    let root = LuoRoot {
        compatible: *b"luo-v6\0\0",
        ..LuoRoot::new(1, Default::default(), PhysAddr::NULL)
    };
    let said = nothing(&[(0x1000, &kho_tree(0x2000)), (0x2000, bytes_of(&root))]);
    assert!(
        said.contains("0x2000") && said.contains("luo-v6") && said.contains("luo-v5"),
        "{said}"
    );

    // Both, and a tree that has nothing of LUO's.
    let empty = tree(&[("compatible", b"kho-v4\0"), MAP], vec![]);
    let said = nothing(&[
        (0x1000, &empty),
        (0x2000, bytes_of(&root)),
        (0x3000, &kho_tree(0x2000)),
        (0x4000, &newer),
    ]);
    for part in ["luo-v6", "kho-v5", "nothing was handed over as \"LUO\""] {
        assert!(said.contains(part), "{said}");
    }
}

/// The machine's own device tree, and what only begins as one, are nothing to tell of.
#[test]
fn other_trees_are_not_named() {
    let machine = tree(&[("compatible", b"linux,dummy-virt\0")], vec![]);
    let said = nothing(&[(0x1000, &machine), (0x2000, &[0xd0, 0x0d, 0xfe, 0xed, 0, 0, 1, 0])]);
    assert_eq!(
        said,
        "from 0x0 to 0xffffffffffffffff no device tree of KHO's leads to a root of LUO's"
    );
}

/// Beside a good one they are warnings.
#[test]
fn other_versions_beside_a_good_one() {
    let newer = tree(&[("compatible", b"kho-v5\0"), MAP], vec![]);
    let [capture, _] = captures();
    let good = kho_tree(capture.world.root);
    let state = find(&with(capture.world, &[(0x1000, &newer), (0x2000, &good)])).unwrap();
    let [Warning::OtherVersion(error)] = &state.warnings[..] else {
        panic!("{:?}", state.warnings)
    };
    assert!(error.to_string().contains("kho-v5"), "{error}");
    assert_eq!(state.sessions.len(), 52);
}

/// A kernel that came up by a live update prepares the next one: its root has no sessions yet. Those
/// that it came up with may still be there.
#[test]
fn an_older_root_with_sessions() {
    let [capture, _] = captures();
    let (old, sessions) = (capture.world.root, capture.said["sessions_pa"].as_u64().unwrap());
    let root = LuoRoot::new(2, Default::default(), PhysAddr::NULL);
    // Two trees lead to the older one.
    let trees = [kho_tree(old), kho_tree(0x9000)];
    let world = with(
        capture.world,
        &[(0x1000, &trees[0]), (0x2000, &trees[1]), (0x3000, &trees[0]), (0x9000, bytes_of(&root))],
    );
    let state = find(&world).unwrap();
    assert_eq!((state.addr.get(), state.sessions.len()), (0x9000, 0));
    let [Warning::OlderRoot { addr, liveupdate_num, sessions: head, .. }] = state.warnings[..]
    else {
        panic!("{:?}", state.warnings)
    };
    assert_eq!((addr.get(), liveupdate_num, head.get()), (old, 1, sessions));
    // The other way round there is nothing to warn of: the older one is empty.
    let newest = LuoRoot { liveupdate_num: 0, ..root };
    let mut world = world;
    world.put(0x9000, bytes_of(&newest));
    let state = find(&world).unwrap();
    assert_eq!((state.addr.get(), state.warnings), (old, vec![]));
}

/// However many there are, the list is short, and other versions come first.
#[test]
fn the_list_is_short() {
    let empty = tree(&[("compatible", b"kho-v4\0"), MAP], vec![]);
    let newer = tree(&[("compatible", b"kho-v5\0"), MAP], vec![]);
    let mut pages: Vec<(u64, &[u8])> = (1..=100).map(|page| (page << 12, &empty[..])).collect();
    pages.push((0x10_0000, &newer));
    let [capture, _] = captures();
    let error = find(&with(capture.world, &pages)).unwrap_err();
    let StateError::NotFound { passed_over, .. } = error else { panic!("{error}") };
    assert_eq!(passed_over.len(), 9);
    assert!(passed_over[0].to_string().contains("kho-v5"));
    assert_eq!(passed_over[8], StateError::More { count: 93 });
}
