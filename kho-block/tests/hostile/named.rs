//! One test for each trap.

use kho_block::abi::DEFAULT_BLOCK_LIMIT;
use kho_block::{
    BlockMemory, BlockSet, FaultyMemory, HeapMemory, MemfdMemory, PhysAddr, ReadMemory,
    RestoreErrorKind, SetHead,
};

use crate::arena::{Arena, Counted, check};
use crate::common::OneBlock as _;
use crate::plan::{BLOCK, Cause, FIT, Item, Plan, Space, To, walk};

/// Checks a plan everywhere, and checks the oracle against the expected result.
#[track_caller]
fn refused(plan: Plan, position: usize, at: To, cause: Cause) {
    let blocks = (0..plan.blocks.len()).map(|i| (i + 9) as u64 * BLOCK as u64).collect();
    let space = Space { blocks, free: vec![0x3000], owned: vec![0x4000], keeps_states: true };
    let fault = walk(&plan, &space).expect_err("the oracle accepts the plan");
    assert_eq!((fault.position, fault.addr, fault.cause), (position, space.resolve(at), cause));
    check(&plan, &Plan::valid(plan.blocks.len()).limit(plan.limit.max(plan.blocks.len())));
}

#[track_caller]
fn accepted(plan: Plan) {
    check(&plan, &plan);
}

#[test]
fn valid_chains_of_1_to_50_blocks() {
    for len in 1..=50 {
        accepted(Plan::valid(len));
    }
}

#[test]
fn null_head_is_the_empty_set() {
    accepted(Plan::valid(1).head(To::Null));
    accepted(Plan::valid(0));
}

#[test]
fn head_at_a_later_block_gives_the_rest() {
    accepted(Plan::valid(9).head(To::Block(4)));
    accepted(Plan::valid(9).head(To::Block(8)));
}

#[test]
fn cut_chain_is_shorter() {
    accepted(Plan::valid(9).next(3, To::Null));
    accepted(Plan::valid(9).next(0, To::Null));
}

#[test]
fn count_of_zero() {
    for block in [0, 4, 8] {
        refused(Plan::valid(9).count(block, 0), block, To::Block(block), Cause::Empty);
    }
    refused(Plan::valid(1).count(0, 0), 0, To::Block(0), Cause::Empty);
}

#[test]
fn count_at_and_over_what_fits() {
    for block in [0, 4, 8] {
        accepted(Plan::valid(9).count(block, FIT));
        for count in [FIT + 1, FIT + 2, 255, 1 << 32, 1 << 32 | 5, 1 << 63, u64::MAX - 1, u64::MAX]
        {
            let plan = Plan::valid(9).count(block, count);
            refused(plan, block, To::Block(block), Cause::Overfull(count));
        }
    }
}

/// Every address to which no chain may lead.
fn bad_addresses() -> Vec<(To, Cause)> {
    let mut bad = vec![
        (To::Free(0), Cause::Free),
        (To::Free(1), Cause::Free),
        (To::Owned(0), Cause::Owned),
        (To::Owned(1), Cause::Owned),
        (To::Raw(1 << 46), Cause::Absent),
        (To::Raw(1 << 63), Cause::Absent),
        (To::Raw(u64::MAX - 4095), Cause::Absent),
        (To::Raw(u64::MAX), Cause::Misaligned),
        (To::Raw(u64::MAX - 15), Cause::Misaligned),
    ];
    bad.extend([1, 2, 4, 7, 8, 15].map(|addr| (To::Raw(addr), Cause::Misaligned)));
    for offset in [1, 8, 16, 48, 512, 2048, 4080, 4095] {
        bad.push((To::Inside(1, offset), Cause::Misaligned));
    }
    bad
}

#[test]
fn links_to_bad_addresses() {
    for (to, cause) in bad_addresses() {
        refused(Plan::valid(5).next(2, to), 3, to, cause);
        refused(Plan::valid(5).next(4, to), 5, to, cause);
        refused(Plan::valid(2).next(0, to), 1, to, cause);
    }
}

#[test]
fn heads_at_bad_addresses() {
    for (to, cause) in bad_addresses() {
        refused(Plan::valid(5).head(to), 0, to, cause);
    }
}

/// A block's own fault is reported before its link's, and an earlier fault before a later one.
#[test]
fn first_fault_is_named() {
    let plan = Plan::valid(9).count(3, 0).next(3, To::Raw(1));
    refused(plan, 3, To::Block(3), Cause::Empty);
    let plan = Plan::valid(9).count(6, 0).next(3, To::Raw(1));
    refused(plan, 4, To::Raw(1), Cause::Misaligned);
    let plan = Plan::valid(9).count(3, FIT + 1).next(8, To::Block(0));
    refused(plan, 3, To::Block(3), Cause::Overfull(FIT + 1));
}

#[test]
fn cycles_of_every_length() {
    for len in [1, 2, 3, 4, 7, 8, 9, 16, 31, 50] {
        for back in 0..len {
            let plan = Plan::valid(len).next(len - 1, To::Block(back));
            refused(plan, len, To::Block(back), Cause::Cycle);
        }
    }
}

