//! Restores any chain, in a heap and in a dump. Every way to restore it must agree with a naive
//! walker, and a refused chain must leave no trace.
#![no_main]

use std::collections::HashMap;
use std::iter;

use kho_block::{
    BlockMemory, BlockSet, ChainWalk, DumpMemory, ForeignSet, HeapMemory, PhysAddr, ReadMemory,
    RestoreError, RestoreErrorKind, SetHead, SetView,
};
use kho_block_fuzz::{BLOCK, Input, Item, PER_BLOCK};
use libfuzzer_sys::fuzz_target;

type Heap = HeapMemory<BLOCK>;
type Dump<'a> = DumpMemory<'a, BLOCK>;

/// Target of a link, independent of the memory.
#[derive(Clone, Copy)]
enum To {
    Null,
    Block(usize),
    Inside(usize, u64),
    Free,
    Owned,
    Raw(u64),
}

struct Plan {
    head: To,
    /// Next, count and entries of each block.
    blocks: Vec<(To, u64, [Item; PER_BLOCK])>,
    limit: usize,
}

impl Plan {
    fn new(input: &mut Input<'_>) -> Self {
        let blocks = 1 + input.below(40);
        let limit = input.below(64);
        let to = |input: &mut Input<'_>, usual: To| match input.byte() {
            0..160 => usual,
            160..220 => To::Block(input.below(blocks)),
            220..228 => To::Inside(input.below(blocks), 1 + input.below(BLOCK - 1) as u64),
            228..234 => To::Free,
            234..240 => To::Owned,
            240..250 => To::Null,
            _ => To::Raw(input.word()),
        };
        let head = to(input, To::Block(0));
        let block = |number: usize| {
            let last = number + 1 == blocks;
            let next = to(input, if last { To::Null } else { To::Block(number + 1) });
            let count = match input.byte() {
                count @ 0..240 => u64::from(count % 8),
                240..250 => PER_BLOCK as u64,
                _ => input.word(),
            };
            let entry = |index| Item::new((number * PER_BLOCK + index) as u64);
            (next, count, std::array::from_fn(entry))
        };
        Self { head, blocks: (0..blocks).map(block).collect(), limit }
    }

    fn page(&self, number: usize, space: &Space) -> [u8; BLOCK] {
        let (next, count, entries) = &self.blocks[number];
        let mut page = [0; BLOCK];
        page[..8].copy_from_slice(&space.resolve(*next).to_ne_bytes());
        page[8..16].copy_from_slice(&count.to_ne_bytes());
        page[16..].copy_from_slice(bytemuck::cast_slice(entries));
        page
    }
}

/// The addresses of a plan's blocks in one memory.
struct Space {
    blocks: Vec<u64>,
    free: u64,
    owned: u64,
    keeps_states: bool,
}

impl Space {
    fn resolve(&self, to: To) -> u64 {
        match to {
            To::Null => 0,
            To::Block(number) => self.blocks[number],
            To::Inside(number, offset) => self.blocks[number] + offset,
            To::Free => self.free,
            To::Owned => self.owned,
            To::Raw(addr) => addr,
        }
    }
}

/// Walks a chain naively. Returns the entries, or the fault as it appears when claiming and when
/// reading.
fn walk(plan: &Plan, space: &Space) -> Result<Vec<Item>, [Fault; 2]> {
    let known: HashMap<_, _> = space.blocks.iter().zip(0..).map(|(addr, i)| (*addr, i)).collect();
    let mut seen = Vec::new();
    let mut items = Vec::new();
    let mut addr = space.resolve(plan.head);
    while addr != 0 {
        let fails = |claimed, read| Err((addr, seen.len(), claimed, read));
        let one = |kind| fails(kind, kind);
        let limit = plan.limit;
        let result = if seen.contains(&addr) {
            one(RestoreErrorKind::Cycle)
        } else if seen.len() >= limit {
            one(RestoreErrorKind::TooLong { limit })
        } else if addr % BLOCK as u64 != 0 {
            one(RestoreErrorKind::Misaligned)
        } else if let Some(number) = known.get(&addr) {
            let number: usize = *number;
            match plan.blocks[number].1 {
                0 => one(RestoreErrorKind::NoEntries),
                count if count > PER_BLOCK as u64 => {
                    one(RestoreErrorKind::TooManyEntries { count, max: PER_BLOCK })
                }
                count => Ok((number, count as usize)),
            }
        } else if space.keeps_states && addr == space.owned {
            fails(RestoreErrorKind::Owned, RestoreErrorKind::NotPreserved)
        } else if space.keeps_states && addr == space.free {
            one(RestoreErrorKind::NotPreserved)
        } else {
            one(RestoreErrorKind::Outside)
        };
        match result {
            Ok((number, count)) => {
                seen.push(addr);
                items.extend(&plan.blocks[number].2[..count]);
                addr = space.resolve(plan.blocks[number].0);
            }
            Err((addr, position, claimed, read)) => {
                return Err([claimed, read].map(|kind| (PhysAddr::new(addr), position, kind)));
            }
        }
    }
    Ok(items)
}

