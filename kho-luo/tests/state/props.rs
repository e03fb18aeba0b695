//! Any bytes give a state or an error. Sessions that were written are read back unchanged.

use std::cell::Cell;
use std::sync::LazyLock;

use crate::world::{Capture, Counting, PAGE, World, captures, inspect, kho_tree};
use kho_block::{HeapMemory, PhysAddr, ReadError, ReadMemory};
use kho_luo::{
    CompatibleName, KhoTree, LuoFile, LuoFlb, LuoRoot, LuoState, SessionName, StateError,
    write_flbs, write_sessions,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::Index;

static CAPTURES: LazyLock<[Capture; 2]> = LazyLock::new(captures);

/// Checks that `read` returns the first fault of `inspect` or the same state, and what both cost.
fn agree(world: &World) -> Result<(), TestCaseError> {
    let memory = Counting::new(world.dump());
    let inspected = inspect(&memory, world.root);
    // At most a header and 63 entries of each page, one more read for each chain, the root, and the
    // header of the global objects.
    let sessions = inspected.as_ref().map_or(0, |(state, _)| state.sessions.len());
    let most = 2 + world.pages.len() * 64 + 1 + sessions;
    prop_assert!(memory.reads.get() <= most, "{} reads", memory.reads.get());
    match (world.read(), inspected) {
        (Ok(state), Ok((inspected, faults))) => {
            prop_assert_eq!(faults, vec![]);
            prop_assert_eq!(state, inspected);
        }
        (Err(error), Ok((_, faults))) => {
            prop_assert_eq!(faults.first(), Some(&error));
            let shown: usize = faults.iter().map(|fault| fault.to_string().len()).sum();
            prop_assert!(shown > 0);
        }
        (Err(error), Err(inspected)) => prop_assert_eq!(error, inspected),
        (Ok(_), Err(inspected)) => prop_assert!(false, "only inspect fails: {inspected}"),
    }
    Ok(())
}

/// Makes a hostile value for a field: any, small, near the largest, or the address of a page.
fn value(world: &World, kind: u8, any: u64, page: Index) -> u64 {
    let pages: Vec<u64> = world.pages.keys().copied().collect();
    match kind {
        0 => any,
        1 => any % 200,
        2 => u64::MAX - any % 5000,
        _ => pages[page.index(pages.len())] + [0, 0, 0, 8, 4096][kind as usize % 5],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_capture_with_bytes_changed(
        which in 0..2_usize,
        changes in vec((any::<Index>(), 0..PAGE, vec(any::<u8>(), 1..80)), 1..4),
    ) {
        let mut world = CAPTURES[which].world.clone();
        let pages: Vec<u64> = world.pages.keys().copied().collect();
        for (page, offset, bytes) in changes {
            let fit = bytes.len().min(PAGE - offset);
            world.put(pages[page.index(pages.len())] + offset as u64, &bytes[..fit]);
        }
        agree(&world)?;
    }

    /// Changes words of block headers, heads and the root.
    #[test]
    fn a_capture_with_words_changed(
        which in 0..2_usize,
        changes in vec((any::<Index>(), any::<Index>(), 0..8_u8, any::<u64>(), any::<Index>()), 1..5),
    ) {
        let mut world = CAPTURES[which].world.clone();
        let pages: Vec<u64> = world.pages.keys().copied().collect();
        for (page, word, kind, any, target) in changes {
            let value = value(&world, kind, any, target);
            let page = pages[page.index(pages.len())];
            // The two words of a header, those of the root, the head and count of a session, a
            // token.
            let words = [0, 8, 16, 24, 80, 88, 160, 168, 16 + 56];
            world.put_u64(page + words[word.index(words.len())], value);
        }
        agree(&world)?;
    }

    #[test]
    fn pages_cut_or_lost(which in 0..2_usize, changes in vec((any::<Index>(), 0..PAGE), 1..4)) {
        let mut world = CAPTURES[which].world.clone();
        let pages: Vec<u64> = world.pages.keys().copied().collect();
        for (page, len) in changes {
            world.pages.get_mut(&pages[page.index(pages.len())]).unwrap().truncate(len);
        }
        agree(&world)?;
    }

    /// A memory that makes up its contents, and gives another answer to each read.
    #[test]
    fn a_memory_that_lies(seed in any::<u64>(), small in any::<bool>()) {
        struct Lies(Cell<u64>, bool);

        impl ReadMemory for Lies {
            fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
                for word in buf.chunks_mut(8) {
                    let next = self.0.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(addr.get() | 1);
                    self.0.set(next);
                    // Most counts and addresses are plausible.
                    let value = if self.1 { (next >> 40) % 60 * 4096 } else { next >> 33 };
                    word.copy_from_slice(&value.to_ne_bytes()[..word.len()]);
                    if next >> 63 == 0 {
                        word[0] = 1;
                    }
                }
                if buf.len() == 32 {
                    buf[..8].copy_from_slice(b"luo-v5\0\0");
                }
                Ok(())
            }
        }

        let memory = Lies(Cell::new(seed), small);
        let _ = LuoState::read(&memory, PhysAddr::new(0x1000));
        let _ = LuoState::inspect(&memory, PhysAddr::new(0x1000));
        let _ = KhoTree::read(&memory, PhysAddr::new(0x1000));
        let _ = LuoState::inspect_tree(&memory, PhysAddr::new(0x1000));
        let _ = KhoTree::scan(&memory, 0..0x10000).count();
        let _ = LuoState::find(&memory, 0..0x10000);
    }

    #[test]
    fn written_and_read_again(
        sessions in vec(("[a-z]{1,60}", btree_set(any::<u64>(), 0..140)), 0..8),
        objects in btree_set("[a-z]{1,47}", 0..64),
        number in any::<u64>(),
    ) {
        let compatible = |name: &str| CompatibleName::new(name).unwrap();
        let sessions: Vec<(SessionName, Vec<LuoFile>)> = sessions
            .into_iter()
            .enumerate()
            .map(|(index, (name, tokens))| {
                let name = SessionName::new(format!("{name}{index}")).unwrap();
                let file = |token: u64| LuoFile::new(compatible("memfd-v2"), !token, token);
                (name, tokens.into_iter().map(file).collect())
            })
            .collect();
        let memory = HeapMemory::new();
        let head = write_sessions(&memory, sessions.iter().map(|(n, f)| (*n, &f[..]))).unwrap();
        let objects: Vec<LuoFlb> =
            objects.iter().map(|name| LuoFlb::new(compatible(name), 5, 6)).collect();
        let mut flbs = vec![0xee; PAGE];
        write_flbs(&mut flbs, PAGE, &objects).unwrap();
        // The blocks, and two more pages.
        let with_pages = WithPages { memory: &memory, flbs: &flbs, root: LuoRoot::new(number, head, PhysAddr::new(0x1000)) };
        let state = LuoState::read(&with_pages, PhysAddr::new(0x2000)).unwrap();
        prop_assert_eq!(state.root.liveupdate_num, number);
        let read: Vec<(SessionName, Vec<LuoFile>)> = state
            .sessions
            .iter()
            .map(|s| (s.name, s.files.iter().map(|file| file.to_entry()).collect()))
            .collect();
        prop_assert_eq!(read, sessions);
        let read: Vec<LuoFlb> =
            state.flbs.iter().map(|flb| LuoFlb::new(flb.name, flb.data, flb.count)).collect();
        prop_assert_eq!(read, objects);
    }
}

/// A memory of blocks, with a page of global objects at 0x1000 and a root at 0x2000.
struct WithPages<'a> {
    memory: &'a HeapMemory,
    flbs: &'a [u8],
    root: LuoRoot,
}

