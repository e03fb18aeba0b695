//! KHO's map of preserved memory, and LUO's state checked against it.

use std::collections::BTreeMap;

use crate::world::{Counting, PAGE, World, block, captures, kho_tree_with_map, session};
use kho_block::{DumpMemory, PhysAddr, ReadErrorKind, ReadMemory};
use kho_luo::{
    FileErrorKind, KhoTreeErrorKind, LuoState, Preserved, PreservedMap, PreservedMapErrorKind,
    SessionErrorKind, Severity, StateError, StatePart,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const TREE: PhysAddr = PhysAddr::new(0x1000);
const MAP: u64 = 0x50_0000_0000;

/// A map as Linux 7.2 writes it with pages of `SIZE` bytes, in contiguous pages from `MAP` on.
#[derive(Clone)]
struct Map<const SIZE: usize = PAGE>(BTreeMap<u64, Vec<u64>>);

impl<const SIZE: usize> Map<SIZE> {
    fn new() -> Self {
        Self(BTreeMap::from([(MAP, vec![0; SIZE / 8])]))
    }

    /// Preserves the block of 2^`order` pages at `addr`.
    fn add(&mut self, addr: u64, order: u32) {
        let shift = SIZE.ilog2() + order;
        let key = 1_u64 << (64 - shift) | addr >> shift;
        let bits_of_leaf = SIZE as u64 * 8;
        let per_table = SIZE as u64 / 8;
        let mut indices = Vec::new();
        let mut rest = key / bits_of_leaf;
        for _ in 0..Self::tables() {
            indices.push(rest % per_table);
            rest /= per_table;
        }
        assert_eq!(rest, 0);
        let mut node = MAP;
        for index in indices.into_iter().rev() {
            let fresh = MAP + (self.0.len() * SIZE) as u64;
            let entry = &mut self.0.get_mut(&node).unwrap()[index as usize];
            if *entry == 0 {
                *entry = fresh;
                self.0.insert(fresh, vec![0; SIZE / 8]);
            }
            node = self.0[&node][index as usize];
        }
        let bit = key % bits_of_leaf;
        self.0.get_mut(&node).unwrap()[bit as usize / 64] |= 1 << (bit % 64);
    }

    /// The number of tables above a bitmap, worked out from the kernel's header.
    const fn tables() -> usize {
        match SIZE {
            4096 => 5,
            16384 => 4,
            65536 => 3,
            _ => panic!(),
        }
    }

    fn pages(&self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        self.0.iter().map(|(addr, words)| (*addr, bytemuck::cast_slice(words).to_vec()))
    }

    fn dump(&self) -> DumpMemory<'static, SIZE> {
        let mut dump = DumpMemory::new_with_block_size();
        for (addr, page) in self.pages() {
            dump.insert(PhysAddr::new(addr), page).unwrap();
        }
        dump
    }
}

fn at<M: ReadMemory>(map: &PreservedMap<'_, M>, addr: u64) -> Option<(u64, u64)> {
    map.block_at(PhysAddr::new(addr)).unwrap().map(|block| (block.addr.get(), block.len))
}

/// The words are worked out by hand. Page 0x12345 is bit 0x2345 of the leaf to which the entries 2,
/// 0, 0, 0 and 2 lead. The two pages at 0x2000 are bit 1 of the leaf to which 1, 0, 0, 0 and 0
/// lead.
#[test]
fn a_known_map_is_read() {
    let mut dump = DumpMemory::new();
    let mut page = |addr: u64, words: &[(usize, u64)]| {
        let mut page = vec![0_u64; PAGE / 8];
        for (index, word) in words {
            page[*index] = *word;
        }
        dump.insert(PhysAddr::new(addr), bytemuck::cast_slice(&page).to_vec()).unwrap();
    };
    page(0xa000, &[(2, 0xb000), (1, 0x1_1000)]);
    page(0xb000, &[(0, 0xc000)]);
    page(0xc000, &[(0, 0xd000)]);
    page(0xd000, &[(0, 0xe000)]);
    page(0xe000, &[(2, 0xf000)]);
    page(0xf000, &[(0x2345 / 64, 1 << (0x2345 % 64))]);
    page(0x1_1000, &[(0, 0x1_2000)]);
    page(0x1_2000, &[(0, 0x1_3000)]);
    page(0x1_3000, &[(0, 0x1_4000)]);
    page(0x1_4000, &[(0, 0x1_5000)]);
    page(0x1_5000, &[(0, 1 << 1)]);
    let memory = Counting::new(dump);
    let map = PreservedMap::new(&memory, PhysAddr::new(0xa000));
    assert_eq!(at(&map, 0x1234_5678), Some((0x1234_5000, 0x1000)));
    assert_eq!(memory.reads.get(), 6);
    assert_eq!(at(&map, 0x3fff), Some((0x2000, 0x2000)));
    for addr in [0, 0x1fff, 0x4000, 0x1234_4fff, 0x1234_6000, u64::MAX] {
        assert_eq!(at(&map, addr), None, "{addr:#x}");
    }
}

