//! The cost of reading a hostile memory. Reads and bytes are counted and compared with the
//! documentation.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::world::{Counting, PAGE, World, block, captures, file, inspect, kho_tree, session};
use kho_block::{
    BlockMemory, BlockSet, DumpMemory, HeapMemory, MemfdMemory, PageMemory, PhysAddr, ReadError,
    ReadErrorKind, ReadMemory, SealedMemfd, SetHead, SliceMemory,
};
use kho_luo::{KhoTree, LuoFile, LuoState, SessionErrorKind, StateError};

/// Returns the address of the files of a session.
const fn files_of(session: u64) -> u64 {
    (session + 1) << 40
}

/// Makes `count` sessions that each have a file count of 1.
fn sessions(count: u64) -> World {
    let root = 0x1000;
    let first = 0x10_000;
    let all: Vec<Vec<u8>> =
        (0..count).map(|index| session(&format!("s{index}"), files_of(index), 1)).collect();
    let blocks = all.chunks(51);
    let mut world = World { pages: BTreeMap::from([(root, vec![0; PAGE])]), root };
    world.put(root, b"luo-v5");
    world.put_u64(root + 16, first);
    for (index, entries) in (0..).zip(blocks.clone()) {
        let addr = first + index * PAGE as u64;
        let last = index as usize + 1 == blocks.len();
        world.pages.insert(addr, block(if last { 0 } else { addr + PAGE as u64 }, entries));
    }
    world
}

/// A memory in which the files of each session form a cycle at first. Reading the first block again
/// gives a chain without end.
struct Changing<'a> {
    dump: DumpMemory<'a>,
    asked: RefCell<BTreeMap<u64, u32>>,
}

impl ReadMemory for Changing<'_> {
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = addr.get();
        if at < files_of(0) {
            return self.dump.read(addr, buf);
        }
        if buf.len() != 16 {
            buf.copy_from_slice(&file(b"memfd-v2", at)[..buf.len()]);
            return Ok(());
        }
        let mut asked = self.asked.borrow_mut();
        let times = asked.entry(at).or_default();
        *times += 1;
        let back = at.trailing_zeros() >= 40 && *times < 3;
        let next = if back { at } else { at + PAGE as u64 };
        buf[..8].copy_from_slice(&next.to_ne_bytes());
        buf[8..].copy_from_slice(&1_u64.to_ne_bytes());
        Ok(())
    }
}

#[test]
fn memory_that_changes_its_answers_is_not_read_twice() {
    let world = sessions(400);
    let memory = Counting::new(Changing { dump: world.dump(), asked: RefCell::default() });
    let (state, faults) = inspect(&memory, world.root).unwrap();
    assert_eq!((state.sessions.len(), faults.len()), (400, 400));
    assert_eq!(
        faults[7].to_string(),
        "session 7 \"s7\": its files: block 1 of the chain, at 0x80000000000: the chain comes back \
         to this block"
    );
    // The root, 8 blocks of sessions with their entries. For each session the block of files, its
    // entry, and the block again, which ends the chain.
    assert_eq!(memory.reads.get(), 1 + 8 + 400 + 400 * 3);
}

#[test]
fn faults_are_kept_up_to_a_limit() {
    let mut world = sessions(40);
    for index in 0..40 {
        // 63 files whose handlers' names are not terminated.
        let files: Vec<Vec<u8>> = (0..63).map(|token| file(&[b'x'; 48], token)).collect();
        world.pages.insert(files_of(index), block(0, &files));
        let entry = 0x10_000 + 16 + 80 * index;
        world.put_u64(entry + 72, 63);
    }
    let (_, faults) = world.inspect().unwrap();
    assert_eq!(faults.len(), LuoState::MAX_FAULTS + 1);
    let left_out = 40 * 63 - LuoState::MAX_FAULTS;
    assert_eq!(faults.last(), Some(&StateError::More { count: left_out }));
    assert_eq!(faults.last().unwrap().to_string(), "1520 more faults");
    // A worse fault is kept although it is found last.
    world.put_u64(0x10_000, 0x10_008);
    let (_, faults) = world.inspect().unwrap();
    assert!(matches!(faults[0], StateError::Sessions(_)));
    assert_eq!(faults.last(), Some(&StateError::More { count: left_out + 1 }));
    assert_eq!(world.read().unwrap_err(), faults[0]);
}

