//! Runs a plan: each operation on a set and on the model, then the set against the model.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use kho_block::bytemuck::{bytes_of, cast_slice};
use kho_block::{BlockSet, PhysAddr};

use crate::TestEntry;
use crate::common::{Decoded, decode, sample};
use crate::memories::TestMemory;
use crate::naive::Naive;
use crate::ops::{Keep, Op, Plan, Spot};
use crate::watched::Watched;
use crate::{changing, crossing, cursor, parallel, reading, writing};

pub(crate) type Set<'m, T, M> = BlockSet<T, &'m Watched<M>>;

/// A panic that a test raises itself, without a message.
pub(crate) struct Injected;

/// Runs `f`, which may raise [`Injected`]. Returns whether it did.
pub(crate) fn catch_injected(f: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => false,
        Err(payload) if payload.is::<Injected>() => true,
        Err(payload) => resume_unwind(payload),
    }
}

/// Unwinds without running the panic hook.
pub(crate) fn inject() -> ! {
    resume_unwind(Box::new(Injected))
}

/// A set and its model.
pub(crate) struct Pair<'m, T: TestEntry, M: TestMemory> {
    pub(crate) set: Set<'m, T, M>,
    pub(crate) naive: Naive<T>,
}

pub(crate) struct World<'m, T: TestEntry, M: TestMemory> {
    pub(crate) memory: &'m Watched<M>,
    /// Operations apply to the first pair.
    pub(crate) pairs: [Pair<'m, T, M>; 2],
    /// Number of allocations that will still succeed.
    pub(crate) budget: usize,
    /// The seed of the last entry.
    pub(crate) seed: u64,
}

/// Runs a plan. Returns how many operations it had.
pub(crate) fn run<T: TestEntry, M: TestMemory>(plan: &Plan) -> usize {
    let memory = Watched::new(M::make());
    let [one, other] = &plan.starts;
    let mut world = World::<T, M> {
        memory: &memory,
        pairs: [crossing::start(&memory, one, 1 << 60), crossing::start(&memory, other, 1 << 61)],
        budget: usize::MAX,
        seed: 0,
    };
    world.pairs.iter().for_each(Pair::check);
    for op in &plan.ops {
        world.run(op);
        world.check();
    }
    crossing::finish(world, plan.finish).check(memory);
    plan.ops.len()
}

impl<'m, T: TestEntry, M: TestMemory> Pair<'m, T, M> {
    pub(crate) fn new(memory: &'m Watched<M>) -> Self {
        let set = BlockSet::new_in(memory);
        Self { set, naive: Naive::new(Set::<T, M>::COUNT_PER_BLOCK) }
    }

    /// Decodes the chain from the bytes at the head's address.
    pub(crate) fn decode(&self) -> Decoded {
        let memory = *self.set.memory();
        decode(self.set.head().addr().get(), M::BLOCK_SIZE, size_of::<T>(), |addr, buf| {
            memory.peek(addr, buf);
        })
    }

    /// Checks that the set equals the model.
    pub(crate) fn check(&self) {
        let Self { set, naive } = self;
        assert_eq!(set.len(), naive.len());
        assert_eq!(set.is_empty(), naive.entries.is_empty());
        assert_eq!(set.block_count(), naive.counts.len());
        assert_eq!(set.capacity(), naive.len() + naive.room());
        assert_eq!(set.is_uniform(), naive.is_uniform());
        assert_eq!(set.block_limit(), naive.limit);
        assert_eq!(set.head().is_empty(), set.is_empty());
        assert_eq!(set.first().map(bytes_of), naive.entries.first().map(bytes_of));
        assert_eq!(set.last().map(bytes_of), naive.entries.last().map(bytes_of));
        let decoded = self.decode();
        assert_eq!(decoded.counts(size_of::<T>()), naive.counts);
        assert!(decoded.bytes() == cast_slice::<T, u8>(&naive.entries), "entries differ");
    }
}