#[test]
fn blocks_that_lead_to_themselves() {
    for block in [0, 1, 5, 8] {
        let plan = Plan::valid(9).next(block, To::Block(block));
        refused(plan, block + 1, To::Block(block), Cause::Cycle);
    }
}

#[test]
fn cycle_is_named_where_it_closes_at_any_limit() {
    for limit in 40..=60 {
        let plan = Plan::valid(40).next(39, To::Block(3)).limit(limit);
        refused(plan, 40, To::Block(3), Cause::Cycle);
    }
    // One block less: the limit comes before the chain does.
    let plan = Plan::valid(40).next(39, To::Block(3)).limit(39);
    refused(plan, 39, To::Block(39), Cause::TooLong);
}

#[test]
fn cycle_longer_than_half_the_default_limit() {
    let len = DEFAULT_BLOCK_LIMIT - 1;
    let mut plan = Plan::valid(len).next(len - 1, To::Block(7)).limit(DEFAULT_BLOCK_LIMIT);
    plan.blocks.iter_mut().for_each(|(_, count)| *count = 1);
    refused(plan, len, To::Block(7), Cause::Cycle);
}

#[test]
fn two_links_to_one_block() {
    // Forward: what is between is skipped. Back: a cycle.
    accepted(Plan::valid(9).next(1, To::Block(5)));
    refused(Plan::valid(9).next(5, To::Block(1)), 6, To::Block(1), Cause::Cycle);
}

#[test]
fn limits_are_exact() {
    for len in [1, 2, 17] {
        accepted(Plan::valid(len).limit(len));
        refused(Plan::valid(len).limit(len - 1), len - 1, To::Block(len - 1), Cause::TooLong);
    }
    refused(Plan::valid(3).limit(0), 0, To::Block(0), Cause::TooLong);
    accepted(Plan::valid(1).head(To::Null).limit(0));
}

/// The limit is reported before any fault of the block beyond it.
#[test]
fn nothing_is_asked_beyond_the_limit() {
    for (to, _) in bad_addresses() {
        refused(Plan::valid(5).next(4, to).limit(5), 5, to, Cause::TooLong);
    }
    refused(Plan::valid(5).count(4, 0).limit(4), 4, To::Block(4), Cause::TooLong);
}

#[test]
fn default_limit_is_ten_thousand() {
    assert_eq!(DEFAULT_BLOCK_LIMIT, 10_000);
    let mut plan = Plan::valid(10_001);
    plan.blocks.iter_mut().for_each(|(_, count)| *count = 1);
    let memory = HeapMemory::new();
    let arena = Arena::new(&memory, plan.blocks.len());
    arena.write(&plan);
    let before = arena.snapshot();
    let head = plan.head_in(&arena.space);

    let error = BlockSet::<Item, _>::restore(&memory, head).unwrap_err();
    assert_eq!(error.kind, RestoreErrorKind::TooLong { limit: 10_000 });
    assert_eq!((error.position, error.addr.get()), (10_000, arena.space.blocks[10_000]));
    assert!(arena.snapshot() == before);
    let error = kho_block::ForeignSet::<Item, _>::restore(&memory, head).unwrap_err();
    assert_eq!((error.position, error.addr.get()), (10_000, arena.space.blocks[10_000]));
    let walked = kho_block::ChainWalk::new(&memory, head.addr(), size_of::<Item>());
    assert_eq!(walked.filter(|link| link.is_ok()).count(), 10_000);

    let plan = plan.head(To::Block(1));
    let set = BlockSet::<Item, _>::restore(&memory, plan.head_in(&arena.space)).unwrap();
    assert_eq!((set.block_count(), set.len()), (10_000, 10_000));
    let _ = set.hand_over();
    assert!(arena.snapshot() == before);
    let foreign = kho_block::ForeignSet::restore(&memory, plan.head_in(&arena.space)).unwrap();
    assert_eq!(foreign.blocks().len(), 10_000);
}

/// Two chains share a tail: the first restore gets it.
fn shared_tail(memory: &impl Counted) {
    // 0 → 1 → 4 → 5 and 2 → 3 → 4 → 5.
    let plan = Plan::valid(6).next(1, To::Block(4));
    let arena = Arena::new(memory, 6);
    arena.write(&plan);
    let other = plan.clone().head(To::Block(2));
    let (head, other_head) = (plan.head_in(&arena.space), other.head_in(&arena.space));
    let untouched = arena.snapshot();

    let first = BlockSet::restore(memory, head).unwrap();
    let before = memory.counted();
    let expected = plan.items(&[0, 1, 4, 5]);
    for claim_by_claim in [false, true] {
        let faulty = FaultyMemory::new(memory);
        let error = match claim_by_claim {
            false => BlockSet::<Item, _>::restore(memory, other_head).map(drop),
            true => BlockSet::<Item, _>::restore(&faulty, other_head).map(drop),
        }
        .unwrap_err();
        assert_eq!(error.kind, RestoreErrorKind::Owned);
        assert_eq!((error.position, error.addr.get()), (2, arena.space.blocks[4]));
        assert_eq!(memory.counted(), before);
        assert!(first.iter().copied().eq(expected.iter().copied()));
    }
    // The first block of an owned set is owned, too.
    let error = BlockSet::<Item, _>::restore(memory, head).map(drop).unwrap_err();
    assert_eq!((error.kind, error.position), (RestoreErrorKind::Owned, 0));

    assert!(first.hand_over() == head);
    assert!(arena.snapshot() == untouched);
    let second = BlockSet::restore(memory, other_head).unwrap();
    assert!(second.iter().copied().eq(plan.items(&[2, 3, 4, 5])));
    assert_eq!(memory.counted().preserved, 2);
    drop(second);
    // Now the tail is free.
    let error = BlockSet::<Item, _>::restore(memory, head).map(drop).unwrap_err();
    assert_eq!((error.kind, error.position), (RestoreErrorKind::NotPreserved, 2));
    assert_eq!(memory.counted().preserved, 2);
}