/// The header of the global objects counts 10,000 pages, which overlap a chain.
#[test]
fn pages_of_global_objects_cost_no_reads() {
    let mut world = sessions(51);
    let flbs = 0x10_000;
    world.put_u64(world.root + 24, flbs);
    world.put_u64(flbs, 10_000);
    world.put_u64(flbs + 8, 0);
    let memory = Counting::new(world.dump());
    inspect(&memory, world.root).unwrap();
    assert!(memory.reads.get() <= 3, "{}", memory.reads.get());
}

/// A chain that is too long is read up to the limit. It gives one fault for each session.
#[test]
fn a_long_chain_that_many_share_is_read_once() {
    let mut world = sessions(30);
    let long = 1 << 60;
    for index in 0..10_001_u64 {
        let addr = long + index * PAGE as u64;
        world.pages.insert(addr, block(addr + PAGE as u64, &[file(b"memfd-v2", index)]));
    }
    for index in 0..30 {
        let next = long + index * 300 * PAGE as u64;
        world.pages.insert(files_of(index), block(next, &[file(b"memfd-v2", u64::MAX)]));
    }
    let memory = Counting::new(world.dump());
    let (_, faults) = inspect(&memory, world.root).unwrap();
    assert_eq!(faults.len(), 30);
    assert!(matches!(
        faults[29],
        StateError::Shared { .. } | StateError::Session { kind: SessionErrorKind::Files(_), .. }
    ));
    // Two reads for each block, and at most four for each session and its own block.
    assert!(memory.reads.get() <= 2 * 10_001 + 2 + 30 * 4, "{}", memory.reads.get());
}

/// Makes a dump in which the nodes of one tree are also part of 15 others, one on each page before
/// it.
fn overlapping(groups: u64) -> DumpMemory<'static> {
    let whole = kho_tree(0x5000);
    let mut bytes = vec![0; 16 * PAGE];
    for page in 0..16 {
        let at = page * PAGE;
        let rest = (bytes.len() - at) as u32;
        bytes[at..at + whole.len()].copy_from_slice(&whole);
        bytes[at + 4..at + 8].copy_from_slice(&rest.to_be_bytes());
    }
    let mut dump = DumpMemory::new();
    for group in 0..groups {
        dump.insert(PhysAddr::new((group + 1) << 16), bytes.clone()).unwrap();
    }
    dump
}

#[test]
fn trees_that_overlap_are_read_once() {
    let memory = Counting::new(overlapping(4));
    // A tree has at most one page.
    assert_eq!(KhoTree::scan(&memory, 0..u64::MAX).count(), 4);
    let pages = 4 * 16;
    assert!(memory.reads.get() <= 2 * pages, "{}", memory.reads.get());
    assert!(memory.bytes.get() <= pages * (8 + PAGE), "{}", memory.bytes.get());
}

/// A scan takes one step for each page that exists, however far apart they are.
#[test]
fn a_scan_skips_what_does_not_exist() {
    let tree = kho_tree(0x5000);
    let mut dump = DumpMemory::new();
    let mut at =
        |addr: u64, bytes: &[u8]| dump.insert(PhysAddr::new(addr), bytes.to_vec()).unwrap();
    // Pieces within a page, one across the start of a page, one that ends with a page's first byte.
    at(0x10, &[1; 16]);
    at(0x30, &[1; 16]);
    at(0x1ff0, &[1; 17]);
    at(1 << 40, &tree);
    at((1 << 50) - 1, &[&[0], &tree[..]].concat());
    at(u64::MAX - 4095, &[1; 4096]);
    let memory = Counting::new(dump);
    let found: Vec<u64> = KhoTree::scan(&memory, 0..u64::MAX).map(|(addr, _)| addr.get()).collect();
    assert_eq!(found, [1 << 40, 1 << 50]);
    // The page at 0x2000, those of the trees, and the last page have a first byte.
    assert_eq!(memory.reads.get(), 2 + 2 * 2);
    // `find` reads the same pages.
    memory.reads.set(0);
    assert!(LuoState::find(&memory, 0..u64::MAX).is_err());
    assert_eq!(memory.reads.get(), 6 + 2);
}

