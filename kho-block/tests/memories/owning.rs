//! Checks of G1 to G6 of `BlockMemory`.

use std::collections::BTreeSet;

use kho_block::{BlockMemory, ClaimErrorKind, PhysAddr};

use crate::common::{Countable, OneBlock as _};
use crate::owner::Owner;

/// More blocks than the memories start with.
const MANY: usize = 70;

fn many<M: BlockMemory>(memory: &M, count: usize) -> Vec<Owner<'_, M>> {
    (0..count).map(|_| Owner::allocate(memory)).collect()
}

fn block<M: BlockMemory>(blocks: u64) -> u64 {
    blocks * M::BLOCK_SIZE as u64
}

/// G1: a pointer is valid for a whole block, even after the memory has grown.
pub(crate) fn g1_pointers_are_valid<M: BlockMemory>(memory: &M) {
    let mut owners = Vec::new();
    for seed in 0..MANY {
        owners.push(Owner::allocate(memory));
        owners[seed].fill(seed);
    }
    assert!(owners.iter().enumerate().all(|(seed, owner)| owner.has(seed)));
    let mut places: Vec<_> = owners.iter().map(Owner::place).collect();
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= M::BLOCK_SIZE), "blocks overlap");
}

/// G1: moving the memory does not move its blocks.
pub(crate) fn g1_moving_moves_no_block<M: BlockMemory>(memory: M) {
    let mut owner = Owner::allocate(&memory);
    owner.fill(1);
    let addr = owner.hand_over();
    let first = memory.claim_one(addr).unwrap();
    let memory = Box::new(memory);
    let second = memory.allocate_one().unwrap();
    let owners = [first, second].map(|block| Owner::new(&*memory, block));
    assert!(owners[0].has(1));
    assert!(owners[1].is_zero());
    assert_eq!(owners[0].addr(), addr);
}

/// G2: an owned block is given to nobody else and does not change.
pub(crate) fn g2_blocks_are_exclusive<M: BlockMemory>(memory: &M) {
    let mut owners = many(memory, MANY);
    for (seed, owner) in owners.iter_mut().enumerate() {
        owner.fill(seed);
    }
    // Half of the blocks are freed and some are handed over, and then others are allocated.
    let mut kept = Vec::new();
    let mut preserved = Vec::new();
    for (seed, owner) in owners.into_iter().enumerate() {
        match seed % 6 {
            0 | 2 | 4 => drop(owner),
            1 => preserved.push((seed, owner.hand_over())),
            _ => kept.push((seed, owner)),
        }
    }
    let mut others = many(memory, MANY);
    for other in &mut others {
        other.fill(usize::MAX - 1);
    }
    assert!(kept.iter().all(|(seed, owner)| owner.has(*seed)));
    for (seed, addr) in preserved {
        assert!(Owner::claim(memory, addr).unwrap().has(seed));
    }
    let all = kept.iter().map(|(_, owner)| owner).chain(&others).map(Owner::addr);
    assert_eq!(all.collect::<BTreeSet<_>>().len(), kept.len() + others.len());
}

/// G3: an allocated block is zero, whatever was in it before.
pub(crate) fn g3_blocks_are_zeroed<M: Countable>(memory: &M) {
    for round in 0..4 {
        let mut owners = many(memory, MANY);
        assert!(owners.iter().all(Owner::is_zero), "round {round}");
        for (seed, owner) in owners.iter_mut().enumerate() {
            owner.fill(seed);
        }
        for (seed, owner) in owners.into_iter().enumerate() {
            match seed % 3 {
                0 => drop(owner),
                1 => drop(owner.hand_over()),
                _ => drop(Owner::claim(memory, owner.hand_over()).unwrap()),
            }
        }
        let preserved = (0..MANY).filter(|seed| seed % 3 == 1).count();
        assert_eq!(memory.free_preserved(), preserved);
        let usage = memory.usage();
        assert_eq!((usage.owned, usage.preserved), (0, 0));
    }
}

/// G4: addresses are unique, aligned and not null, before and after a handover.
pub(crate) fn g4_addresses_are_unique<M: BlockMemory>(memory: &M) {
    let mut owners = many(memory, MANY);
    let addrs: Vec<_> = owners.iter().map(Owner::addr).collect();
    assert!(addrs.iter().all(|addr| !addr.is_null() && addr.get() % block::<M>(1) == 0));
    assert_eq!(addrs.iter().collect::<BTreeSet<_>>().len(), MANY);
    for (seed, owner) in owners.iter_mut().enumerate() {
        owner.fill(seed);
    }
    for owner in owners {
        owner.hand_over();
    }
    for (seed, addr) in addrs.into_iter().enumerate().rev() {
        let owner = Owner::claim(memory, addr).unwrap();
        assert!(owner.has(seed));
        assert_eq!(owner.addr(), addr);
    }
}