#[test]
fn tail_shared_between_two_heads() {
    shared_tail(&HeapMemory::new());
    shared_tail(&MemfdMemory::new("shared tail").unwrap());
}

/// A chain leads into a set that is alive, at its head or in its middle.
#[test]
fn cross_links_into_a_live_set() {
    let memory = HeapMemory::new();
    let arena = Arena::new(&memory, 4);
    for to in [To::Owned(0), To::Owned(1)] {
        let plan = Plan::valid(4).next(2, to);
        arena.write(&plan);
        arena.check(&plan);
    }
}

/// In a memfd the first block has no address, and no block is after the end of the file.
#[test]
fn edges_of_a_memfd() {
    let memory = MemfdMemory::new("edges").unwrap();
    let blocks = {
        let usage = memory.usage();
        (usage.free + usage.owned + usage.preserved) as u64
    };
    assert_eq!(blocks, 0, "the file has only its first block, which belongs to nobody");
    for addr in [0, 4096, 8192, u64::MAX - 4095] {
        let error = memory.claim_one(PhysAddr::new(addr)).unwrap_err();
        assert_eq!(error.kind, kho_block::ClaimErrorKind::Outside, "{addr:#x}");
    }
    let block = memory.allocate_one().unwrap();
    let usage = memory.usage();
    let blocks = (usage.free + usage.owned + usage.preserved) as u64;
    let last = SetHead::<Item>::new(PhysAddr::new(blocks * 4096));
    let past = SetHead::<Item>::new(PhysAddr::new((blocks + 1) * 4096));
    let kind = |head| BlockSet::restore(&memory, head).map(drop).unwrap_err().kind;
    assert_eq!(kind(last), RestoreErrorKind::NotPreserved);
    assert_eq!(kind(past), RestoreErrorKind::Outside);
    // SAFETY: allocated above and not used again.
    unsafe { memory.hand_over_one(block) };
    let error = memory.claim_one(PhysAddr::NULL).unwrap_err();
    assert_eq!(error.kind, kho_block::ClaimErrorKind::Outside);
    assert!(memory.read(PhysAddr::NULL, &mut [0; 8]).is_err());
    assert!(memory.read(PhysAddr::new(4095), &mut [0; 8]).is_err());
    assert!(memory.read(PhysAddr::new(4096), &mut [0; 4096]).is_ok());
    assert!(memory.read(PhysAddr::new(4096), &mut [0; 4097]).is_err());
    assert_eq!(memory.free_preserved(), 1);
}

/// Blocks of other sizes have other alignments and counts.
#[test]
fn other_block_sizes() {
    fn refuses<const SIZE: usize>() {
        let memory = HeapMemory::<SIZE>::new_with_block_size();
        let fit = (SIZE - 16) / 32;
        let block = memory.allocate_one().unwrap();
        let addr = memory.addr_of(block);
        let restore = |addr| BlockSet::<Item, _>::restore(&memory, SetHead::new(addr));
        let rewrite = |count: usize| {
            let block = memory.claim_one(addr).unwrap();
            // SAFETY: the block was just claimed; this is the header's second word.
            let word = unsafe { block.cast::<u64>().add(1) };
            // SAFETY: as before.
            unsafe { word.write(count as u64) };
            // SAFETY: just claimed and not used again.
            unsafe { memory.hand_over_one(block) };
        };
        // SAFETY: allocated above and not used again.
        unsafe { memory.hand_over_one(block) };
        assert_eq!(restore(addr).map(drop).unwrap_err().kind, RestoreErrorKind::NoEntries);
        rewrite(fit + 1);
        let kind = RestoreErrorKind::TooManyEntries { count: fit as u64 + 1, max: fit };
        assert_eq!(restore(addr).map(drop).unwrap_err().kind, kind);
        rewrite(fit);
        let middle = PhysAddr::new(addr.get() + SIZE as u64 / 2);
        assert_eq!(restore(middle).map(drop).unwrap_err().kind, RestoreErrorKind::Misaligned);
        assert_eq!(restore(addr).unwrap().len(), fit);
    }
    refuses::<64>();
    refuses::<128>();
    refuses::<16384>();
    refuses::<65536>();
}
