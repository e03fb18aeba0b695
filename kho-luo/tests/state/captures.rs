//! Two captures of what Linux 7.2.13 handed over. Reading them gives what was in the kernel, and
//! writing the same sessions gives the same bytes.

use std::collections::BTreeMap;

use crate::world::{
    self, Capture, PAGE, addrs, captures, handed_over, kho_tree, list, number, tree,
};
use kho_block::{DumpMemory, PageMemory, PhysAddr};
use kho_luo::{
    KhoTree, KhoTreeErrorKind, LuoFile, LuoRoot, LuoState, Preserved, PreservedMap, SessionName,
    StateError, abi, write_sessions,
};

#[test]
fn captures_decode_to_what_was_in_the_kernel() {
    for capture in captures() {
        let state = capture.world.read().unwrap();
        assert_eq!(state.root_addr.get(), number(&capture.said["luo_pa"]));
        assert_eq!(state.root.compatible, abi::LUO_COMPATIBLE_FIELD);
        assert_eq!(state.root.liveupdate_num, number(&capture.said["liveupdate_num"]));
        assert_eq!(state.root.sessions.addr().get(), number(&capture.said["sessions_pa"]));
        assert_eq!(state.root.flbs.get(), number(&capture.said["flbs_pa"]));
        assert_eq!(state.session_blocks, addrs(&capture.said["session_blocks"]));
        assert!(state.flbs.is_empty());
        let said = list(&capture.said["sessions"]);
        assert_eq!(state.sessions.len(), said.len());
        for (index, (session, said)) in state.sessions.iter().zip(said).enumerate() {
            assert_eq!(session.name, said["name"].as_str().unwrap());
            assert_eq!(session.entry.files.addr().get(), number(&said["files_pa"]));
            assert_eq!(session.entry.file_count, number(&said["count"]));
            assert_eq!(session.file_blocks, addrs(&said["file_blocks"]));
            assert_eq!(session.files, capture.files(index));
        }
        let (inspected, faults) = capture.world.inspect().unwrap();
        assert_eq!((inspected, faults), (state, vec![]));
    }
}

/// Checks numbers that do not come from the JSON.
#[test]
fn captures_have_the_known_numbers() {
    let counts = captures().map(|capture| {
        let state = capture.world.read().unwrap();
        let files: usize = state.sessions.iter().map(|session| session.files.len()).sum();
        let longest = state.sessions.iter().map(|session| session.files.len()).max();
        (state.sessions.len(), state.session_blocks.len(), files, longest)
    });
    assert_eq!(counts, [(52, 2, 488, Some(127)), (100, 2, 328, Some(130))]);
}

#[test]
fn writing_a_capture_again_gives_the_same_bytes() {
    for capture in captures() {
        let state = capture.world.read().unwrap();
        let files: Vec<Vec<LuoFile>> = state
            .sessions
            .iter()
            .map(|session| session.files.iter().map(|file| file.to_entry()).collect())
            .collect();
        // Blocks are allocated in this order.
        let order = state.sessions.iter().flat_map(|session| &session.file_blocks);
        let order: Vec<PhysAddr> = order.chain(&state.session_blocks).copied().collect();
        #[repr(C, align(4096))]
        #[derive(Clone, Copy)]
        struct Page([u8; PAGE]);
        let mut pages = vec![Page([0xee; PAGE]); order.len()];
        let memory = PageMemory::new();
        for (addr, page) in order.iter().zip(&mut pages) {
            memory.add_free(*addr, &mut page.0).unwrap();
        }
        let sessions: Vec<(SessionName, &[LuoFile])> = state
            .sessions
            .iter()
            .map(|session| session.name)
            .zip(files.iter().map(|f| &f[..]))
            .collect();
        let head = write_sessions(&memory, sessions).unwrap();
        assert_eq!(head, state.root.sessions);
        assert_eq!(memory.usage().preserved, order.len());
        drop(memory);
        let written: BTreeMap<u64, &[u8]> =
            order.iter().map(|addr| addr.get()).zip(pages.iter().map(|page| &page.0[..])).collect();
        // Everything that was captured except the root and the global objects.
        let mut captured = capture.world.pages.clone();
        captured.remove(&state.root_addr.get()).unwrap();
        captured.remove(&state.root.flbs.get()).unwrap();
        assert!(written.keys().eq(captured.keys()));
        for (addr, page) in &captured {
            assert!(written[addr] == *page, "the page at {addr:#x} differs");
        }
        // The root is the same, too.
        let root = LuoRoot::new(state.root.liveupdate_num, head, state.root.flbs);
        assert_eq!(root, state.root);
        assert_eq!(&capture.world.pages[&state.root_addr.get()][..32], bytemuck::bytes_of(&root));
    }
}

