//! A search names the trees and roots that it does not use.

use crate::world::{World, captures, handed_over, kho_tree, tree};
use bytemuck::bytes_of;
use kho_block::PhysAddr;
use kho_luo::{LuoRoot, LuoState, StateError, Warning};

const MAP: (&str, &[u8]) = ("preserved-memory-map", &[0, 0, 1, 0, 0, 0, 0, 0]);

/// Returns a capture with these pages added.
fn world(pages: &[(u64, &[u8])]) -> World {
    let [capture, _] = captures();
    with(capture.world, pages)
}

fn with(mut world: World, pages: &[(u64, &[u8])]) -> World {
    for (addr, bytes) in pages {
        let mut page = vec![0; crate::world::PAGE];
        page[..bytes.len()].copy_from_slice(bytes);
        assert!(world.pages.insert(*addr, page).is_none());
    }
    world
}

fn find(world: &World) -> Result<LuoState, StateError> {
    LuoState::find(&world.dump(), 0..u64::MAX)
}

/// Returns the message of a search that finds no root.
fn nothing(pages: &[(u64, &[u8])]) -> String {
    find(&world(pages)).unwrap_err().to_string()
}

#[test]
fn other_versions_are_named() {
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

    // Both, and a tree without LUO's node.
    let empty = tree(&[("compatible", b"kho-v4\0"), MAP], vec![]);
    let said = nothing(&[
        (0x1000, &empty),
        (0x2000, bytes_of(&root)),
        (0x3000, &kho_tree(0x2000)),
        (0x4000, &newer),
    ]);
    for part in ["luo-v6", "kho-v5", "no node \"LUO\""] {
        assert!(said.contains(part), "{said}");
    }
}

/// The machine's own device tree, and what only starts like one, are not mentioned.
#[test]
fn other_device_trees_are_not_named() {
    let machine = tree(&[("compatible", b"linux,dummy-virt\0")], vec![]);
    let said = nothing(&[(0x1000, &machine), (0x2000, &[0xd0, 0x0d, 0xfe, 0xed, 0, 0, 1, 0])]);
    assert_eq!(said, "no KHO device tree from 0x0 to 0xffffffffffffffff leads to LUO's root");
}

/// If there is a good one, other versions give warnings.
#[test]
fn other_versions_beside_a_good_one_give_warnings() {
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

/// A kernel that was started by a live update prepares the next one. The root that it prepares has
/// no sessions yet. The root that it was started with may still be there.
#[test]
fn an_older_root_with_sessions_gives_a_warning() {
    let [capture, _] = captures();
    let (old, sessions) = (capture.world.root, capture.said["sessions_pa"].as_u64().unwrap());
    let root = LuoRoot::new(2, Default::default(), PhysAddr::NULL);
    // Two trees lead to the older root.
    let trees = [kho_tree(old), kho_tree(0x9000)];
    let world = with(
        capture.world,
        &[(0x1000, &trees[0]), (0x2000, &trees[1]), (0x3000, &trees[0]), (0x9000, bytes_of(&root))],
    );
    let state = find(&world).unwrap();
    assert_eq!((state.root_addr.get(), state.sessions.len()), (0x9000, 0));
    let [Warning::OlderRoot { addr, liveupdate_num, sessions: head, .. }] = state.warnings[..]
    else {
        panic!("{:?}", state.warnings)
    };
    assert_eq!((addr.get(), liveupdate_num, head.get()), (old, 1, sessions));
    // If the older root is the one without sessions, there is no warning.
    let newest = LuoRoot { liveupdate_num: 0, ..root };
    let mut world = world;
    world.put(0x9000, bytes_of(&newest));
    let state = find(&world).unwrap();
    assert_eq!((state.root_addr.get(), state.warnings), (old, vec![]));
}

#[test]
fn of_roots_with_the_same_number_the_last_is_used() {
    let root = LuoRoot::new(7, Default::default(), PhysAddr::NULL);
    let trees = [kho_tree(0x8000), kho_tree(0x9000)];
    let pages: [(u64, &[u8]); 4] = [
        (0x1000, &trees[1]),
        (0x2000, &trees[0]),
        (0x8000, bytes_of(&root)),
        (0x9000, bytes_of(&root)),
    ];
    assert_eq!(find(&world(&pages)).unwrap().root_addr.get(), 0x8000);
}

/// The list is short, however many there are, and other versions come first.
#[test]
fn the_list_of_unused_trees_is_short() {
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