fn sizes<const SIZE: usize>() {
    let size = SIZE as u64;
    let mut map = Map::<SIZE>::new();
    map.add(7 * size, 0);
    map.add(size << 20, 9);
    map.add(u64::MAX - (size - 1), 0);
    map.add(1 << 62, 62 - SIZE.ilog2());
    let dump = map.dump();
    let map = PreservedMap::new(&dump, PhysAddr::new(MAP));
    assert_eq!(at(&map, 7 * size), Some((7 * size, size)));
    assert_eq!(at(&map, (size << 20) + (size << 8)), Some((size << 20, size << 9)));
    assert_eq!(at(&map, (size << 20) + (size << 9)), None);
    assert_eq!(at(&map, u64::MAX), Some((u64::MAX - (size - 1), size)));
    assert_eq!(at(&map, (1 << 63) - 1), Some((1 << 62, 1 << 62)));
    assert_eq!(at(&map, 1 << 63), None);
}

#[test]
fn maps_of_each_page_size_are_read() {
    sizes::<4096>();
    sizes::<16384>();
    sizes::<65536>();
}

/// A table in which every entry leads to the table itself.
#[test]
fn a_table_that_leads_to_itself_costs_few_reads() {
    let mut dump = DumpMemory::new();
    let words = vec![MAP; PAGE / 8];
    dump.insert(PhysAddr::new(MAP), bytemuck::cast_slice(&words).to_vec()).unwrap();
    let memory = Counting::new(dump);
    let map = PreservedMap::new(&memory, PhysAddr::new(MAP));
    // The last level reads the bits of 0x5000000000.
    let _ = map.block_at(PhysAddr::new(0x7000)).unwrap();
    assert!(memory.reads.get() <= 312, "{}", memory.reads.get());
    let empty = vec![0_u64; PAGE / 8];
    let mut dump = DumpMemory::new();
    dump.insert(PhysAddr::new(MAP), bytemuck::cast_slice(&empty).to_vec()).unwrap();
    let map = PreservedMap::new(&dump, PhysAddr::new(MAP));
    assert_eq!(at(&map, 0x7000), None);
}

/// Returns a capture with a tree, and a map that preserves all pages for which `skip` is false.
fn world(skip: impl Fn(u64) -> bool) -> (World, LuoState) {
    let [_, capture] = captures();
    let mut world = capture.world;
    let state = world.read().unwrap();
    let files = state.sessions.iter().flat_map(|session| &session.files);
    let files = files.map(|file| file.data);
    let mut map = Map::<PAGE>::new();
    for addr in world.pages.keys().copied().chain(files).chain([TREE.get()]) {
        if !skip(addr) {
            map.add(addr, 0);
        }
    }
    world.pages.extend(map.pages());
    world.pages.insert(TREE.get(), kho_tree_with_map(world.root, MAP));
    (world, state)
}

fn inspect(world: &World) -> (LuoState, Vec<StateError>) {
    let dump = world.dump();
    let inspection = LuoState::inspect_tree(&dump, TREE).unwrap();
    let (state, faults) = (inspection.state, inspection.faults);
    let read = LuoState::from_tree(&dump, TREE);
    assert_eq!(read, faults.first().map_or(Ok(state.clone()), |fault| Err(fault.clone())));
    assert_eq!(LuoState::find(&dump, 0..u64::MAX), read);
    (state, faults)
}

#[test]
fn preserved_pages_are_looked_up() {
    let (world, expected) = world(|_| false);
    let (state, faults) = inspect(&world);
    assert_eq!((state.preserved, faults), (Preserved::Checked, vec![]));
    assert_eq!(state.sessions, expected.sessions);
    // The root alone does not lead to the map.
    assert_eq!(world.read().unwrap().preserved, Preserved::NoTree);
    // Nearby pages share a leaf, so looking up a page takes one more read.
    let memory = Counting::new(world.dump());
    LuoState::read(&memory, PhysAddr::new(world.root)).unwrap();
    let plain = memory.reads.replace(0);
    LuoState::from_tree(&memory, TREE).unwrap();
    let files: usize = state.sessions.iter().map(|session| session.files.len()).sum();
    let blocks: usize = state.sessions.iter().map(|session| session.file_blocks.len()).sum();
    let looked_up = 1 + 1 + state.session_blocks.len() + blocks + 1 + files;
    assert!(memory.reads.get() <= plain + 2 + looked_up + 5, "{}", memory.reads.get());
}