/// Not a guarantee, but good for speed: addresses rise, except at the start of an extent.
pub(crate) fn addresses_rise<M: BlockMemory>(memory: &M) {
    for _ in 0..2 {
        let owners = many(memory, MANY);
        let addrs: Vec<_> = owners.iter().map(Owner::addr).collect();
        let falls = addrs.windows(2).filter(|pair| pair[0] > pair[1]).count();
        // Extents double, so 70 blocks of any size are in at most 8 extents.
        assert!(falls < 8, "{falls} falls: {addrs:?}");
        let gaps = addrs.windows(2).filter(|pair| pair[0].get() + block::<M>(1) != pair[1].get());
        assert!(gaps.count() < 8);
    }
    // The lowest free block is allocated next.
    let mut owners = many(memory, 3);
    let lowest = owners.remove(0).addr();
    drop(owners.remove(1));
    assert_eq!(Owner::allocate(memory).addr(), lowest);
}

/// G5: a claim takes a preserved block, once. Otherwise the error says why, and nothing changes.
pub(crate) fn g5_only_preserved_blocks_are_claimed<M: Countable>(memory: &M) {
    let mut owners = many(memory, 4);
    let addrs: Vec<_> = owners.iter().map(Owner::addr).collect();
    drop(owners.remove(1));
    let preserved = owners.pop().unwrap().hand_over();
    assert_eq!(preserved, addrs[3]);
    let usage = memory.usage();
    assert_eq!((usage.owned, usage.preserved), (2, 1));

    let refused = |addr: u64| Owner::claim(memory, PhysAddr::new(addr)).err();
    let at = |block: usize, offset: usize| addrs[block].get() + offset as u64;
    assert_eq!(refused(at(0, 0)), Some(ClaimErrorKind::Owned));
    assert_eq!(refused(at(1, 0)), Some(ClaimErrorKind::NotPreserved));
    for offset in [1, 8, 16, M::BLOCK_SIZE / 2, M::BLOCK_SIZE - 1] {
        for block in 0..4 {
            assert_eq!(refused(at(block, offset)), Some(ClaimErrorKind::Misaligned));
        }
    }
    let last = u64::MAX - u64::MAX % block::<M>(1) - block::<M>(1);
    for outside in [0, last, last + block::<M>(1), 1 << 62] {
        assert_eq!(refused(outside), Some(ClaimErrorKind::Outside), "at {outside:#x}");
    }
    assert_eq!(refused(u64::MAX), Some(ClaimErrorKind::Misaligned));
    assert_eq!(memory.usage(), usage);

    let owner = Owner::claim(memory, preserved).unwrap();
    assert_eq!(memory.usage().owned, usage.owned + 1);
    assert_eq!(refused(preserved.get()), Some(ClaimErrorKind::Owned));
    drop(owner);
    assert_eq!(refused(preserved.get()), Some(ClaimErrorKind::NotPreserved));
}

/// The usage is right after every step.
pub(crate) fn usage_is_right<M: Countable>(memory: &M) {
    let owners = many(memory, 5);
    let all = memory.usage().free + 5;
    let check = |owned, preserved| {
        let usage = memory.usage();
        assert_eq!((usage.owned, usage.preserved), (owned, preserved));
        assert_eq!(usage.free + owned + preserved, all);
    };
    check(5, 0);
    let addrs: Vec<_> = owners.into_iter().map(Owner::hand_over).collect();
    check(0, 5);
    let owner = Owner::claim(memory, addrs[2]).unwrap();
    check(1, 4);
    assert_eq!(memory.free_preserved(), 4);
    check(1, 0);
    assert_eq!(memory.free_preserved(), 0);
    assert!(addrs.iter().all(|addr| Owner::claim(memory, *addr).is_err()));
    drop(owner);
    check(0, 0);
    // A freed block is the lowest one, so it is allocated again.
    assert_eq!(Owner::allocate(memory).addr(), addrs[0]);
}

/// G6: two pointers to a memory, or a pointer and the memory, give the same blocks.
pub(crate) fn g6_pointers_share_blocks<M: BlockMemory, N: BlockMemory>(one: &M, other: &N) {
    let mut first = Owner::allocate(one);
    first.fill(3);
    let second = Owner::allocate(other);
    assert_ne!(first.addr(), second.addr());
    assert_ne!(first.place(), second.place());
    assert_eq!(Owner::claim(other, first.addr()).err(), Some(ClaimErrorKind::Owned));
    let (addr, place) = (first.addr(), first.place());
    first.hand_over();
    let first = Owner::claim(other, addr).unwrap();
    assert_eq!((first.addr(), first.place()), (addr, place));
    assert!(first.has(3));
    drop(first);
    assert_eq!(Owner::claim(one, addr).err(), Some(ClaimErrorKind::NotPreserved));
}