impl<T: TestEntry, M: TestMemory> World<'_, T, M> {
    fn check(&self) {
        self.pairs[0].check();
        let blocks: usize = self.pairs.iter().map(|pair| pair.naive.blocks()).sum();
        let usage = self.memory.inner().usage();
        assert_eq!((usage.owned, usage.preserved), (blocks, 0));
        assert_eq!(self.memory.owned(), blocks);
    }

    /// Returns a new entry.
    pub(crate) fn entry(&mut self) -> T {
        self.seed += 1;
        sample(self.seed)
    }

    /// Sets how many allocations succeed, if the memory can fail.
    pub(crate) fn set_budget(&mut self, budget: usize) {
        if self.memory.inner().set_budget(budget) {
            self.budget = budget;
        }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Push(count) => writing::push(self, *count),
            Op::Extend(amount, slice) => writing::extend(self, *amount, *slice),
            Op::Reserve(amount) => {
                let additional = self.pairs[0].naive.amount(*amount);
                writing::reserve(self, additional);
            }
            // On 32-bit machines there may be that much memory.
            Op::ReserveMax if usize::BITS < 64 => {}
            Op::ReserveMax => writing::reserve(self, usize::MAX),
            Op::Starve(amount, budget) => {
                let additional = self.pairs[0].naive.amount(*amount);
                self.set_budget(usize::from(*budget));
                writing::reserve(self, additional);
                self.set_budget(usize::MAX);
            }
            Op::Write(steps, end) => writing::write(self, steps, *end),
            Op::Budget(budget) => self.set_budget(budget.map_or(usize::MAX, usize::from)),
            Op::Pop(count) => self.pop(*count),
            Op::Retain(keep, at) => self.retain(*keep, *at),
            Op::HandOver => crossing::cross(self),
            Op::Swap => {
                let [one, other] = &mut self.pairs;
                mem::swap(&mut one.set, &mut other.set);
                mem::swap(&mut one.naive, &mut other.naive);
            }
            Op::Change(spot) => changing::change(self, *spot),
            Op::ChunksMut(takes) => changing::chunks_mut(self, takes),
            Op::IterMut(takes) => changing::iter_mut(self, takes),
            Op::ParChange(most) => parallel::change(&mut self.pairs[0], most.get()),
            Op::Get(spot) => self.get(*spot),
            _ => self.pairs[0].run(op),
        }
    }

    fn pop(&mut self, count: u8) {
        let Pair { set, naive } = &mut self.pairs[0];
        for _ in 0..count {
            let last = naive.entries.last().copied();
            assert_eq!(set.pop().as_ref().map(bytes_of), last.as_ref().map(bytes_of));
            naive.truncate(naive.len().saturating_sub(1));
        }
    }

    fn get(&mut self, spot: Spot) {
        let Pair { set, naive } = &self.pairs[0];
        let index = naive.index(spot);
        let entry = naive.entries.get(index);
        assert_eq!(set.get(index).map(bytes_of), entry.map(bytes_of));
        if entry.is_none() {
            assert_eq!(set.addr_of(index), None);
            return;
        }
        assert_eq!(bytes_of(&set[index]), bytes_of(&naive.entries[index]));
        let (block, offset) = naive.locate(index);
        let in_block = (16 + offset * size_of::<T>()) as u64;
        let addr = self.pairs[0].decode().blocks[block].0 + in_block;
        assert_eq!(set.addr_of(index), Some(PhysAddr::new(addr)));
    }

    /// Retains some entries. The predicate panics at the entry `at`, if there is one.
    fn retain(&mut self, keep: Keep, at: Option<Spot>) {
        let Pair { set, naive } = &mut self.pairs[0];
        let mut kept = decisions(keep, naive);
        let at = at.map_or(usize::MAX, |at| naive.index(at));
        let entries = &naive.entries;
        let mut asked = 0;
        let panicked = catch_injected(|| {
            set.retain(|entry| {
                assert!(
                    bytes_of(entry) == bytes_of(&entries[asked]),
                    "`keep` was called with another entry"
                );
                asked += 1;
                if asked - 1 == at {
                    inject();
                }
                kept[asked - 1]
            });
        });
        assert_eq!(panicked, at < naive.len());
        assert_eq!(asked, naive.len().min(at.saturating_add(1)));
        if panicked {
            kept[at..].fill(true);
        }
        naive.retain(&kept);
    }
}

/// Returns for each entry whether to keep it.
fn decisions<T: Copy>(keep: Keep, naive: &Naive<T>) -> Vec<bool> {
    let hash = |seed: u64, index: usize| {
        let mixed = (seed ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 60
    };
    let decide: Box<dyn Fn(usize) -> bool> = match keep {
        Keep::All => Box::new(|_| true),
        Keep::None => Box::new(|_| false),
        Keep::Without(spot) => {
            let gone = naive.index(spot);
            Box::new(move |index| index != gone)
        }
        Keep::From(spot) => {
            let first = naive.index(spot);
            Box::new(move |index| index >= first)
        }
        Keep::Some(seed) => Box::new(move |index| hash(seed, index) >= 4),
        Keep::Few(seed) => Box::new(move |index| hash(seed, index) == 0),
    };
    (0..naive.len()).map(decide).collect()
}

impl<T: TestEntry, M: TestMemory> Pair<'_, T, M> {
    /// Runs an operation on a single set.
    fn run(&mut self, op: &Op) {
        let Self { set, naive } = self;
        match op {
            Op::Shrink => {
                set.shrink_to_fit();
                naive.spare = 0;
            }
            Op::Truncate(spot) => {
                let len = naive.index(*spot);
                set.truncate(len);
                naive.truncate(len);
            }
            Op::Clear => {
                set.clear();
                naive.truncate(0);
            }
            Op::Read(reads) => reading::read(set, naive, reads),
            Op::Move(moves) => cursor::read(set, naive, moves),
            Op::Chunks(takes) => reading::chunks(set, naive, takes),
            Op::Slices(spots, takes) => reading::slices(set, naive, *spots, takes),
            Op::ParRead(spots, most) => parallel::read(set, naive, *spots, most.get()),
            Op::Limit(limit) => {
                naive.limit = limit.map_or(usize::MAX, usize::from);
                set.set_block_limit(naive.limit);
            }
            _ => unreachable!("not an operation on a single set"),
        }
    }
}
