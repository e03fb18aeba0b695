//! Sessions and global objects that can't be written give an error.

use kho_block::{PageMemory, PhysAddr, Usage};
use kho_luo::{
    CompatibleName, LuoFile, LuoFlb, NameError, SessionName, WriteFlbsError, WriteSessionsError,
    write_flbs, write_sessions,
};

use crate::world::PAGE;

#[repr(C, align(4096))]
#[derive(Clone, Copy)]
struct Page([u8; PAGE]);

fn file(token: u64) -> LuoFile {
    LuoFile::new(CompatibleName::new("memfd-v2").unwrap(), 0x1000, token)
}

fn counts(memory: &PageMemory<'_>) -> [usize; 3] {
    let Usage { free, owned, preserved, .. } = memory.usage();
    [free, owned, preserved]
}

/// If sessions can't be written, all blocks are freed.
#[test]
fn wrong_sessions_are_refused() {
    let name = |name| SessionName::new(name).unwrap();
    let mut pages = [Page([0xee; PAGE]); 4];
    let memory = PageMemory::new();
    for (addr, page) in [0x9000, 0x2000, 0x7000, 0x3000].into_iter().zip(&mut pages) {
        memory.add_free(PhysAddr::new(addr), &mut page.0).unwrap();
    }
    let two = [file(1), file(2)];
    let refused = |sessions: &[(SessionName, &[LuoFile])]| {
        let error = write_sessions(&memory, sessions.iter().copied()).unwrap_err();
        assert_eq!(counts(&memory), [4, 0, 0], "{error}");
        error
    };
    assert_eq!(
        refused(&[(name("a"), &two), (name("b"), &[]), (name("a"), &[])]),
        WriteSessionsError::DuplicateName { name: name("a") }
    );
    assert_eq!(
        refused(&[(name("a"), &two), (name("b"), &[file(3), file(3)])]),
        WriteSessionsError::DuplicateToken { session: name("b"), token: 3 }
    );
    let mut unterminated = file(9);
    unterminated.compatible = [b'x'; 48];
    assert_eq!(
        refused(&[(name("a"), &two), (name("b"), &[file(3), unterminated])]),
        WriteSessionsError::Compatible {
            session: name("b"),
            file: 1,
            error: NameError::NotTerminated
        }
    );
    // Four pages are too few for the files of the second session, or for the sessions.
    let many: Vec<LuoFile> = (0..63 * 3 + 1).map(file).collect();
    assert!(matches!(
        refused(&[(name("a"), &two), (name("b"), &many)]),
        WriteSessionsError::Files { session, .. } if session == name("b")
    ));
    assert!(matches!(refused(&[(name("b"), &many)]), WriteSessionsError::Sessions(_)));
    // The head of no sessions is null.
    assert!(write_sessions(&memory, []).unwrap().is_empty());
    assert!(!write_sessions(&memory, [(name("a"), &two[..])]).unwrap().is_empty());
    assert_eq!(counts(&memory), [2, 0, 2]);
}

#[test]
fn wrong_global_objects_are_refused() {
    let object = |name: &str, count| LuoFlb::new(CompatibleName::new(name).unwrap(), 7, count);
    let mut page = [0xee; 4096];
    let write = |page: &mut [u8], flbs: &[LuoFlb]| write_flbs(page, 4096, flbs).unwrap_err();
    assert_eq!(write(&mut page[..4095], &[]), WriteFlbsError::Length { len: 4095 });
    assert_eq!(write(&mut [], &[]), WriteFlbsError::Length { len: 0 });
    let many: Vec<LuoFlb> = (0..64).map(|index| object(&format!("o{index}"), 1)).collect();
    assert_eq!(write(&mut page, &many), WriteFlbsError::TooMany { count: 64, max: 63 });
    assert_eq!(
        write(&mut page, &[object("a", 1), object("a", 1)]),
        WriteFlbsError::Duplicate { index: 1, first: 0 }
    );
    assert_eq!(write(&mut page, &[object("a", 0)]), WriteFlbsError::Unused { index: 0 });
    let mut unterminated = object("a", 1);
    unterminated.name = [b'x'; 48];
    assert_eq!(
        write(&mut page, &[unterminated]),
        WriteFlbsError::Name { index: 0, error: NameError::NotTerminated }
    );
    assert!(page.iter().all(|byte| *byte == 0xee));
    write_flbs(&mut page, 4096, &many[..63]).unwrap();
    assert_eq!(page[..16], [1_u64.to_ne_bytes(), 63_u64.to_ne_bytes()].concat());
    assert_eq!(page[4032 - 48..][..4], *b"o62\0");
    // The bytes after the last object are zero.
    assert_eq!(page[16 + 63 * 64..], [0; 48]);
    write_flbs(&mut page, 4096, &many[..1]).unwrap();
    assert!(page[16 + 64..].iter().all(|byte| *byte == 0));
}