/// Every memory that knows what it holds says so, also behind a reference or a smart pointer.
#[test]
fn memories_say_what_exists() {
    let tree = kho_tree(0x5000);
    let mut page = vec![0; PAGE];
    page[..tree.len()].copy_from_slice(&tree);
    let base = PhysAddr::new(1 << 44);
    let slice = SliceMemory::new(base, &page);
    let mut dump = DumpMemory::new();
    dump.insert(base, &page).unwrap();
    assert_eq!(KhoTree::scan(&slice, 0..u64::MAX).count(), 1);
    assert_eq!(KhoTree::scan(&&slice, 0..u64::MAX).count(), 1);
    assert_eq!(KhoTree::scan(&std::sync::Arc::new(dump), 0..u64::MAX).count(), 1);
    #[repr(align(16))]
    struct Aligned([u8; PAGE]);
    let mut aligned = Aligned(page.try_into().unwrap());
    let pages = PageMemory::new();
    pages.add_preserved(base, &mut aligned.0).unwrap();
    assert_eq!(KhoTree::scan(&pages, 0..u64::MAX).count(), 1);

    // Memories that allocate. The blocks of the heap have the addresses that they have in the
    // process.
    let heap = HeapMemory::new();
    let _ = preserve_one(&heap);
    ends(heap);
    let memfd = MemfdMemory::new("kho-luo-test").unwrap();
    let _ = preserve_one(&memfd);
    ends(&memfd);
    ends(SealedMemfd::<PAGE>::seal(memfd.into_fd()).unwrap());
}

fn preserve_one(memory: &impl BlockMemory) -> SetHead<LuoFile> {
    let mut set = BlockSet::new_in(memory);
    set.push(LuoFile::new("memfd-v2".try_into().unwrap(), 1, 2)).unwrap();
    set.hand_over()
}

/// Scans all addresses, and checks that no more pages are read than a small memory may have.
fn ends(memory: impl ReadMemory) {
    let memory = Counting::new(memory);
    assert_eq!(KhoTree::scan(&memory, 0..u64::MAX).count(), 0);
    let reads = memory.reads.get();
    assert!((1..100_000).contains(&reads), "{reads}");
}

/// A scan of a memory that gives wrong answers about what exists ends at the end of the range.
#[test]
fn a_scan_of_a_memory_that_lies_ends() {
    struct Backward;

    impl ReadMemory for Backward {
        fn read(&self, addr: PhysAddr, _: &mut [u8]) -> Result<(), ReadError> {
            Err(ReadError::new(addr, ReadErrorKind::Failed))
        }

        fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
            Some(PhysAddr::new(addr.get() / 2))
        }
    }

    let memory = Counting::new(Backward);
    assert_eq!(KhoTree::scan(&memory, 0..0x10_0000).count(), 0);
    assert_eq!(memory.reads.get(), 0x100);
}

#[test]
fn captures_cost_what_is_documented() {
    for capture in captures() {
        let memory = Counting::new(capture.world.dump());
        let state = LuoState::read(&memory, PhysAddr::new(capture.world.root)).unwrap();
        let files: usize = state.sessions.iter().map(|session| session.files.len()).sum();
        let blocks = capture.world.pages.len() - 2;
        assert_eq!(memory.reads.get(), 2 + blocks + state.sessions.len() + files);
    }
}
