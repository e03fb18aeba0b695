//! Invariant I3: at any moment, a reader finds a valid chain that holds a prefix of what was
//! pushed.
//!
//! There are two observers. One is a memory that walks along the chain whenever the set calls it:
//! at every published step, and before each new block. The other (`step`) walks along it between
//! any two instructions.
#![allow(unsafe_code)]
// For 64-bit machines.
#![allow(clippy::cast_possible_truncation)]

#[path = "../common/mod.rs"]
mod common;
mod observed;
#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
mod step;

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use kho_block::{BlockMemory, BlockSet, PhysAddr, SetHead};
use proptest::prelude::*;
use rayon::prelude::*;

use common::OneBlock as _;
use observed::{Item, Observed, PER_BLOCK};

#[derive(Clone, Debug)]
enum Op {
    Push(usize),
    Extend(usize),
    /// Extends from an iterator that does not say how many entries it has.
    TryExtend(usize),
    /// Extends from an iterator without end, by at most one block.
    TryExtendError,
    ParExtend(usize),
    /// Panics at the entry with this index.
    ParExtendPanic(usize, prop::sample::Index),
    /// Pushes, publishes, pushes, and so on.
    Publish(Vec<usize>),
    Rollback(Vec<usize>),
    /// Leaks a writer with entries that it did not publish.
    Leak(usize),
    TransactionOk(usize),
    TransactionError(usize),
    TransactionPanic(usize),
    Truncate(prop::sample::Index),
    Pop,
    Clear,
    /// Keeps the entries whose hashed numbers share no bit with this.
    Retain(u8),
    /// Panics at the entry with this index.
    RetainPanic(u8, prop::sample::Index),
    Reserve(usize),
    Shrink,
    /// Hands the set over and restores it.
    Cross,
}

fn ops() -> impl Strategy<Value = Op> {
    let count = || prop_oneof![2 => 0..4_usize, 2 => 0..25_usize, 1 => Just(PER_BLOCK)];
    let counts = || prop::collection::vec(count(), 0..4);
    prop_oneof![
        count().prop_map(Op::Push),
        count().prop_map(Op::Extend),
        count().prop_map(Op::TryExtend),
        Just(Op::TryExtendError),
        count().prop_map(Op::ParExtend),
        (count(), any::<prop::sample::Index>())
            .prop_map(|(count, i)| Op::ParExtendPanic(count + 1, i)),
        counts().prop_map(Op::Publish),
        counts().prop_map(Op::Rollback),
        count().prop_map(Op::Leak),
        count().prop_map(Op::TransactionOk),
        count().prop_map(Op::TransactionError),
        count().prop_map(Op::TransactionPanic),
        any::<prop::sample::Index>().prop_map(Op::Truncate),
        Just(Op::Pop),
        Just(Op::Clear),
        any::<u8>().prop_map(Op::Retain),
        (any::<u8>(), any::<prop::sample::Index>()).prop_map(|(mask, i)| Op::RetainPanic(mask, i)),
        count().prop_map(Op::Reserve),
        Just(Op::Shrink),
        Just(Op::Cross),
    ]
}

fn keeps(mask: u8, id: u64) -> bool {
    mask & (1 << (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61)) == 0
}

/// Preserves a chain with blocks of these counts, whose entries are numbered from 1.
fn craft(memory: &impl BlockMemory, counts: &[usize]) -> SetHead<Item> {
    let blocks: Vec<_> = counts.iter().map(|_| memory.allocate_one().unwrap()).collect();
    let addrs: Vec<_> = blocks.iter().map(|block| memory.addr_of(*block)).collect();
    let mut id = 0;
    for (i, (block, count)) in blocks.into_iter().zip(counts).enumerate() {
        let next = addrs.get(i + 1).map_or(0, |next| next.get());
        let header = [next, *count as u64];
        let entries = (0..*count).flat_map(|_| {
            id += 1;
            Item::new(id).words()
        });
        for (at, word) in header.into_iter().chain(entries).enumerate() {
            // SAFETY: a block holds a header of two words and `PER_BLOCK` entries of two.
            let to = unsafe { block.cast::<u64>().add(at) };
            // SAFETY: the block is owned by this function.
            unsafe { to.write(word) };
        }
        // SAFETY: allocated above and not used again.
        unsafe { memory.hand_over_one(block) };
    }
    SetHead::new(addrs.first().copied().unwrap_or(PhysAddr::NULL))
}

