//! Handing sets over and claiming them: at the start of a plan, during it and at its end.

use std::mem;

use kho_block::bytemuck::{bytes_of, cast_slice};
use kho_block::{BlockSet, ForeignSet, PhysAddr, ReadMemory, RestoreErrorKind, SetHead, SetView};

use crate::TestEntry;
use crate::common::{decode, preserve_chain, samples};
use crate::driver::{Pair, Set, World};
use crate::memories::TestMemory;
use crate::naive::Naive;
use crate::ops::{Finish, Read, Spot, Start};
use crate::reading;
use crate::watched::Watched;

pub(crate) fn start<'m, T: TestEntry, M: TestMemory>(
    memory: &'m Watched<M>,
    start: &Start,
    seed: u64,
) -> Pair<'m, T, M> {
    match start {
        Start::Empty => Pair::new(memory),
        Start::Chain(parts) => chain(memory, parts, seed),
    }
}

/// Builds a chain by hand and restores it.
fn chain<'m, T: TestEntry, M: TestMemory>(
    memory: &'m Watched<M>,
    parts: &[u8],
    seed: u64,
) -> Pair<'m, T, M> {
    let mut naive = Naive::new(Set::<T, M>::COUNT_PER_BLOCK);
    naive.counts = parts
        .iter()
        .map(|part| (usize::from(*part) + 1) * naive.per / 256)
        .map(|count| count.max(1))
        .collect();
    naive.entries = samples(seed, naive.counts.iter().sum());
    naive.published = naive.len();

    let head = preserve_chain(memory, &naive.counts, &naive.entries);
    let set = BlockSet::restore(memory, head).unwrap();
    Pair { set, naive }
}

/// Hands the set over, checks the bytes that were handed over, and claims them again.
pub(crate) fn cross<T: TestEntry, M: TestMemory>(world: &mut World<'_, T, M>) {
    let memory = world.memory;
    let Pair { set, naive } = &mut world.pairs[0];
    let expected_head = set.head();
    let head = mem::replace(set, BlockSet::new_in(memory)).hand_over();
    assert_eq!(head, expected_head);
    naive.spare = 0;
    assert_eq!(memory.inner().usage().preserved, naive.blocks());

    check_handed_over(memory, head, naive);
    view(memory, head, naive);

    // One block too many for the limit: nothing is claimed.
    if let Some(limit) = naive.blocks().checked_sub(1) {
        let usage = memory.inner().usage();
        let error = BlockSet::restore_with_limit(memory, head, limit).err().unwrap();
        assert_eq!(error.kind, RestoreErrorKind::TooLong { limit });
        assert_eq!(error.position, limit);
        assert_eq!(memory.inner().usage(), usage);
    }
    naive.limit = naive.limit.max(naive.blocks());
    *set = BlockSet::restore_with_limit(memory, head, naive.limit).unwrap();
    // The blocks are claimed, so they can be neither read nor claimed again.
    if let Some(first) = set.first() {
        let _ = bytes_of(first);
        assert!(memory.read(head.addr(), &mut [0]).is_err());
        let error = BlockSet::restore(memory, head).err().unwrap();
        assert_eq!((error.position, error.kind), (0, RestoreErrorKind::Owned));
    }
}

/// Checks the bytes of a chain that was handed over.
fn check_handed_over<T: TestEntry>(memory: &impl ReadMemory, head: SetHead<T>, naive: &Naive<T>) {
    decode_and_check(head, naive, block_size(memory), |addr, buf| {
        memory.read(PhysAddr::new(addr), buf).unwrap();
    });
}

fn decode_and_check<T: TestEntry>(
    head: SetHead<T>,
    naive: &Naive<T>,
    block_size: usize,
    read: impl FnMut(u64, &mut [u8]),
) {
    let decoded = decode(head.addr().get(), block_size, size_of::<T>(), read);
    assert_eq!(decoded.counts(size_of::<T>()), naive.counts);
    assert!(decoded.bytes() == cast_slice::<T, u8>(&naive.entries), "entries differ");
}

fn block_size<M: ReadMemory>(_: &M) -> usize {
    M::BLOCK_SIZE
}