impl ReadMemory for WithPages<'_> {
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        match addr.get() {
            0x1000..0x2000 => {
                buf.copy_from_slice(&self.flbs[addr.get() as usize - 0x1000..][..buf.len()]);
            }
            0x2000 => buf.copy_from_slice(bytemuck::bytes_of(&self.root)),
            _ => return self.memory.read(addr, buf),
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_tree_with_bytes_changed(
        changes in vec((any::<Index>(), any::<u8>()), 1..6),
        cut in any::<Option<Index>>(),
    ) {
        let mut bytes = kho_tree(0x5000);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        if let Ok(tree) = KhoTree::parse(&bytes) {
            let _ = tree.luo_root_addr();
        }
    }

    /// Changes words of the header and the structure to values that mean something there.
    #[test]
    fn a_tree_with_words_changed(
        changes in vec((any::<Index>(), prop_oneof![0..12_u32, Just(u32::MAX), Just(0x8000_0000), any::<u32>()]), 1..6),
    ) {
        let mut bytes = kho_tree(0x5000);
        for (at, word) in changes {
            let at = at.index(bytes.len() / 4) * 4;
            if at >= 8 {
                bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            }
        }
        if let Ok(tree) = KhoTree::parse(&bytes) {
            let _ = tree.luo_root_addr();
        }
    }

    #[test]
    fn a_tree_of_any_bytes(mut bytes in vec(any::<u8>(), 0..300), whole in any::<bool>()) {
        if bytes.len() >= 40 {
            bytes[..4].copy_from_slice(&[0xd0, 0x0d, 0xfe, 0xed]);
            if whole {
                let len = bytes.len() as u32;
                // A valid header: sizes, offsets, version 17.
                for (at, word) in [(4, len), (8, 56), (12, len), (16, 40), (20, 17), (24, 16), (32, 0), (36, 0)] {
                    bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
                }
                let end = bytes.len().min(56);
                bytes[40..end].fill(0);
                if bytes.len() > 60 {
                    bytes[56..60].copy_from_slice(&1_u32.to_be_bytes());
                }
            }
        }
        let _ = KhoTree::parse(&bytes);
    }
}

/// Reading a memory without end stops at the limit of blocks.
#[test]
fn a_memory_without_end_is_too_large() {
    struct Endless;

    impl ReadMemory for Endless {
        fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
            buf.fill(0);
            match buf.len() {
                // The root, a header, a session, a file.
                32 => {
                    buf[..8].copy_from_slice(b"luo-v5\0\0");
                    buf[16..24].copy_from_slice(&0x10_0000_u64.to_ne_bytes());
                }
                16 => {
                    // Chains of 10,000 blocks. The address bits from 44 on select the chain.
                    let block = (addr.get() & ((1 << 44) - 1)) >> 12;
                    let next = if block % 16384 == 9999 + 256 { 0 } else { addr.get() + 4096 };
                    buf[..8].copy_from_slice(&next.to_ne_bytes());
                    buf[8] = 1;
                }
                80 => {
                    buf[..16].copy_from_slice(format!("{:016x}", addr.get()).as_bytes());
                    let files = (addr.get() << 24) + 0x10_0000;
                    buf[64..72].copy_from_slice(&(files & !0xfff).to_ne_bytes());
                    buf[72..80].copy_from_slice(&10_000_u64.to_ne_bytes());
                }
                _ => {
                    buf[0] = b'x';
                    buf[56..64].copy_from_slice(&addr.get().to_ne_bytes());
                }
            }
            Ok(())
        }
    }

    let error = LuoState::read(&Endless, PhysAddr::new(0x1000)).unwrap_err();
    assert_eq!(error, StateError::TooLarge { limit: 1 << 20 });
}
