//! Each fault, made by one change to a capture, gives its own error, and `inspect` continues after it.

use crate::world::{Counting, PAGE, World, block, captures, file, inspect, session};
use kho_block::{PhysAddr, ReadErrorKind, RestoreErrorKind};
use kho_luo::{
    CompatibleName, FileErrorKind, FlbErrorKind, LuoFlb, LuoState, NameError, RootErrorKind,
    SessionErrorKind, Severity, StateError, StatePart, write_flbs,
};

/// Returns the first capture. Session 0 has no files, session 1 has 62, some have several blocks of them.
fn world() -> (World, LuoState) {
    let [capture, _] = captures();
    let state = capture.world.read().unwrap();
    (capture.world, state)
}

/// Returns the address of the entry of session `index`.
fn session_at(state: &LuoState, index: usize) -> u64 {
    state.session_blocks[index / 51].get() + 16 + 80 * (index % 51) as u64
}

/// Returns the address of file `file` of session `index`.
fn file_at(state: &LuoState, index: usize, file: usize) -> u64 {
    state.sessions[index].file_blocks[file / 63].get() + 16 + 64 * (file % 63) as u64
}

/// Changes a good capture, and returns the fault that `read` reports. `inspect` reports it first.
#[track_caller]
fn fault(change: impl FnOnce(&mut World, &LuoState)) -> StateError {
    let (mut world, state) = world();
    change(&mut world, &state);
    let error = world.read().unwrap_err();
    match world.inspect() {
        Ok((_, faults)) => assert_eq!(faults.first(), Some(&error)),
        Err(inspected) => assert_eq!(inspected, error),
    }
    assert!(!error.to_string().is_empty());
    error
}

#[track_caller]
fn session_fault(change: impl FnOnce(&mut World, &LuoState)) -> (usize, SessionErrorKind) {
    match fault(change) {
        StateError::Session { index, kind, .. } => (index, kind),
        other => panic!("{other}"),
    }
}

#[track_caller]
fn flb_fault(change: impl FnOnce(&mut World, u64)) -> FlbErrorKind {
    let error = fault(|world, state| change(world, state.root.flbs.get()));
    match error {
        StateError::Flbs { kind, .. } => kind,
        other => panic!("{other}"),
    }
}

#[test]
fn faults_of_the_root() {
    let root = |change: fn(&mut World)| match fault(|world, _| change(world)) {
        StateError::Root { kind, .. } => kind,
        other => panic!("{other}"),
    };
    assert_eq!(root(|world| world.root = 0), RootErrorKind::Null);
    assert_eq!(root(|world| world.root += 8), RootErrorKind::Misaligned);
    assert_eq!(
        root(|world| world.root = 0x5_0000_0000),
        RootErrorKind::Unreadable(ReadErrorKind::Outside)
    );
    let newer = root(|world| world.put(world.root, b"luo-v6\0\0"));
    assert_eq!(newer, RootErrorKind::Incompatible { found: *b"luo-v6\0\0" });
    assert!(newer.to_string().contains("luo-v6"), "{newer}");
    assert!(newer.to_string().contains("luo-v5"), "{newer}");
    // Like the kernel, compare all 8 bytes.
    let found = *b"luo-v5x\0";
    let longer = root(|world| world.put(world.root, b"luo-v5x\0"));
    assert_eq!(longer, RootErrorKind::Incompatible { found });
}

#[test]
fn a_state_without_sessions_and_global_objects_is_valid() {
    let (mut world, state) = world();
    world.put_u64(state.root_addr.get() + 16, 0);
    world.put_u64(state.root_addr.get() + 24, 0);
    let state = world.read().unwrap();
    assert!(state.sessions.is_empty() && state.flbs.is_empty() && state.session_blocks.is_empty());
}

#[test]
fn faults_of_the_chain_of_sessions() {
    let sessions = |change: fn(&mut World, &LuoState)| match fault(change) {
        StateError::Sessions(error) => (error.position, error.kind),
        other => panic!("{other}"),
    };
    let head = |world: &mut World, state: &LuoState, value| {
        world.put_u64(state.root_addr.get() + 16, value);
    };
    assert_eq!(
        sessions(|world, state| world.put_u64(state.session_blocks[1].get() + 8, 0)),
        (1, RestoreErrorKind::NoEntries)
    );
    assert_eq!(
        sessions(|world, state| world.put_u64(state.session_blocks[0].get() + 8, 52)),
        (0, RestoreErrorKind::TooManyEntries { count: 52, max: 51 })
    );
    assert_eq!(
        sessions(|world, state| world.put_u64(state.session_blocks[0].get(), 0x1008)),
        (1, RestoreErrorKind::Misaligned)
    );
    assert_eq!(
        sessions(|world, state| world.put_u64(state.session_blocks[0].get(), 0x5_0000_0000)),
        (1, RestoreErrorKind::Outside)
    );
    let first = |world: &mut World, state: &LuoState| {
        world.put_u64(state.session_blocks[1].get(), state.session_blocks[0].get());
    };
    match fault(first) {
        StateError::Sessions(error) => {
            assert_eq!(error.position, 2);
            assert_eq!(error.kind, RestoreErrorKind::Cycle);
        }
        other => panic!("{other}"),
    }
    match fault(|world, state| head(world, state, 0x1001)) {
        StateError::Sessions(error) => assert_eq!(error.kind, RestoreErrorKind::Misaligned),
        other => panic!("{other}"),
    }
}

