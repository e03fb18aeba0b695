//! Random plans, judged by the oracle.

use proptest::prelude::*;

use crate::arena::check;
use crate::plan::{FIT, Plan, To};

fn to(blocks: usize) -> impl Strategy<Value = To> {
    prop_oneof![
        1 => Just(To::Null),
        6 => (0..blocks).prop_map(To::Block),
        1 => (0..blocks, 1..4096_u64).prop_map(|(block, offset)| To::Inside(block, offset)),
        1 => (0..2_usize).prop_map(To::Free),
        1 => (0..2_usize).prop_map(To::Owned),
        // Addresses between those that the heap, the dump and the memfd use.
        1 => (1_u64 << 40..1 << 42).prop_map(To::Raw),
        1 => (1_u64 << 28..1 << 30).prop_map(|number| To::Raw(number << 12)),
        1 => (1_u64 << 48..u64::MAX).prop_map(To::Raw),
        1 => (1..4096_u64).prop_map(To::Raw),
    ]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1..=FIT,
        1 => Just(0),
        1 => Just(FIT),
        1 => Just(FIT + 1),
        1 => Just(u64::MAX),
        1 => any::<u64>(),
    ]
}

#[derive(Clone, Debug)]
enum Change {
    Next(usize, To),
    Count(usize, u64),
    Head(To),
}

fn change(blocks: usize) -> impl Strategy<Value = Change> {
    prop_oneof![
        5 => (0..blocks, to(blocks)).prop_map(|(block, to)| Change::Next(block, to)),
        4 => (0..blocks, count()).prop_map(|(block, count)| Change::Count(block, count)),
        1 => to(blocks).prop_map(Change::Head),
    ]
}

fn plans() -> impl Strategy<Value = (usize, Vec<Change>, Option<usize>)> {
    (1..=50_usize).prop_flat_map(|blocks| {
        let limit = prop_oneof![3 => Just(None), 1 => (0..=blocks + 1).prop_map(Some)];
        (Just(blocks), prop::collection::vec(change(blocks), 0..5), limit)
    })
}

fn plan(blocks: usize, changes: Vec<Change>, limit: Option<usize>) -> Plan {
    let plan = Plan::valid(blocks);
    let limit = limit.unwrap_or(plan.limit);
    changes
        .into_iter()
        .fold(plan, |plan, change| match change {
            Change::Next(block, to) => plan.next(block, to),
            Change::Count(block, count) => plan.count(block, count),
            Change::Head(to) => plan.head(to),
        })
        .limit(limit)
}

/// Returns a chain of random links, most of which have a cycle.
fn graphs() -> impl Strategy<Value = Plan> {
    (1..=50_usize).prop_flat_map(|blocks| {
        let block = prop_oneof![
            8 => (0..blocks).prop_map(To::Block),
            1 => to(blocks),
        ];
        let block = (block, prop_oneof![20 => 1..=FIT, 1 => count()]);
        (to(blocks), prop::collection::vec(block, blocks), 0..=2 * blocks)
            .prop_map(|(head, blocks, limit)| Plan { head, blocks, limit })
    })
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn mutated_chains((blocks, changes, limit) in plans()) {
        check(&plan(blocks, changes, limit), &Plan::valid(blocks));
    }

    #[test]
    fn random_links(plan in graphs()) {
        let blocks = plan.blocks.len();
        check(&plan, &Plan::valid(blocks));
    }
}