/// Returns what reading a capture through its tree must give. The tree's map was not captured.
fn captured(capture: &Capture) -> LuoState {
    let mut state = capture.world.read().unwrap();
    assert_eq!(state.preserved, Preserved::NoTree);
    let dump = capture.world.dump();
    let map = PreservedMap::new(&dump, PhysAddr::new(0x1234_5000));
    state.preserved = Preserved::Unknown(map.block_at(PhysAddr::new(0x4000)).unwrap_err());
    state
}

#[test]
fn a_state_is_found_through_its_tree() {
    for capture in captures() {
        let bytes = kho_tree(capture.world.root);
        let mut dump = capture.world.dump();
        // An older tree, something else that starts like a tree, and the tree.
        let old = tree(&[("compatible", b"kho-v3\0")], vec![]);
        dump.insert(PhysAddr::new(0x1000), &old).unwrap();
        dump.insert(PhysAddr::new(0x2000), &[0xd0, 0x0d, 0xfe, 0xed, 0, 0, 1, 0][..]).unwrap();
        dump.insert(PhysAddr::new(0x4000), &bytes).unwrap();
        // Not at the start of a page, so it is not found.
        dump.insert(PhysAddr::new(0x6800), &bytes).unwrap();
        let found: Vec<(PhysAddr, KhoTree)> = KhoTree::scan(&dump, 0x800..1 << 30).collect();
        let [(addr, tree)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(addr.get(), 0x4000);
        assert_eq!(tree.preserved_map.get(), 0x1234_5000);
        let names: Vec<&str> = tree.nodes.iter().map(|node| &*node.name).collect();
        assert_eq!(names, ["kexec-metadata", "LUO"]);
        assert_eq!(tree.node("kexec-metadata").unwrap().size, 76);
        let state = LuoState::from_tree(&dump, *addr).unwrap();
        assert_eq!(state, captured(&capture));
        // Nothing is found outside of the range.
        assert_eq!(KhoTree::scan(&dump, 0x4001..1 << 30).count(), 0);
        assert_eq!(KhoTree::scan(&dump, 0..0x4000).count(), 0);
    }
}

/// The tree with the latest root is used. One that leads nowhere is skipped.
#[test]
fn the_latest_root_is_found() {
    let [capture, _] = captures();
    let trees = [kho_tree(0x1_0000), kho_tree(capture.world.root), kho_tree(0x2_0000)];
    let nowhere = tree(&[("compatible", b"kho-v4\0"), ("preserved-memory-map", &[0; 8])], vec![]);
    let older = LuoRoot::new(0, Default::default(), PhysAddr::NULL);
    let newer = LuoRoot { liveupdate_num: 2, ..older };
    let mut dump = capture.world.dump();
    let found = LuoState::find(&dump, 0..1 << 30);
    let nothing = StateError::NotFound { start: 0, end: 1 << 30, passed_over: vec![] };
    assert_eq!(found, Err(nothing));
    for (index, tree) in trees.iter().chain([&nowhere]).enumerate() {
        dump.insert(PhysAddr::new((index as u64 + 1) << 12), tree).unwrap();
    }
    // The root at 0x10000 is older. The one at 0x20000 has been overwritten.
    dump.insert(PhysAddr::new(0x1_0000), bytemuck::bytes_of(&older)).unwrap();
    dump.insert(PhysAddr::new(0x2_0000), &[0xff; 4096][..]).unwrap();
    assert_eq!(LuoState::find(&dump, 0..1 << 30), Ok(captured(&capture)));
    assert_eq!(LuoState::find(&dump, 0..0x2000).unwrap().root_addr.get(), 0x1_0000);
    let mut changed = DumpMemory::new();
    for (addr, bytes) in dump.pieces() {
        let bytes = if addr.get() == 0x1_0000 { bytemuck::bytes_of(&newer) } else { bytes };
        changed.insert(addr, bytes).unwrap();
    }
    assert_eq!(LuoState::find(&changed, 0..1 << 30).unwrap().root, newer);
}

#[test]
fn a_scan_ends_at_the_end_of_the_address_space() {
    let dump = DumpMemory::new();
    assert_eq!(KhoTree::scan(&dump, u64::MAX - 0x5000..u64::MAX).count(), 0);
    assert_eq!(KhoTree::scan(&dump, u64::MAX..u64::MAX).count(), 0);
}

/// Each fault of a tree has its own error.
#[test]
fn wrong_trees_are_refused() {
    type Kind = KhoTreeErrorKind;
    let number = 0x5000_u64.to_ne_bytes();
    let good: &[(&str, &[u8])] = &[("compatible", b"kho-v4\0"), ("preserved-memory-map", &number)];
    assert!(KhoTree::parse(&tree(good, vec![])).is_ok());
    // As for the kernel, one of several names is enough.
    let several: &[(&str, &[u8])] = &[("compatible", b"x\0kho-v4\0"), good[1]];
    assert!(KhoTree::parse(&tree(several, vec![])).is_ok());

    let parse =
        |properties: &[(&str, &[u8])], nodes| KhoTree::parse(&tree(properties, nodes)).unwrap_err();
    assert_eq!(KhoTree::parse(b""), Err(Kind::NotATree));
    assert_eq!(KhoTree::parse(&[0; 64]), Err(Kind::NotATree));
    let mut long = kho_tree(0);
    long[4..8].copy_from_slice(&0x1_0001_u32.to_be_bytes());
    assert_eq!(KhoTree::parse(&long), Err(Kind::TooLarge { len: 0x1_0001 }));
    let short = &kho_tree(0)[..100];
    assert!(matches!(KhoTree::parse(short), Err(Kind::Malformed { .. })));
    assert_eq!(
        parse(&[("compatible", b"kho-v5\0"), good[1]], vec![]),
        Kind::Incompatible { found: Some("kho-v5".to_owned()) }
    );
    assert_eq!(parse(&good[1..], vec![]), Kind::Incompatible { found: None });
    let property = "preserved-memory-map";
    assert_eq!(parse(&good[..1], vec![]), Kind::Missing { node: String::new(), property });
    assert_eq!(
        parse(&[good[0], (property, &[0; 4])], vec![]),
        Kind::NotANumber { node: String::new(), property, len: 4 }
    );
    let node = "LUO".to_owned();
    assert_eq!(
        parse(good, vec![world::node("LUO", &[("blob-size", &number)])]),
        Kind::Missing { node: node.clone(), property: "preserved-data" }
    );
    assert_eq!(
        parse(good, vec![world::node("LUO", &[("preserved-data", &number)])]),
        Kind::Missing { node: node.clone(), property: "blob-size" }
    );
    let twelve: &[u8] = &[0; 12];
    assert_eq!(
        parse(
            good,
            vec![world::node("LUO", &[("preserved-data", twelve), ("blob-size", &number)])]
        ),
        Kind::NotANumber { node, property: "preserved-data", len: 12 }
    );
    // The builder makes no two nodes with the same name, so one is renamed in the bytes.
    let mut twice = tree(good, vec![handed_over("LUO", 1, 32), handed_over("LUX", 1, 32)]);
    let at = twice.windows(4).position(|bytes| bytes == b"LUX\0").unwrap();
    twice[at + 2] = b'O';
    assert_eq!(KhoTree::parse(&twice), Err(Kind::Duplicate { node: "LUO".to_owned() }));

    let without = KhoTree::parse(&tree(good, vec![])).unwrap();
    assert_eq!(without.luo_root_addr(), Err(Kind::NoLuo));
    let small = KhoTree::parse(&tree(good, vec![handed_over("LUO", 0x5000, 31)])).unwrap();
    assert_eq!(small.luo_root_addr(), Err(Kind::LuoTooSmall { size: 31 }));

    let mut dump = DumpMemory::new();
    dump.insert(PhysAddr::new(0x4000), &long).unwrap();
    dump.insert(PhysAddr::new(0x5000), &[0; 4096][..]).unwrap();
    let read = |addr| KhoTree::read(&dump, PhysAddr::new(addr)).unwrap_err();
    assert_eq!(read(0x4000).kind, Kind::TooLarge { len: 0x1_0001 });
    assert_eq!(read(0x4000).addr.get(), 0x4000);
    assert_eq!(read(0x5000).kind, Kind::NotATree);
    let error = LuoState::from_tree(&dump, PhysAddr::new(0x1000)).unwrap_err();
    let StateError::Tree(error) = error else { panic!("{error}") };
    assert!(matches!(error.kind, Kind::Unreadable(_)));
}

/// Unlike in other device trees, numbers are in the byte order of the machine.
#[test]
fn numbers_are_in_the_byte_order_of_the_machine() {
    let tree = KhoTree::parse(&kho_tree(0x0102_0304_0506_0000)).unwrap();
    assert_eq!(tree.luo_root_addr().unwrap().get(), 0x0102_0304_0506_0000);
}