/// Each page that is not preserved is a fault, which names the part of the state.
#[test]
fn pages_that_are_not_preserved_are_faults() {
    let (_, state) = world(|_| false);
    let part_of = |page: PhysAddr| {
        let (world, _) = world(|addr| addr == page.get());
        let (state, faults) = inspect(&world);
        assert_eq!(state.preserved, Preserved::Checked);
        // The page is read all the same.
        assert_eq!(state.sessions.len(), 100);
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        match fault {
            StateError::NotPreserved { addr, part } => {
                assert_eq!(*addr, page);
                (*part, fault.severity())
            }
            other => panic!("{other}"),
        }
    };
    assert_eq!(part_of(state.root_addr), (StatePart::Root, Severity::Panic));
    assert_eq!(part_of(state.session_blocks[1]), (StatePart::Sessions, Severity::Panic));
    let files = StatePart::Files { session: 1 };
    assert_eq!(part_of(state.sessions[1].file_blocks[0]), (files, Severity::AllLost));
    assert_eq!(part_of(state.root.flbs), (StatePart::Flbs, Severity::Corruption));
}

/// The page that describes a memfd is looked up. The data of another handler is not an address.
#[test]
fn a_memfd_that_is_not_preserved_is_a_fault() {
    let (_, state) = world(|_| false);
    let data = state.sessions[3].files[1].data;
    let (mut world, _) = world(|addr| addr == data);
    let (_, faults) = inspect(&world);
    let [StateError::Session { index: 3, kind, .. }] = &faults[..] else { panic!("{faults:?}") };
    let addr = PhysAddr::new(data);
    let expected = FileErrorKind::NotPreserved { addr };
    assert_eq!(*kind, SessionErrorKind::File { file: 1, kind: expected });
    assert_eq!(
        faults[0].to_string(),
        format!(
            "session 3 \"A-session-003\": file 1: the page at {addr}, which describes it, is not preserved"
        )
    );
    world.put(state.sessions[3].file_blocks[0].get() + 16 + 64, b"other-v1\0");
    assert_eq!(inspect(&world).1, []);
}

#[test]
fn a_block_of_several_pages_preserves_each_of_them() {
    let (mut world, state) = world(|addr| addr < 0x100_0000);
    let mut map = Map::<PAGE>::new();
    // The first 16 MiB.
    map.add(0, 12);
    assert!(state.root_addr.get() < 0x100_0000);
    world.pages.extend(map.pages());
    let (state, faults) = inspect(&world);
    assert_eq!((state.preserved, faults), (Preserved::Checked, vec![]));
}

/// If the map can't be used, that is not a fault, but the state says so.
#[test]
fn a_state_says_that_its_map_can_not_be_used() {
    let unknown = |world: &World| {
        let (state, faults) = inspect(world);
        assert_eq!(faults, []);
        match state.preserved {
            Preserved::Unknown(error) => (error.addr.get(), error.kind),
            other => panic!("{other}"),
        }
    };
    // The map's first page, or one below, was not captured.
    let (good, _) = world(|_| false);
    let outside = PreservedMapErrorKind::Unreadable(ReadErrorKind::Outside);
    for lost in [MAP, MAP + PAGE as u64] {
        let mut world = good.clone();
        world.pages.remove(&lost).unwrap();
        assert_eq!(unknown(&world), (lost, outside));
    }
    let mut without_map = good.clone();
    without_map.pages.remove(&MAP).unwrap();
    let (state, _) = inspect(&without_map);
    assert_eq!(
        state.preserved.to_string(),
        "could not be checked: the map of preserved memory, at 0x5000000000: outside the memory"
    );
    // The map has been overwritten: it does not preserve the tree's page, or an address is invalid.
    let (world, _) = world(|addr| addr == TREE.get());
    assert_eq!(unknown(&world), (MAP, PreservedMapErrorKind::Overwritten));
    let mut world = good.clone();
    world.put_u64(MAP + 16, 0x1001);
    assert_eq!(unknown(&world), (0x1001, PreservedMapErrorKind::Misaligned));
    world.put(TREE.get(), &kho_tree_with_map(world.root, 0x8));
    assert_eq!(unknown(&world), (8, PreservedMapErrorKind::Misaligned));
    world.put(TREE.get(), &kho_tree_with_map(world.root, u64::MAX - 4095));
    assert_eq!(unknown(&world), (u64::MAX - 4095, outside));
}