#[test]
fn a_chain_that_is_too_long_is_a_fault() {
    let (mut world, state) = world();
    let first = 0x1_0000_0000;
    for index in 0..10_001_u64 {
        let addr = first + index * PAGE as u64;
        let entry = session(&format!("{index:08}"), 0, 0);
        world.pages.insert(addr, block(addr + PAGE as u64, &[entry]));
    }
    world.put_u64(state.root_addr.get() + 16, first);
    match world.read() {
        Err(StateError::Sessions(error)) => {
            assert_eq!(error.position, 10_000);
            assert_eq!(error.kind, RestoreErrorKind::TooLong { limit: 10_000 });
        }
        other => panic!("{other:?}"),
    }
    // A chain of as many blocks as the limit is valid.
    world.put_u64(first + 9_999 * PAGE as u64, 0);
    assert_eq!(world.read().unwrap().sessions.len(), 10_000);
}

#[test]
fn faults_of_names() {
    assert_eq!(
        session_fault(|world, state| world.put(session_at(state, 3), &[b'x'; 64])),
        (3, SessionErrorKind::Name(NameError::NotTerminated))
    );
    assert_eq!(
        session_fault(|world, state| world.put(session_at(state, 51), &[0; 64])),
        (51, SessionErrorKind::Name(NameError::Empty))
    );
    assert_eq!(
        session_fault(|world, state| {
            world.put(session_at(state, 51), &state.sessions[4].entry.name);
        }),
        (51, SessionErrorKind::Duplicate { first: 4 })
    );
    // Bytes after the zero are not part of the name.
    let (mut world, state) = world();
    let [rest @ .., _] = [b'x'; 64 - 20];
    world.put(session_at(&state, 3) + 20, &rest);
    assert_eq!(world.read().unwrap().sessions[3].name, state.sessions[3].name);
}

#[test]
fn faults_of_files() {
    let (index, kind) =
        session_fault(|world, state| world.put_u64(session_at(state, 1) + 64, 0x1001));
    assert_eq!(index, 1);
    let SessionErrorKind::Files(error) = kind else { panic!("{kind}") };
    assert_eq!(error.kind, RestoreErrorKind::Misaligned);

    assert_eq!(
        session_fault(|world, state| world.put_u64(session_at(state, 1) + 72, 63)),
        (1, SessionErrorKind::Count { counted: 63, found: 62 })
    );
    // There are no files, but the count is 1.
    assert_eq!(
        session_fault(|world, state| world.put_u64(session_at(state, 0) + 72, 1)),
        (0, SessionErrorKind::Count { counted: 1, found: 0 })
    );
    // Only the session's count shows that the last file of the block is lost.
    let (index, kind) = session_fault(|world, state| {
        world.put_u64(state.sessions[1].file_blocks[0].get() + 8, 61);
    });
    assert_eq!((index, kind), (1, SessionErrorKind::Count { counted: 62, found: 61 }));

    let file = |kind| SessionErrorKind::File { file: 5, kind };
    assert_eq!(
        session_fault(|world, state| world.put(file_at(state, 1, 5), &[b'x'; 48])),
        (1, file(FileErrorKind::Compatible(NameError::NotTerminated)))
    );
    assert_eq!(
        session_fault(|world, state| world.put(file_at(state, 1, 5), &[0])),
        (1, file(FileErrorKind::Compatible(NameError::Empty)))
    );
    let (_, state) = world();
    let token = state.sessions[1].files[2].token;
    assert_eq!(
        session_fault(|world, state| world.put_u64(file_at(state, 1, 5) + 56, token)),
        (1, file(FileErrorKind::DuplicateToken { token, first: 2 }))
    );
    // Another session may have the same token.
    let (mut world, state) = world();
    let other =
        state.sessions.iter().skip(2).position(|session| !session.files.is_empty()).unwrap() + 2;
    world.put_u64(file_at(&state, other, 0) + 56, token);
    assert!(world.read().is_ok());
}

