//! Two threads after the same blocks: each block goes to one of them.

use std::sync::Barrier;
use std::thread;

use kho_block::{BlockSet, FaultyMemory, HeapMemory, MemfdMemory, RestoreErrorKind};

use crate::arena::{Arena, Counted};
use crate::plan::{Item, Plan, To};

const ROUNDS: usize = 300;

/// Restores two heads at the same time, and keeps the sets until both have tried.
fn race<M: Counted + Sync>(memory: &M, plan: &Plan, heads: [To; 2], judge: impl Fn([Outcome; 2])) {
    let arena = Arena::new(memory, plan.blocks.len());
    arena.write(plan);
    let before = arena.snapshot();
    let heads = heads.map(|to| plan.clone().head(to).head_in(&arena.space));
    let faulty = FaultyMemory::new(memory);
    for round in 0..ROUNDS {
        let barrier = Barrier::new(2);
        let claim = |head| {
            barrier.wait();
            // Under one lock, or claim by claim.
            if round % 2 == 0 {
                let set = BlockSet::<Item, _>::restore(memory, head);
                barrier.wait();
                set.map(|set| {
                    let len = set.len();
                    assert!(set.hand_over() == head);
                    len
                })
            } else {
                let set = BlockSet::<Item, _>::restore(&faulty, head);
                barrier.wait();
                set.map(|set| {
                    let len = set.len();
                    assert!(set.hand_over() == head);
                    len
                })
            }
            .map_err(|error| (error.kind, error.position))
        };
        let outcomes = thread::scope(|scope| {
            heads.map(|head| scope.spawn(move || claim(head))).map(|thread| thread.join().unwrap())
        });
        judge(outcomes);
        assert!(arena.snapshot() == before, "a race left a trace");
    }
}

type Outcome = Result<usize, (RestoreErrorKind, usize)>;

#[test]
fn one_of_two_gets_the_chain() {
    fn judge(outcomes: [Outcome; 2]) {
        let plan = Plan::valid(20);
        let len = plan.items(&(0..20).collect::<Vec<_>>()).len();
        let loss = Err((RestoreErrorKind::Owned, 0));
        let one = outcomes == [Ok(len), loss] || outcomes == [loss, Ok(len)];
        assert!(one, "{outcomes:?}");
    }
    let plan = Plan::valid(20);
    let heads = [To::Block(0), To::Block(0)];
    race(&HeapMemory::new(), &plan, heads, judge);
    race(&MemfdMemory::new("race").unwrap(), &plan, heads, judge);
}

#[test]
fn one_of_two_gets_the_shared_tail() {
    // 0 → … → 9 → 20 … and 10 → … → 19 → 20 …
    let plan = Plan::valid(30).next(9, To::Block(20));
    let judge = |outcomes: [Outcome; 2]| {
        let loss = Err((RestoreErrorKind::Owned, 10));
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(outcomes.contains(&loss), "{outcomes:?}");
    };
    let heads = [To::Block(0), To::Block(10)];
    race(&HeapMemory::new(), &plan, heads, judge);
    race(&MemfdMemory::new("race").unwrap(), &plan, heads, judge);
}

/// Both chains are invalid: neither thread keeps a block, and no block is lost.
#[test]
fn nobody_gets_a_bad_chain() {
    let plan = Plan::valid(30).next(9, To::Block(20)).count(29, 0);
    let judge = |outcomes: [Outcome; 2]| {
        for outcome in outcomes {
            assert!(matches!(
                outcome,
                Err((RestoreErrorKind::NoEntries, 19) | (RestoreErrorKind::Owned, 10..20))
            ));
        }
    };
    let heads = [To::Block(0), To::Block(10)];
    race(&HeapMemory::new(), &plan, heads, judge);
}