/// A set under observation, and the entries that it should have.
struct Run<'m> {
    memory: &'m Observed,
    set: BlockSet<Item, &'m Observed>,
    model: Vec<u64>,
    next_id: u64,
}

impl<'m> Run<'m> {
    /// Starts from a chain with blocks of these counts.
    fn new(memory: &'m Observed, counts: &[usize]) -> Self {
        let head = craft(memory, counts);
        memory.drain();
        let set = BlockSet::restore(memory, head).unwrap();
        let next_id = 1 + counts.iter().sum::<usize>() as u64;
        Self { memory, set, model: (1..next_id).collect(), next_id }
    }

    fn fresh(&mut self, count: usize) -> Vec<Item> {
        let first = self.next_id;
        self.next_id += count as u64;
        (first..self.next_id).map(Item::new).collect()
    }

    /// Returns what was observed since the last call.
    fn seen(&self) -> Vec<Vec<u64>> {
        self.memory.drain().into_iter().map(|seen| seen.unwrap()).collect()
    }

    /// Checks that each observation is a prefix of `all`, at least `least` long, and none is
    /// shorter than the one before.
    fn assert_growing(&self, all: &[u64], least: usize) {
        let mut len = least;
        for seen in self.seen() {
            assert!(all.starts_with(&seen), "{seen:?} is not a prefix of {all:?}");
            assert!(seen.len() >= len, "{} after {len}", seen.len());
            len = seen.len();
        }
    }

    /// Checks that each observation is a prefix of `all`, and none is longer than the one before.
    fn assert_shrinking(&self, all: &[u64], least: usize) {
        let mut len = all.len();
        for seen in self.seen() {
            assert!(all.starts_with(&seen), "{seen:?} is not a prefix of {all:?}");
            assert!(seen.len() <= len && seen.len() >= least, "{} after {len}", seen.len());
            len = seen.len();
        }
    }

    /// Checks that each observation up to a cut at `cut` is a prefix of the old set, and each one
    /// after it a prefix of the new set.
    fn assert_retained(&self, old: &[u64], new: &[u64], cut: usize) {
        let mut is_cut = false;
        let mut len = old.len();
        for seen in self.seen() {
            if !is_cut {
                assert!(old.starts_with(&seen), "{seen:?} is not a prefix of {old:?}");
                assert!(seen.len() >= cut && seen.len() <= len);
                is_cut = seen.len() == cut;
            } else {
                assert!(new.starts_with(&seen), "{seen:?} is not a prefix of {new:?}");
                assert!(seen.len() >= len);
            }
            len = seen.len();
        }
    }

    /// Checks that the set grows, or is rolled back to what it was.
    fn assert_undone(&self, all: &[u64], least: usize) {
        for seen in self.seen() {
            assert!(all.starts_with(&seen), "{seen:?} is not a prefix of {all:?}");
            assert!(seen.len() >= least);
        }
    }

    fn with(&self, items: &[Item]) -> Vec<u64> {
        self.model.iter().copied().chain(items.iter().map(Item::id)).collect()
    }