/// The kernel ignores a tree without a map.
#[test]
fn a_tree_without_a_map_is_refused() {
    let (mut world, _) = world(|_| false);
    world.put(TREE.get(), &kho_tree_with_map(world.root, 0));
    let error = LuoState::from_tree(&world.dump(), TREE).unwrap_err();
    let StateError::Tree(tree) = &error else { panic!("{error}") };
    assert_eq!((tree.addr, &tree.kind), (TREE, &KhoTreeErrorKind::NoPreservedMap));
    assert_eq!(error.severity(), Severity::AllLost);
}

/// If thousands of pages are not preserved, the others are not looked up, and the state says so.
#[test]
fn look_ups_end_after_too_many_missing_pages() {
    let [capture, _] = captures();
    let mut world = capture.world;
    let long = 1 << 40;
    for index in 0..5_000_u64 {
        let addr = long + index * PAGE as u64;
        let entry = session(&format!("a{index:08}"), 0, 0);
        world.pages.insert(addr, block(addr + PAGE as u64, &[entry]));
    }
    world.put_u64(long + 4_999 * PAGE as u64, 0);
    world.put_u64(world.root + 16, long);
    let mut map = Map::<PAGE>::new();
    map.add(TREE.get(), 0);
    world.pages.extend(map.pages());
    world.pages.insert(TREE.get(), kho_tree_with_map(world.root, MAP));
    let (state, faults) = inspect(&world);
    assert_eq!(state.sessions.len(), 5_000);
    assert_eq!(faults.len(), LuoState::MAX_FAULTS);
    let Preserved::Unknown(error) = state.preserved else { panic!("{}", state.preserved) };
    assert_eq!(error.kind, PreservedMapErrorKind::TooManyMissing { limit: LuoState::MAX_FAULTS });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A look-up takes a bounded number of reads, whatever the tables hold.
    #[test]
    fn tables_of_anything(
        changes in vec((any::<Index>(), any::<Index>(), 0..4_u8, any::<u64>(), any::<Index>()), 1..40),
        addrs in vec(any::<u64>(), 1..8),
    ) {
        let mut map = Map::<PAGE>::new();
        map.add(TREE.get(), 0);
        map.add(0x40_0000, 3);
        let nodes: Vec<u64> = map.0.keys().copied().collect();
        for (node, word, kind, any, target) in changes {
            let value = match kind {
                0 => any,
                1 => 0,
                _ => nodes[target.index(nodes.len())],
            };
            let words = map.0.get_mut(&nodes[node.index(nodes.len())]).unwrap();
            // A word to which most keys lead, or any word.
            words[if kind == 3 { word.index(4) } else { word.index(PAGE / 8) }] = value;
        }
        let memory = Counting::new(map.dump());
        let map = PreservedMap::new(&memory, PhysAddr::new(MAP));
        for addr in addrs {
            memory.reads.set(0);
            let small = addr % 0x80_0000;
            for addr in [addr, small] {
                if let Ok(Some(block)) = map.block_at(PhysAddr::new(addr)) {
                    prop_assert!(addr.wrapping_sub(block.addr.get()) < block.len);
                }
            }
            prop_assert!(memory.reads.get() <= 2 * 312);
        }
    }

    /// A state whose map was changed anywhere can be read, and only its pages may count as lost.
    #[test]
    fn a_state_with_another_map(
        changes in vec((any::<Index>(), any::<Index>(), any::<u64>(), any::<Index>(), any::<bool>()), 1..10),
    ) {
        let (mut world, _) = world(|_| false);
        let nodes: Vec<u64> = world.pages.range(MAP..).map(|(addr, _)| *addr).collect();
        for (node, word, any, target, to_node) in changes {
            let value = if to_node { nodes[target.index(nodes.len())] } else { any };
            let node = nodes[node.index(nodes.len())];
            world.put_u64(node + 8 * word.index(PAGE / 8) as u64, value);
        }
        let (state, faults) = inspect(&world);
        prop_assert_eq!(state.sessions.len(), 100);
        let missing = |fault: &StateError| matches!(
            fault,
            StateError::NotPreserved { .. }
                | StateError::Session {
                    kind: SessionErrorKind::File { kind: FileErrorKind::NotPreserved { .. }, .. },
                    ..
                }
        );
        prop_assert!(faults.iter().all(missing));
    }
}
