//! Plans written into every kind of memory, and restored in every way.

use std::cell::Cell;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use kho_block::{
    BlockMemory, BlockSet, ChainWalk, DumpMemory, FaultyMemory, ForeignSet, HeapMemory,
    MemfdMemory, PhysAddr, ReadError, ReadMemory, RestoreError, SealedMemfd, SetView, StableMemory,
    Usage,
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::common::OneBlock as _;
use crate::plan::{Access, BLOCK, Fault, Item, NEIGHBOUR, Plan, Space, assert_chain, walk};

/// A memory that reports the number of its blocks.
pub(crate) trait Counted: BlockMemory {
    fn counted(&self) -> Usage;
}

impl Counted for HeapMemory {
    fn counted(&self) -> Usage {
        self.usage()
    }
}

impl Counted for MemfdMemory {
    fn counted(&self) -> Usage {
        self.usage()
    }
}

/// The blocks of a plan, preserved in a memory that holds another set.
pub(crate) struct Arena<'m, M: BlockMemory> {
    pub(crate) memory: &'m M,
    pub(crate) space: Space,
    neighbour: BlockSet<Item, &'m M>,
}

impl<'m, M: Counted> Arena<'m, M> {
    pub(crate) fn new(memory: &'m M, blocks: usize) -> Self {
        let mut neighbour = BlockSet::new_in(memory);
        for index in 0..200 {
            neighbour.push(Item::new(NEIGHBOUR, index)).unwrap();
        }
        let owned = [0, 127].map(|i| neighbour.addr_of(i).unwrap().get() - 16);
        let mut taken: Vec<_> = (0..blocks + 2).map(|_| memory.allocate_one().unwrap()).collect();
        let addr = |block: &NonNull<u8>| memory.addr_of(*block).get();
        let free = taken.split_off(blocks);
        // Not in the order of the addresses.
        taken.chunks_mut(3).for_each(<[_]>::reverse);
        let space = Space {
            blocks: taken.iter().map(addr).collect(),
            free: free.iter().map(addr).collect(),
            owned: owned.to_vec(),
            keeps_states: true,
        };
        for block in taken {
            // SAFETY: allocated above and not used again.
            unsafe { memory.hand_over_one(block) };
        }
        for block in free {
            // SAFETY: allocated above and not used again.
            unsafe { memory.free_one(block) };
        }
        Self { memory, space, neighbour }
    }

    /// Writes the plan's blocks, all of which must be preserved.
    pub(crate) fn write(&self, plan: &Plan) {
        for (number, addr) in self.space.blocks.iter().enumerate() {
            let page = plan.page(number, &self.space);
            let block = self.memory.claim_one(PhysAddr::new(*addr)).unwrap();
            // SAFETY: the block was just claimed, and a block holds a page.
            unsafe { block.copy_from_nonoverlapping(NonNull::from(&*page).cast(), BLOCK) };
            // SAFETY: it was just claimed and is not used again.
            unsafe { self.memory.hand_over_one(block) };
        }
    }

    /// Returns the usage and the bytes of every preserved block.
    pub(crate) fn snapshot(&self) -> (Usage, Vec<u8>) {
        let mut bytes = vec![0; self.space.blocks.len() * BLOCK];
        for (addr, page) in self.space.blocks.iter().zip(bytes.chunks_exact_mut(BLOCK)) {
            self.memory.read(PhysAddr::new(*addr), page).unwrap();
        }
        (self.memory.counted(), bytes)
    }

    /// Claims the chain; on success hands it over again.
    fn check_claim<N: BlockMemory>(&self, memory: N, plan: &Plan, expected: &Walked) {
        let head = plan.head_in(&self.space);
        match (BlockSet::restore_with_limit(memory, head, plan.limit), expected) {
            (Ok(set), Ok(numbers)) => {
                assert_eq!(set.block_count(), numbers.len());
                assert!(set.iter().copied().eq(plan.items(numbers)));
                assert!(set.hand_over() == head);
            }
            (Err(error), Err(fault)) => fault.assert_is(&error, plan.limit, Access::Claim),
            (Ok(set), Err(fault)) => panic!("restored {} where {fault:x?}", set.len()),
            (Err(error), Ok(_)) => panic!("{error}"),
        }
    }

    pub(crate) fn check(&self, plan: &Plan) {
        let expected = walk(plan, &self.space);
        let head = plan.head_in(&self.space);
        let before = self.snapshot();
        self.check_claim(self.memory, plan, &expected);
        assert!(self.snapshot() == before, "a restore left a trace");

        // Once more with one claim at a time, which are counted.
        let faulty = FaultyMemory::new(self.memory);
        self.check_claim(&faulty, plan, &expected);
        assert!(faulty.claims() <= plan.limit, "{} claims", faulty.claims());
        assert_eq!(faulty.reads(), 0);
        let foreign = ForeignSet::restore_with_limit(&faulty, head, plan.limit);
        check_read(plan, &expected, foreign.map(|set| set.iter().map(Result::unwrap).collect()));
        let reads = faulty.reads();
        assert_chain(
            plan,
            &self.space,
            ChainWalk::with_limit(&faulty, head.addr(), size_of::<Item>(), plan.limit),
        );
        assert!(faulty.reads() - reads <= plan.limit, "a chain reads each header once");
        assert!(self.snapshot() == before, "a restore left a trace");

        let mut neighbour = (0..200).map(|index| Item::new(NEIGHBOUR, index));
        assert!(self.neighbour.iter().all(|item| Some(*item) == neighbour.next()));
    }
}