    fn step(&mut self, op: &Op) {
        let old = self.model.clone();
        match op {
            Op::Push(count) => {
                let items = self.fresh(*count);
                items.iter().for_each(|item| self.set.push(*item).unwrap());
                self.model = self.with(&items);
                self.assert_growing(&self.model, old.len());
            }
            Op::Extend(count) => {
                let items = self.fresh(*count);
                self.set.writer().extend_from_slice(&items).unwrap();
                self.model = self.with(&items);
                self.assert_growing(&self.model, old.len());
            }
            Op::TryExtend(count) => {
                let items = self.fresh(*count);
                self.set.try_extend(items.iter().copied().filter(|_| true)).unwrap();
                self.model = self.with(&items);
                self.assert_growing(&self.model, old.len());
            }
            Op::TryExtendError => {
                let first = self.next_id;
                let limit = self.set.block_limit();
                self.set.set_block_limit(self.set.block_count() + 1);
                let endless = (first..).map(Item::new).filter(|_| true);
                self.set
                    .try_extend(endless.inspect(|item| self.next_id = item.id() + 1))
                    .unwrap_err();
                self.set.set_block_limit(limit);
                let items: Vec<Item> = (first..self.next_id).map(Item::new).collect();
                self.assert_undone(&self.with(&items), old.len());
            }
            Op::ParExtend(count) => {
                let items = self.fresh(*count);
                self.set.par_extend(items.par_iter().copied()).unwrap();
                self.model = self.with(&items);
                self.assert_growing(&self.model, old.len());
            }
            Op::ParExtendPanic(count, index) => {
                let items = self.fresh(*count);
                let at = items[index.index(*count)];
                let set = &mut self.set;
                let result = catch_unwind(AssertUnwindSafe(|| {
                    set.par_extend(items.par_iter().map(|item| {
                        if *item == at {
                            resume_unwind(Box::new("no"));
                        }
                        *item
                    }))
                }));
                assert!(result.is_err());
                // None of them was seen.
                self.assert_growing(&old, old.len());
            }
            Op::Publish(counts) => {
                let items = self.fresh(counts.iter().sum());
                let mut rest = items.iter();
                let mut writer = self.set.writer();
                for count in counts {
                    rest.by_ref().take(*count).for_each(|item| writer.push(*item).unwrap());
                    writer.publish();
                }
                drop(writer);
                self.model = self.with(&items);
                self.assert_growing(&self.model, old.len());
            }
            Op::Rollback(counts) => {
                let items = self.fresh(counts.iter().sum());
                let mut rest = &items[..];
                let mut writer = self.set.writer();
                for (i, count) in counts.iter().enumerate() {
                    let (now, later) = rest.split_at(*count);
                    writer.extend_from_slice(now).unwrap();
                    rest = later;
                    if i % 2 == 0 {
                        writer.publish();
                    }
                }
                writer.rollback();
                self.assert_undone(&self.with(&items), old.len());
            }
            Op::Leak(count) => {
                let items = self.fresh(*count);
                let mut writer = self.set.writer();
                items.iter().for_each(|item| writer.push(*item).unwrap());
                mem::forget(writer);
                let all = self.with(&items);
                self.assert_growing(&all, old.len());
                self.model = all[..self.set.len()].to_vec();
            }
            Op::TransactionOk(count) => {
                let items = self.fresh(*count);
                self.set.transaction(|writer| writer.extend_from_slice(&items)).unwrap();
                self.model = self.with(&items);
                self.assert_growing(&self.model, old.len());
            }
            Op::TransactionError(count) => {
                let items = self.fresh(*count);
                let result = self.set.transaction(|writer| {
                    items.iter().for_each(|item| writer.push(*item).unwrap());
                    Err::<(), _>("no")
                });
                assert!(result.is_err());
                self.assert_undone(&self.with(&items), old.len());
            }
            Op::TransactionPanic(count) => {
                let items = self.fresh(*count);
                let set = &mut self.set;
                let result = catch_unwind(AssertUnwindSafe(|| {
                    set.transaction(|writer| -> Result<(), ()> {
                        items.iter().for_each(|item| writer.push(*item).unwrap());
                        resume_unwind(Box::new("no"))
                    })
                }));
                assert!(result.is_err());
                self.assert_undone(&self.with(&items), old.len());
            }
            Op::Truncate(index) => {
                let len = index.index(old.len() + 2);
                self.set.truncate(len);
                self.model.truncate(len);
                self.assert_shrinking(&old, self.model.len());
            }
            Op::Pop => {
                assert_eq!(self.set.pop().map(|item| item.id()), self.model.pop());
                self.assert_shrinking(&old, self.model.len());
            }
            Op::Clear => {
                self.set.clear();
                self.model.clear();
                self.assert_shrinking(&old, 0);
            }
            Op::Retain(mask) => {
                self.set.retain(|item| keeps(*mask, item.id()));
                self.model.retain(|id| keeps(*mask, *id));
                let cut = old.iter().position(|id| !keeps(*mask, *id)).unwrap_or(old.len());
                self.assert_retained(&old, &self.model, cut);
            }
            Op::RetainPanic(mask, index) if !old.is_empty() => {
                let at = old[index.index(old.len())];
                let set = &mut self.set;
                let result = catch_unwind(AssertUnwindSafe(|| {
                    set.retain(|item| {
                        if item.id() == at {
                            resume_unwind(Box::new("no"));
                        }
                        keeps(*mask, item.id())
                    });
                }));
                assert!(result.is_err());
                // The entry that it panicked at stays, and so do those after it.
                let stays = |id: u64| id >= at || keeps(*mask, id);
                let cut = old.iter().position(|id| !stays(*id)).unwrap_or(old.len());
                self.model.retain(|id| stays(*id));
                self.assert_retained(&old, &self.model, cut);
            }
            Op::RetainPanic(..) => {}
            Op::Reserve(count) => {
                self.set.try_reserve(*count).unwrap();
                self.assert_growing(&old, old.len());
            }
            Op::Shrink => {
                self.set.shrink_to_fit();
                self.assert_growing(&old, old.len());
            }
            Op::Cross => {
                let memory = self.memory;
                let set = mem::replace(&mut self.set, BlockSet::new_in(memory));
                let head = set.hand_over();
                memory.drain();
                self.set = BlockSet::restore(memory, head).unwrap();
            }
        }
        // Nothing changes without a published step, and the last step leaves the current state.
        match self.memory.last_published() {
            Some(last) => assert_eq!(last.as_ref(), Ok(&self.model), "{op:?}"),
            None => assert_eq!(old, self.model, "{op:?}"),
        }
        // Now the set and an observer both see exactly the expected entries.
        assert!(self.set.iter().map(|item| item.id()).eq(self.model.iter().copied()), "{op:?}");
        self.memory.published();
        assert_eq!(self.seen(), std::slice::from_ref(&self.model), "{op:?}");
        self.memory.last_published();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_shows_a_prefix(
        counts in prop::collection::vec(1..=PER_BLOCK, 0..6),
        ops in prop::collection::vec(ops(), 1..60),
    ) {
        let memory = Observed::default();
        let mut run = Run::new(&memory, &counts);
        for op in &ops {
            run.step(op);
        }
        drop(run);
        assert_eq!(memory.usage().owned, 0);
    }
}

/// Cuts every small chain with short blocks in every possible way.
#[test]
fn every_cut_of_small_chains() {
    for counts in [&[1, 1, 1][..], &[7, 7], &[3, 7, 1, 2], &[1, 7, 7, 7], &[2], &[7, 1, 7, 1]] {
        let total: usize = counts.iter().sum();
        for first in 0..=total {
            for mask in [0, 1, 0b1010_1010, 0xff] {
                let memory = Observed::default();
                let mut run = Run::new(&memory, counts);
                run.set.truncate(first);
                let old = run.model.clone();
                run.model.truncate(first);
                run.assert_shrinking(&old, first);
                memory.last_published();
                run.step(&Op::Push(9));
                run.step(&Op::Retain(mask));
                run.step(&Op::Rollback(vec![3, 8]));
                run.step(&Op::Extend(10));
                run.step(&Op::TryExtendError);
                run.step(&Op::TryExtend(10));
            }
        }
    }
}