#[test]
fn blocks_that_belong_to_two_parts_are_faults() {
    let shared = |change: fn(&mut World, &LuoState)| match fault(change) {
        StateError::Shared { addr, first, second } => (addr, first, second),
        other => panic!("{other}"),
    };
    let (_, state) = world();
    let files = |session: usize| StatePart::Files { session };
    let with_files: Vec<usize> =
        (0..52).filter(|index| !state.sessions[*index].files.is_empty()).collect();
    let [a, b, ..] = with_files[..] else { panic!() };
    assert_eq!((a, b), (1, 2));
    // Two sessions have the same chain of files.
    assert_eq!(
        shared(|world, state| {
            let files = state.sessions[1].entry;
            world.put_u64(session_at(state, 2) + 64, files.files.addr().get());
            world.put_u64(session_at(state, 2) + 72, files.file_count);
        }),
        (state.sessions[1].file_blocks[0], files(1), files(2))
    );
    // A chain of files leads into another.
    assert_eq!(
        shared(|world, state| {
            let [block, ..] = state.sessions[2].file_blocks[..] else { panic!() };
            world.put_u64(block.get(), state.sessions[1].file_blocks[0].get());
        }),
        (state.sessions[1].file_blocks[0], files(1), files(2))
    );
    // A chain of files leads to a block of sessions. The block's count is valid for files, too.
    assert_eq!(
        shared(|world, state| {
            world.put_u64(session_at(state, 0) + 64, state.session_blocks[1].get());
        }),
        (state.session_blocks[1], StatePart::Sessions, files(0))
    );
    // The global objects overlap the root's page.
    let (addr, first, second) = shared(|world, state| {
        let page = state.root_addr.get();
        // Their header, on the page before, counts two pages.
        let before = page - PAGE as u64;
        let mut header = vec![0; PAGE];
        header[..8].copy_from_slice(&2_u64.to_ne_bytes());
        world.pages.insert(before, header);
        world.put_u64(state.root_addr.get() + 24, before);
    });
    assert_eq!((addr, first, second), (state.root_addr, StatePart::Root, StatePart::Flbs));
}

#[test]
fn faults_of_global_objects() {
    let object = |name: &str, count| LuoFlb::new(CompatibleName::new(name).unwrap(), 7, count);
    let entry = |addr: u64, index: u64| addr + 16 + 64 * index;
    let three = |world: &mut World, addr: u64| {
        let page = world.pages.get_mut(&addr).unwrap();
        write_flbs(page, PAGE, &[object("a", 1), object("b", 2), object("c", 3)]).unwrap();
    };

    let (mut good, state) = world();
    three(&mut good, state.root.flbs.get());
    let flbs = good.read().unwrap().flbs;
    let seen: Vec<(String, u64, u64)> =
        flbs.iter().map(|flb| (flb.name.to_string(), flb.data, flb.count)).collect();
    assert_eq!(seen, [("a".into(), 7, 1), ("b".into(), 7, 2), ("c".into(), 7, 3)]);

    let root_points = |world: &mut World, to: u64| world.put_u64(world.root + 24, to);
    assert_eq!(flb_fault(|world, flbs| root_points(world, flbs + 16)), FlbErrorKind::Misaligned);
    let outside = FlbErrorKind::Unreadable(ReadErrorKind::Outside);
    assert_eq!(flb_fault(|world, _| root_points(world, 0x5_0000_0000)), outside);
    for page_count in [0, 10_001, u64::MAX] {
        assert_eq!(
            flb_fault(|world, flbs| world.put_u64(flbs, page_count)),
            FlbErrorKind::PageCount { page_count }
        );
    }
    for count in [64, u64::MAX] {
        assert_eq!(
            flb_fault(|world, flbs| world.put_u64(flbs + 8, count)),
            FlbErrorKind::TooMany { count, max: 63 }
        );
    }
    // The header counts two pages, but the second one does not exist.
    assert_eq!(
        flb_fault(|world, flbs| {
            let end = 0x4_0000_0000;
            let page = world.pages[&flbs].clone();
            world.pages.insert(end, page);
            world.put_u64(end, 2);
            world.put_u64(end + 8, 64);
            for index in 0..63 {
                world.put(entry(end, index), bytemuck::bytes_of(&object(&format!("o{index}"), 1)));
            }
            root_points(world, end);
        }),
        outside
    );
    assert_eq!(
        flb_fault(|world, flbs| {
            three(world, flbs);
            world.put(entry(flbs, 1), &[b'x'; 48]);
        }),
        FlbErrorKind::Name { index: 1, error: NameError::NotTerminated }
    );
    assert_eq!(
        flb_fault(|world, flbs| {
            three(world, flbs);
            world.put(entry(flbs, 2), b"a\0");
        }),
        FlbErrorKind::Duplicate { index: 2, name: "a".try_into().unwrap(), first: 0 }
    );
    assert_eq!(
        flb_fault(|world, flbs| {
            three(world, flbs);
            world.put_u64(entry(flbs, 1) + 56, 0);
        }),
        FlbErrorKind::Unused { index: 1, name: "b".try_into().unwrap() }
    );
}