/// Checks a chain that was handed over, by reading it as a `ForeignSet`.
fn view<T: TestEntry>(memory: &impl ReadMemory, head: SetHead<T>, naive: &Naive<T>) {
    let set = ForeignSet::restore(memory, head).unwrap();
    assert_eq!((set.len(), set.is_empty()), (naive.len(), naive.entries.is_empty()));
    assert_eq!(set.blocks().len(), naive.counts.len());
    assert_eq!(set.blocks().first().copied().unwrap_or_default(), head.addr());
    assert!(set.get(naive.len()).is_none());
    // About 100 entries: each by index, then by one step of an iterator from either end.
    let step = naive.len() / 100 + 1;
    let mut forward = set.iter();
    let mut backward = set.iter().rev();
    for index in (step - 1..naive.len()).step_by(step) {
        let back = naive.len() - 1 - index;
        let found = [set.get(index), forward.nth(step - 1)].map(|entry| entry.unwrap().unwrap());
        for entry in found {
            assert!(bytes_of(&entry) == bytes_of(&naive.entries[index]), "entry {index} differs");
        }
        let entry = backward.nth(step - 1).unwrap().unwrap();
        assert!(bytes_of(&entry) == bytes_of(&naive.entries[back]), "entry {back} differs");
    }
}

/// The sets at the end of a plan, to be checked once nothing borrows the memory.
pub(crate) struct Left<T> {
    sets: [(SetHead<T>, Naive<T>); 2],
    finish: Finish,
}

/// Drops the sets or hands them over.
pub(crate) fn finish<T: TestEntry, M: TestMemory>(
    world: World<'_, T, M>,
    finish: Finish,
) -> Left<T> {
    world.pairs.iter().for_each(Pair::check);
    let sets = world.pairs.map(|Pair { set, naive }| {
        if matches!(finish, Finish::Drop) {
            drop(set);
            (SetHead::EMPTY, Naive::new(naive.per))
        } else {
            (set.hand_over(), naive)
        }
    });
    Left { sets, finish }
}

impl<T: TestEntry> Left<T> {
    /// Checks the sets in the memory, and that no block is lost.
    pub(crate) fn check<M: TestMemory>(self, memory: Watched<M>) {
        assert_eq!(memory.owned(), 0);
        let memory = memory.into_inner();
        let preserved = self.sets.iter().map(|(_, naive)| naive.counts.len()).sum();
        let usage = memory.usage();
        assert_eq!((usage.owned, usage.preserved), (0, preserved));
        let blocks = usage.free + preserved;
        for (head, naive) in &self.sets {
            check_handed_over(&memory, *head, naive);
        }
        match self.finish {
            Finish::Drop => assert_eq!(memory.usage().free, blocks),
            Finish::Abandon => {
                assert_eq!(memory.free_preserved(), preserved);
                assert_eq!(memory.usage().free, blocks);
            }
            Finish::Reopen => {
                let Some(memory) = memory.reopen() else { return };
                assert_eq!(memory.usage().preserved, blocks);
                let memory = Watched::new(memory);
                let pairs = self.sets.map(|(head, mut naive)| {
                    naive.limit = kho_block::abi::DEFAULT_BLOCK_LIMIT;
                    naive.spare = 0;
                    let set = BlockSet::restore(&memory, head).unwrap();
                    Pair { set, naive }
                });
                pairs.iter().for_each(Pair::check);
                assert_eq!(memory.inner().free_preserved(), blocks - preserved);
                drop(pairs);
                let usage = memory.inner().usage();
                assert_eq!((usage.free, usage.owned, usage.preserved), (blocks, 0, 0));
            }
            Finish::Seal => {
                let Some(sealed) = memory.seal() else { return };
                for (head, naive) in &self.sets {
                    check_handed_over(&sealed, *head, naive);
                    view(&sealed, *head, naive);
                    let view = SetView::restore(&sealed, *head).unwrap();
                    let steps = [Read::Nth(Spot::Part(9000)), Read::NextBack, Read::Rfold];
                    reading::read(&view, naive, &steps);
                    reading::chunks(&view, naive, &[]);
                }
            }
        }
    }
}