/// Address, position and kind of a fault in a chain.
type Fault = (PhysAddr, usize, RestoreErrorKind);

fn fault(error: RestoreError) -> Fault {
    (error.addr, error.position, error.kind)
}

/// Checks that a foreign set and a walk read what is expected.
fn check_read(plan: &Plan, space: &Space, memory: &impl ReadMemory) {
    let head = SetHead::<Item>::new(PhysAddr::new(space.resolve(plan.head)));
    let expected = walk(plan, space).map_err(|[_, read]| read);
    let copied = ForeignSet::restore_with_limit(memory, head, plan.limit)
        .map(|set| set.iter().map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(copied.map_err(fault), expected);

    let mut entries = Vec::new();
    let mut end = None;
    for link in ChainWalk::with_limit(memory, head.addr(), size_of::<Item>(), plan.limit) {
        assert!(end.is_none());
        match link {
            Ok(link) => {
                let read = |index| link.read_entry::<Item>(memory, index).unwrap();
                entries.extend((0..link.count).map(read));
            }
            Err(error) => end = Some(error),
        }
    }
    match (end, expected) {
        (None, Ok(expected)) => assert_eq!(entries, expected),
        (Some(late), Err((_, position, RestoreErrorKind::Cycle))) => {
            let too_long = RestoreErrorKind::TooLong { limit: plan.limit };
            assert!(late.kind == RestoreErrorKind::Cycle || late.kind == too_long);
            assert!(late.position >= position);
        }
        (Some(exact), Err(expected)) => assert_eq!(fault(exact), expected),
        (end, expected) => panic!("the walk ended with {end:?}, expected {expected:?}"),
    }
}

fn check_dump(plan: &Plan) {
    let blocks = plan.blocks.len() as u64;
    let addr = |number| (number + 3) * BLOCK as u64;
    let space = Space {
        blocks: (0..blocks).map(addr).collect(),
        free: addr(blocks),
        owned: addr(blocks + 1),
        keeps_states: false,
    };
    let mut dump = Dump::new_with_block_size();
    for (number, addr) in space.blocks.iter().enumerate() {
        let page = plan.page(number, &space);
        dump.insert(PhysAddr::new(*addr), page.to_vec()).unwrap();
    }
    let head = SetHead::<Item>::new(PhysAddr::new(space.resolve(plan.head)));
    let viewed = SetView::restore_with_limit(&dump, head, plan.limit)
        .map(|view| view.iter().copied().collect::<Vec<_>>());
    let expected = walk(plan, &space).map_err(|[_, read]| read);
    assert_eq!(viewed.map_err(fault), expected);
    check_read(plan, &space, &dump);
}

fn check_heap(plan: &Plan) {
    let memory = Heap::new_with_block_size();
    let mut neighbour = BlockSet::new_in(&memory);
    neighbour.push(Item::new(0)).unwrap();
    let mut blocks = Vec::new();
    memory.allocate(plan.blocks.len() + 1, |block| blocks.push(block)).unwrap();
    let free = blocks.pop().unwrap();
    let space = Space {
        blocks: blocks.iter().map(|block| memory.addr_of(*block).get()).collect(),
        free: memory.addr_of(free).get(),
        owned: neighbour.head().addr().get(),
        keeps_states: true,
    };
    // SAFETY: allocated above and not used again.
    unsafe { memory.free(iter::once(free)) };
    for (number, block) in blocks.into_iter().enumerate() {
        let page = plan.page(number, &space);
        // SAFETY: the block is owned by this function, and has this size.
        unsafe { block.cast().write(page) };
        // SAFETY: allocated above and not used again.
        unsafe { memory.hand_over(iter::once(block)) };
    }
    // A plan in which a random address happens to be in this heap is skipped.
    let chance =
        |to: To| matches!(to, To::Raw(addr) if addr.abs_diff(space.owned) < 1 << 20 && addr != 0);
    if chance(plan.head) || plan.blocks.iter().any(|block| chance(block.0)) {
        return;
    }

    let snapshot = || {
        let read = |addr: &u64| {
            let mut page = [0; BLOCK];
            memory.read(PhysAddr::new(*addr), &mut page).unwrap();
            page
        };
        (memory.usage(), space.blocks.iter().map(read).collect::<Vec<_>>())
    };
    let before = snapshot();
    let head = SetHead::<Item>::new(PhysAddr::new(space.resolve(plan.head)));
    let claimed = BlockSet::restore_with_limit(&memory, head, plan.limit).map(|set| {
        let items = set.iter().copied().collect::<Vec<_>>();
        assert!(set.hand_over() == head);
        items
    });
    assert_eq!(claimed.map_err(fault), walk(plan, &space).map_err(|[claimed, _]| claimed));
    assert!(snapshot() == before, "a restore left a trace");
    check_read(plan, &space, &memory);
    assert!(snapshot() == before, "a restore left a trace");
    assert_eq!(neighbour[0], Item::new(0));
}

fuzz_target!(|bytes: &[u8]| {
    let plan = Plan::new(&mut Input(bytes));
    check_dump(&plan);
    check_heap(&plan);
});
