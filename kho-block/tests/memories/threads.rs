//! Memories that threads share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use kho_block::{
    BlockMemory, BlockSet, DumpMemory, FaultyMemory, HeapMemory, MemfdMemory, PageMemory, PhysAddr,
};
use kho_block::{Iter, ReadMemory, RestoreErrorKind, SealedMemfd, SetView};

use crate::common::Countable;
use crate::owner::{Owner, pattern};

const THREADS: usize = 4;
const ROUNDS: usize = 60;

/// No block has two owners, and a claim gets the bytes that were handed over.
pub(crate) fn blocks_are_exclusive<M: Countable + Sync>(memory: &M) {
    let owned = Mutex::new(BTreeSet::new());
    let waiting = Mutex::new(Vec::new());
    let begin = Barrier::new(THREADS);
    let work = |thread: usize| {
        begin.wait();
        for round in 0..ROUNDS {
            let mut owners = Vec::new();
            for n in 0..round % 7 + 1 {
                let mut owner = Owner::allocate(memory);
                assert!(owned.lock().unwrap().insert(owner.place()), "the block has two owners");
                assert!(owner.is_zero());
                let seed = (thread * ROUNDS + round) * 8 + n;
                owner.fill(seed);
                owners.push((seed, owner));
            }
            let claimed = waiting.lock().unwrap().pop();
            if let Some((seed, addr)) = claimed {
                let owner = Owner::claim(memory, addr).unwrap();
                assert!(owned.lock().unwrap().insert(owner.place()), "the block has two owners");
                owners.push((seed, owner));
            }
            for (seed, owner) in owners {
                assert!(owner.has(seed), "another thread changed the block");
                assert!(owned.lock().unwrap().remove(&owner.place()));
                if seed % 3 == 0 {
                    let addr = owner.hand_over();
                    waiting.lock().unwrap().push((seed, addr));
                }
            }
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
    let waiting = waiting.into_inner().unwrap();
    let usage = memory.usage();
    assert_eq!((usage.owned, usage.preserved), (0, waiting.len()));
    for (seed, addr) in waiting {
        assert!(Owner::claim(memory, addr).unwrap().has(seed));
    }
}

/// Of several claims of a block, one succeeds. A read gives the bytes that were handed over, or
/// fails.
pub(crate) fn one_claim_succeeds<M: Countable + Sync>(memory: &M) {
    let owners: Vec<_> = (0..200).map(|_| Owner::allocate(memory)).collect();
    let mut addrs = Vec::new();
    for (seed, mut owner) in owners.into_iter().enumerate() {
        owner.fill(seed);
        addrs.push(owner.hand_over());
    }
    let claims = AtomicUsize::new(0);
    let begin = Barrier::new(THREADS);
    let work = |thread: usize| {
        begin.wait();
        let mut bytes = vec![0; M::BLOCK_SIZE];
        for (seed, addr) in addrs.iter().enumerate() {
            if thread == 0 && memory.read(*addr, &mut bytes).is_ok() {
                assert!(bytes == pattern(seed, M::BLOCK_SIZE), "a torn read");
            } else if let Ok(mut owner) = Owner::claim(memory, *addr) {
                assert!(owner.has(seed));
                owner.fill(usize::MAX - 1);
                claims.fetch_add(1, Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
    assert_eq!(claims.into_inner(), addrs.len());
    assert_eq!(memory.usage().owned, 0);
}

/// While restores fail in one thread, another thread finds the chain preserved.
pub(crate) fn failing_restores_are_never_seen<M: BlockMemory + Sync>(memory: &M) {
    let mut set = BlockSet::new_in(memory);
    set.set_block_limit(usize::MAX);
    while set.block_count() < 200 {
        set.push(entry::Number { value: 7 }).unwrap();
    }
    let head = set.hand_over();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                let error = BlockSet::restore_with_limit(memory, head, 199).map(drop).unwrap_err();
                let owned = error.kind == RestoreErrorKind::Owned && error.position == 0;
                assert!(owned || error.kind == RestoreErrorKind::TooLong { limit: 199 }, "{error}");
            }
        });
        let mut bytes = [0; 8];
        let refused = (0..1000).filter(|_| {
            let read = memory.read(head.addr(), &mut bytes);
            match BlockSet::restore(memory, head) {
                Ok(set) => set.hand_over() != head || read.is_err(),
                Err(_) => true,
            }
        });
        let refused = refused.count();
        stop.store(true, Relaxed);
        assert_eq!(refused, 0);
    });
}

/// Memories and sets are `Send` and `Sync`. The test is that this compiles.
#[test]
fn send_and_sync() {
    fn both<T: Send + Sync>() {}
    fn memory<M: BlockMemory + Send + Sync>() {
        both::<M>();
        both::<Arc<M>>();
        both::<BlockSet<entry::Number, Arc<M>>>();
        both::<FaultyMemory<M>>();
    }
    memory::<HeapMemory>();
    memory::<HeapMemory<65536>>();
    memory::<MemfdMemory>();
    memory::<MemfdMemory<16384>>();
    memory::<PageMemory<'_>>();
    both::<DumpMemory<'_>>();
    both::<SealedMemfd>();
    both::<SetView<'_, entry::Number, SealedMemfd>>();
    both::<Iter<'_, entry::Number, HeapMemory>>();
    both::<PhysAddr>();
    let _ = <HeapMemory as ReadMemory>::BLOCK_SIZE;
}

/// A set is written in one thread, sent to another and read by several.
#[test]
fn a_set_moves_between_threads() {
    let memory = Arc::new(HeapMemory::new());
    let mut set = BlockSet::new_in(memory.clone());
    for value in 0..5000 {
        set.push(entry::Number { value }).unwrap();
    }
    let head = thread::spawn(move || {
        thread::scope(|scope| {
            let sums: Vec<_> =
                (0..4).map(|_| scope.spawn(|| set.iter().map(|n| n.value).sum::<u64>())).collect();
            assert!(sums.into_iter().all(|sum| sum.join().unwrap() == 4999 * 2500));
        });
        set.hand_over()
    });
    let set = BlockSet::restore(memory, head.join().unwrap()).unwrap();
    assert_eq!(set.len(), 5000);
}

mod entry {
    use kho_block::Entry;
    use kho_block::bytemuck::{Pod, Zeroable};

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    pub(super) struct Number {
        pub(super) value: u64,
    }
}
