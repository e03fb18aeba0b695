//! Valid state that may be fatal gives a warning. State that the kernel wrote gives none.

use crate::world::{World, block, captures, file};
use kho_luo::{LuoState, Severity, StatePart, Warning, abi};

/// Returns the first capture: 52 sessions in two blocks. Session 1 has 62 files.
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
fn captures_give_no_warnings() {
    for capture in captures() {
        assert_eq!(capture.world.read().unwrap().warnings, []);
    }
}

/// There is one warning for each handler. It names the first file and the known handlers.
#[test]
fn unknown_handlers_give_warnings() {
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
        "file 5 of session 3 \"D-session-003\" has the unknown handler \"vfio-v1\" (known: \
         \"memfd-v2\"): if the new kernel does not have it, all sessions are lost"
    );
    assert_eq!(abi::FILE_HANDLERS, ["memfd-v2"]);
}

/// A block of sessions has the count 20 instead of 51, and another block follows. 31 sessions are
/// lost, and nothing else shows it.
#[test]
fn a_short_block_of_sessions_gives_a_warning() {
    let (mut world, state) = world();
    let first = state.session_blocks[0];
    world.put_u64(first.get() + 8, 20);
    let short = world.read().unwrap();
    assert_eq!(short.sessions.len(), 21);
    let [warning] = &short.warnings[..] else { panic!("{:?}", short.warnings) };
    let expected = Warning::ShortBlock {
        addr: first,
        part: StatePart::Sessions,
        position: 0,
        count: 20,
        max: 51,
    };
    assert_eq!(*warning, expected);
    assert_eq!(warning.severity(), Severity::Lost);
    // The last block may have room.
    world.put_u64(first.get() + 8, 51);
    world.put_u64(first.get(), 0);
    world.put_u64(first.get() + 8, 20);
    assert_eq!(world.read().unwrap().warnings, []);
}

/// The session's file count shows whether files are lost. So a short block is harmless if it
/// agrees.
#[test]
fn a_short_block_of_files_gives_a_warning() {
    let (mut world, state) = world();
    let session = state.sessions.iter().position(|session| session.file_blocks.len() > 1).unwrap();
    let block = state.sessions[session].file_blocks[0];
    world.put_u64(block.get() + 8, 40);
    let (short, faults) = world.inspect().unwrap();
    assert_eq!(faults.len(), 1);
    let part = StatePart::Files { session };
    let expected = Warning::ShortBlock { addr: block, part, position: 0, count: 40, max: 63 };
    assert_eq!(short.warnings, [expected]);
    let count = state.session_blocks[0].get() + 16 + 80 * session as u64 + 72;
    world.put_u64(count, state.sessions[session].files.len() as u64 - 23);
    let short = world.read().unwrap();
    assert_eq!(short.warnings[0].severity(), Severity::Accepted);
}

/// Like faults, warnings are kept up to a limit, the worst ones.
#[test]
fn warnings_are_kept_up_to_a_limit() {
    let (mut world, state) = world();
    let long = 1 << 40;
    let blocks = 1_100_u64;
    // 1,100 blocks with one file each. Each file has another handler, except the last 50.
    for index in 0..blocks {
        let addr = long + index * 4096;
        let next = if index + 1 == blocks { 0 } else { addr + 4096 };
        let name = if index < 1_050 { format!("handler-{index}") } else { "memfd-v2".to_owned() };
        world.pages.insert(addr, block(next, &[file(name.as_bytes(), index)]));
    }
    let session = state.session_blocks[0].get() + 16 + 80;
    world.put_u64(session + 64, long);
    world.put_u64(session + 72, blocks);
    let warnings = world.read().unwrap().warnings;
    assert_eq!(warnings.len(), LuoState::MAX_FAULTS + 1);
    assert!(matches!(warnings[0], Warning::UnknownHandler { file: 0, .. }));
    assert!(matches!(warnings[999], Warning::UnknownHandler { file: 999, .. }));
    // 50 more handlers, and each block except the last has room.
    assert_eq!(warnings[1_000], Warning::More { count: 50 + 1_099 });
}
