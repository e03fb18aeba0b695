//! What is no fault and may be fatal: each gives a warning, and what the kernel writes gives none.
// The bytes are of x86-64.
#![cfg(all(target_endian = "little", target_pointer_width = "64"))]
#![allow(clippy::cast_possible_truncation)]

mod common;

use common::{World, captures};
use kho_luo::{LuoState, Part, Severity, Warning, abi};

/// The first capture: 52 sessions in two blocks, of which session 1 has 62 files.
fn world() -> (World, LuoState) {
    let [capture, _] = captures();
    let state = capture.world.read().unwrap();
    (capture.world, state)
}

fn set_handler(world: &mut World, state: &LuoState, session: usize, file: usize, name: &[u8]) {
    let block = state.sessions[session].file_blocks[file / 63].get();
    let mut field = [0; 48];
    field[..name.len()].copy_from_slice(name);
    world.put(block + 16 + 64 * (file % 63) as u64, &field);
}

#[test]
fn the_kernel_gives_no_cause() {
    for capture in captures() {
        assert_eq!(capture.world.read().unwrap().warnings, []);
    }
}

/// One warning a handler, which names the first file and the handlers that are known.
#[test]
fn handlers_that_no_kernel_has() {
    let (mut world, state) = world();
    set_handler(&mut world, &state, 3, 5, b"vfio-v1");
    set_handler(&mut world, &state, 3, 6, b"vfio-v1");
    set_handler(&mut world, &state, 1, 2, b"memfd-v3");
    let state = world.read().unwrap();
    let [Warning::UnknownHandler { session: 1, file: 2, .. }, vfio] = &state.warnings[..] else {
        panic!("{:?}", state.warnings)
    };
    assert_eq!(vfio.severity(), Severity::AllLost);
    assert_eq!(
        vfio.to_string(),
        "the handler \"vfio-v1\", of file 5 of session 3 \"D-session-003\", is none that this crate \
         knows of (\"memfd-v2\"): without it, all sessions are lost"
    );
    assert_eq!(abi::FILE_HANDLERS, ["memfd-v2"]);
}

/// A block of sessions that counts 20 of 51, and another one behind it: 31 sessions are lost, and
/// nothing else tells.
#[test]
fn a_middle_block_with_room() {
    let (mut world, state) = world();
    let first = state.session_blocks[0];
    world.put_u64(first.get() + 8, 20);
    let short = world.read().unwrap();
    assert_eq!(short.sessions.len(), 21);
    let [warning] = &short.warnings[..] else { panic!("{:?}", short.warnings) };
    let expected =
        Warning::ShortBlock { addr: first, part: Part::Sessions, position: 0, count: 20, max: 51 };
    assert_eq!(*warning, expected);
    assert_eq!(warning.severity(), Severity::Lost);
    // In the last block there may be room.
    world.put_u64(first.get() + 8, 51);
    world.put_u64(first.get(), 0);
    world.put_u64(first.get() + 8, 20);
    assert_eq!(world.read().unwrap().warnings, []);
}

/// Of files the session's count tells, so that it is only odd.
#[test]
fn a_middle_block_of_files_with_room() {
    let (mut world, state) = world();
    let session = state.sessions.iter().position(|session| session.file_blocks.len() > 1).unwrap();
    let block = state.sessions[session].file_blocks[0];
    world.put_u64(block.get() + 8, 40);
    let (short, faults) = world.inspect().unwrap();
    assert_eq!(faults.len(), 1);
    let part = Part::Files { session };
    let expected = Warning::ShortBlock { addr: block, part, position: 0, count: 40, max: 63 };
    assert_eq!(short.warnings, [expected]);
    let count = state.session_blocks[0].get() + 16 + 80 * session as u64 + 72;
    world.put_u64(count, state.sessions[session].files.len() as u64 - 23);
    let short = world.read().unwrap();
    assert_eq!(short.warnings[0].severity(), Severity::Accepted);
}

/// As faults are, warnings are kept up to a limit, the worst of them.
#[test]
fn warnings_are_kept_up_to_a_limit() {
    let (mut world, state) = world();
    let long = 1 << 40;
    let blocks = 1_100_u64;
    // 1,100 blocks of one file each, each of another handler but for the last 50.
    for index in 0..blocks {
        let addr = long + index * 4096;
        let mut page = vec![0; 4096];
        let next = if index + 1 == blocks { 0 } else { addr + 4096 };
        page[..8].copy_from_slice(&next.to_ne_bytes());
        page[8] = 1;
        let name = if index < 1_050 { format!("handler-{index}") } else { "memfd-v2".to_owned() };
        page[16..16 + name.len()].copy_from_slice(name.as_bytes());
        page[16 + 56..][..8].copy_from_slice(&index.to_ne_bytes());
        world.pages.insert(addr, page);
    }
    let session = state.session_blocks[0].get() + 16 + 80;
    world.put_u64(session + 64, long);
    world.put_u64(session + 72, blocks);
    let warnings = world.read().unwrap().warnings;
    assert_eq!(warnings.len(), LuoState::MAX_FAULTS + 1);
    assert!(matches!(warnings[0], Warning::UnknownHandler { file: 0, .. }));
    assert!(matches!(warnings[999], Warning::UnknownHandler { file: 999, .. }));
    // 50 handlers more, and each block but the last has room.
    assert_eq!(warnings[1_000], Warning::More { count: 50 + 1_099 });
}