type Walked = Result<Vec<usize>, Fault>;

/// Checks the result of a restore by reading the set.
fn check_read(plan: &Plan, expected: &Walked, restored: Result<Vec<Item>, RestoreError>) {
    match (restored, expected) {
        (Ok(items), Ok(numbers)) => assert!(items == plan.items(numbers)),
        (Err(error), Err(fault)) => fault.assert_is(&error, plan.limit, Access::Read),
        (Ok(items), Err(fault)) => panic!("restored {} where {fault:x?}", items.len()),
        (Err(error), Ok(_)) => panic!("{error}"),
    }
}

/// Counts what is asked of a memory.
struct Counting<M> {
    inner: M,
    lends: Cell<usize>,
    reads: Cell<usize>,
}

impl<M> Counting<M> {
    fn new(inner: M) -> Self {
        Self { inner, lends: Cell::new(0), reads: Cell::new(0) }
    }
}

impl<M: ReadMemory> ReadMemory for Counting<M> {
    const BLOCK_SIZE: usize = M::BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.reads.set(self.reads.get() + 1);
        self.inner.read(addr, buf)
    }
}

impl<M: StableMemory> StableMemory for Counting<M> {
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError> {
        self.lends.set(self.lends.get() + 1);
        self.inner.lend(addr, len)
    }
}

/// Views, copies and walks a plan in a memory that lends.
fn check_lent(memory: impl StableMemory, plan: &Plan, space: &Space) {
    let memory = Counting::new(memory);
    let expected = walk(plan, space);
    let head = plan.head_in(space);
    let view = SetView::restore_with_limit(&memory, head, plan.limit);
    assert!(memory.lends.get() <= plan.limit, "{} blocks lent", memory.lends.get());
    assert_eq!(memory.reads.get(), 0);
    check_read(plan, &expected, view.map(|view| view.iter().copied().collect()));

    let foreign = ForeignSet::restore_with_limit(&memory, head, plan.limit);
    assert!(memory.reads.get() <= 2 * plan.limit, "a header and the last entry of each block");
    check_read(plan, &expected, foreign.map(|set| set.iter().map(Result::unwrap).collect()));

    memory.reads.set(0);
    let chain = ChainWalk::with_limit(&memory, head.addr(), size_of::<Item>(), plan.limit);
    assert_chain(plan, space, chain);
    assert!(memory.reads.get() <= plan.limit, "a chain reads each header once");
}

/// Addresses for a plan in bytes that start at `base`.
fn flat_space(base: u64, blocks: usize) -> Space {
    let addr = |i: usize| base + (i * BLOCK) as u64;
    let mut space = Space {
        blocks: (0..blocks).map(addr).collect(),
        free: vec![addr(blocks), addr(blocks + 1)],
        owned: vec![addr(blocks + 2), addr(blocks + 3)],
        keeps_states: false,
    };
    space.blocks.chunks_mut(4).for_each(<[_]>::reverse);
    space
}

fn check_image(plan: &Plan) {
    let space = flat_space(0x7000, plan.blocks.len());
    let mut image = DumpMemory::new();
    for (number, addr) in space.blocks.iter().enumerate() {
        image.insert(PhysAddr::new(*addr), plan.page(number, &space)).unwrap();
    }
    check_lent(&image, plan, &space);
}

fn check_sealed(plan: &Plan) {
    let space = flat_space(BLOCK as u64, plan.blocks.len());
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create("hostile", flags).unwrap());
    for (number, addr) in space.blocks.iter().enumerate() {
        file.write_all_at(&plan.page(number, &space), *addr).unwrap();
    }
    let fd = OwnedFd::from(file);
    fcntl_add_seals(&fd, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW).unwrap();
    check_lent(SealedMemfd::open(fd).unwrap(), plan, &space);
}

/// Checks a plan everywhere; then, in the memories that can be claimed, that `repaired` restores.
pub(crate) fn check(plan: &Plan, repaired: &Plan) {
    fn claiming(memory: &impl Counted, plan: &Plan, repaired: &Plan) {
        let arena = Arena::new(memory, plan.blocks.len());
        arena.write(plan);
        arena.check(plan);
        arena.write(repaired);
        arena.check(repaired);
        assert!(walk(repaired, &arena.space).is_ok());
    }
    claiming(&HeapMemory::new(), plan, repaired);
    claiming(&MemfdMemory::new("hostile").unwrap(), plan, repaired);
    check_image(plan);
    check_sealed(plan);
}