/// Of several faults, `read` returns the worst, wherever it is found.
#[test]
fn the_worst_fault_comes_first() {
    let (mut world, state) = world();
    let severities = |world: &World| -> Vec<Severity> {
        let (_, faults) = world.inspect().unwrap();
        assert_eq!(world.read().unwrap_err(), faults[0]);
        faults.iter().map(StateError::severity).collect()
    };
    // The page of global objects is missing. The kernel does not read it at boot.
    world.pages.remove(&state.root.flbs.get()).unwrap();
    assert_eq!(severities(&world), [Severity::Accepted]);
    // Two files have the same token, so the second can't be retrieved.
    world.put_u64(file_at(&state, 1, 5) + 56, state.sessions[1].files[2].token);
    assert_eq!(severities(&world), [Severity::Lost, Severity::Accepted]);
    // Two sessions share a block of files.
    world.put_u64(session_at(&state, 2) + 64, state.sessions[1].entry.files.addr().get());
    assert_eq!(severities(&world)[0], Severity::Corruption);
    // A session's file count is wrong, so nobody can open the device.
    world.put_u64(session_at(&state, 4) + 72, 900);
    assert_eq!(severities(&world)[0], Severity::AllLost);
    // A block of sessions is empty, so the kernel panics.
    world.put_u64(state.session_blocks[1].get() + 8, 0);
    let expected = [
        Severity::Panic,
        Severity::AllLost,
        Severity::Corruption,
        Severity::Lost,
        Severity::Accepted,
    ];
    assert_eq!(severities(&world), expected);
    assert!(matches!(world.read(), Err(StateError::Sessions(_))));
}

#[test]
fn an_entry_that_is_cut_off_is_a_fault() {
    let (mut world, state) = world();
    let block = state.session_blocks[1].get();
    world.pages.get_mut(&block).unwrap().truncate(16 + 79);
    assert_eq!(
        world.read().unwrap_err(),
        StateError::Unreadable {
            addr: PhysAddr::new(block + 16),
            part: StatePart::Sessions,
            kind: ReadErrorKind::Outside
        }
    );
}

/// There are three faults, and everything else is read.
#[test]
fn inspect_continues_after_a_fault() {
    let (mut world, state) = world();
    world.put(session_at(&state, 3), &[b'x'; 64]);
    world.put_u64(session_at(&state, 1) + 72, 63);
    world.put_u64(session_at(&state, 2) + 64, 0x1001);
    let (inspected, faults) = world.inspect().unwrap();
    let faults: Vec<Option<usize>> = faults
        .iter()
        .map(|fault| match fault {
            StateError::Session { index, .. } => Some(*index),
            _ => None,
        })
        .collect();
    assert_eq!(faults, [Some(1), Some(2), Some(3)]);
    assert_eq!(inspected.sessions.len(), 51);
    assert_eq!(inspected.sessions[1].files.len(), 62);
    assert!(inspected.sessions[2].files.is_empty());
    assert_eq!(inspected.session("D-session-051"), state.session("D-session-051"));
    assert!(state.session("D-session-051").is_some());
}

/// A long chain to which many sessions lead is read once, not once for each session.
#[test]
fn a_chain_that_many_share_is_read_once() {
    let (mut world, state) = world();
    // A chain of 5,000 blocks with one file each.
    let first = 0x1_0000_0000;
    for index in 0..5_000_u64 {
        let addr = first + index * PAGE as u64;
        let next = if index == 4_999 { 0 } else { addr + PAGE as u64 };
        world.pages.insert(addr, block(next, &[file(b"x", index)]));
    }
    // Every session has a block of its own that leads to it.
    for index in 0..52_u64 {
        let addr = 0x2_0000_0000 + index * PAGE as u64;
        world.pages.insert(addr, block(first, &[file(b"x", u64::MAX)]));
        world.put_u64(session_at(&state, index as usize) + 64, addr);
        world.put_u64(session_at(&state, index as usize) + 72, 5_001);
    }
    let memory = Counting::new(world.dump());
    let (inspected, faults) = inspect(&memory, world.root).unwrap();
    assert_eq!(inspected.sessions[0].files.len(), 5_001);
    assert_eq!(faults.len(), 51);
    assert!(memory.reads.get() < 3 * 5_000, "{} reads", memory.reads.get());
}
