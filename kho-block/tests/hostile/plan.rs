//! Chains as plans, and an oracle that gives the expected result of a restore.

use std::collections::{HashMap, HashSet};

use kho_block::bytemuck::{self, Pod, Zeroable};
use kho_block::{BlockInfo, Entry, PhysAddr, RestoreError, RestoreErrorKind, SetHead};

pub(crate) const BLOCK: usize = 4096;
/// The number of the block in entries that are not part of a plan.
pub(crate) const NEIGHBOUR: usize = 99_999;
/// Number of entries of 32 bytes that fit in a block of 4096.
pub(crate) const FIT: u64 = 127;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "item", version = 1)]
pub(crate) struct Item {
    block: u64,
    index: u64,
    product: u64,
    fixed: u64,
}

impl Item {
    pub(crate) fn new(block: usize, index: u64) -> Self {
        let product = (block as u64 + 1).wrapping_mul(index + 1).wrapping_mul(0x9e37_79b9);
        Self { block: block as u64, index, product, fixed: 0x5a5a_a5a5_0ff0_f00f }
    }
}

/// The target of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Null,
    /// The plan's block with this number.
    Block(usize),
    /// Into a block, past its first byte.
    Inside(usize, u64),
    /// A block that the memory has and nobody owns.
    Free(usize),
    /// A block of another set that is alive.
    Owned(usize),
    /// This address.
    Raw(u64),
}

/// A chain: the target of its head, and each block's link and count.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) head: To,
    pub(crate) blocks: Vec<(To, u64)>,
    pub(crate) limit: usize,
}

impl Plan {
    /// A valid chain of `len` blocks, some of them short.
    pub(crate) fn valid(len: usize) -> Self {
        let block = |i| {
            let next = if i + 1 < len { To::Block(i + 1) } else { To::Null };
            (next, 1 + (i as u64 * 63) % FIT)
        };
        let head = if len == 0 { To::Null } else { To::Block(0) };
        Self { head, blocks: (0..len).map(block).collect(), limit: 100 }
    }

    pub(crate) fn next(mut self, block: usize, to: To) -> Self {
        self.blocks[block].0 = to;
        self
    }

    pub(crate) fn count(mut self, block: usize, count: u64) -> Self {
        self.blocks[block].1 = count;
        self
    }

    pub(crate) fn head(mut self, to: To) -> Self {
        self.head = to;
        self
    }

    pub(crate) fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The bytes of a block. Entries fill it, whatever its header says.
    pub(crate) fn page(&self, block: usize, space: &Space) -> Vec<u8> {
        let (next, count) = self.blocks[block];
        let mut page = vec![0; BLOCK];
        page[..8].copy_from_slice(&space.resolve(next).to_ne_bytes());
        page[8..16].copy_from_slice(&count.to_ne_bytes());
        let shown = if (1..=FIT).contains(&count) { count } else { FIT };
        for index in 0..shown {
            let offset = 16 + 32 * index as usize;
            page[offset..][..32].copy_from_slice(bytemuck::bytes_of(&Item::new(block, index)));
        }
        page
    }

    /// The entries of the blocks with these numbers.
    pub(crate) fn items(&self, blocks: &[usize]) -> Vec<Item> {
        let of_block =
            |block: usize| (0..self.blocks[block].1).map(move |index| Item::new(block, index));
        blocks.iter().flat_map(|&block| of_block(block)).collect()
    }

    pub(crate) fn head_in(&self, space: &Space) -> SetHead<Item> {
        SetHead::new(PhysAddr::new(space.resolve(self.head)))
    }
}

/// Addresses that a memory gave to a plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    pub(crate) blocks: Vec<u64>,
    pub(crate) free: Vec<u64>,
    pub(crate) owned: Vec<u64>,
    /// Whether the memory knows free and owned blocks. A dump has only bytes.
    pub(crate) keeps_states: bool,
}

impl Space {
    /// The blocks' numbers by their addresses.
    fn numbers(&self) -> HashMap<u64, usize> {
        self.blocks.iter().enumerate().map(|(number, addr)| (*addr, number)).collect()
    }

    pub(crate) fn resolve(&self, to: To) -> u64 {
        match to {
            To::Null => 0,
            To::Block(number) => self.blocks[number],
            To::Inside(number, offset) => self.blocks[number] + offset,
            To::Free(number) => self.free[number % self.free.len()],
            To::Owned(number) => self.owned[number % self.owned.len()],
            To::Raw(addr) => addr,
        }
    }
}

/// The reason that a walk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Misaligned,
    Absent,
    Free,
    Owned,
    Cycle,
    TooLong,
    Empty,
    Overfull(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) addr: u64,
    pub(crate) position: usize,
    pub(crate) cause: Cause,
}

/// The ways to restore. Not all distinguish every fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Claim,
    Read,
}

/// Walks the plan with a set of the addresses seen: the oracle.
pub(crate) fn walk(plan: &Plan, space: &Space) -> Result<Vec<usize>, Fault> {
    let known = space.numbers();
    let mut seen = HashSet::new();
    let mut numbers = Vec::new();
    let mut addr = space.resolve(plan.head);
    while addr != 0 {
        let fail = |cause| Err(Fault { addr, position: numbers.len(), cause });
        if !seen.insert(addr) {
            return fail(Cause::Cycle);
        }
        if numbers.len() >= plan.limit {
            return fail(Cause::TooLong);
        }
        if addr % BLOCK as u64 != 0 {
            return fail(Cause::Misaligned);
        }
        let Some(&number) = known.get(&addr) else {
            return fail(match addr {
                _ if !space.keeps_states => Cause::Absent,
                addr if space.free.contains(&addr) => Cause::Free,
                addr if space.owned.contains(&addr) => Cause::Owned,
                _ => Cause::Absent,
            });
        };
        let (next, count) = plan.blocks[number];
        match count {
            0 => return fail(Cause::Empty),
            1..=FIT => {}
            _ => return fail(Cause::Overfull(count)),
        }
        numbers.push(number);
        addr = space.resolve(next);
    }
    Ok(numbers)
}

impl Fault {
    pub(crate) fn kind(&self, limit: usize, access: Access) -> RestoreErrorKind {
        match (self.cause, access) {
            (Cause::Misaligned, _) => RestoreErrorKind::Misaligned,
            (Cause::Absent, _) => RestoreErrorKind::Outside,
            (Cause::Owned, Access::Claim) => RestoreErrorKind::Owned,
            (Cause::Free | Cause::Owned, _) => RestoreErrorKind::NotPreserved,
            (Cause::Cycle, _) => RestoreErrorKind::Cycle,
            (Cause::TooLong, _) => RestoreErrorKind::TooLong { limit },
            (Cause::Empty, _) => RestoreErrorKind::NoEntries,
            (Cause::Overfull(count), _) => {
                RestoreErrorKind::TooManyEntries { count, max: FIT as usize }
            }
        }
    }

    #[track_caller]
    pub(crate) fn assert_is(&self, error: &RestoreError, limit: usize, access: Access) {
        assert_eq!(error.kind, self.kind(limit, access), "{self:x?}");
        assert_eq!(error.addr.get(), self.addr, "{self:x?}");
        assert_eq!(error.position, self.position, "{self:x?}");
    }
}

/// Checks what `ChainWalk` returns. It finds a cycle late, or the limit first; all else is exact.
#[track_caller]
pub(crate) fn assert_chain(
    plan: &Plan,
    space: &Space,
    yielded: impl Iterator<Item = Result<BlockInfo, RestoreError>>,
) {
    let known = space.numbers();
    let expected = walk(plan, space);
    let mut addr = space.resolve(plan.head);
    let mut end = None;
    let mut positions = 0;
    for item in yielded {
        assert!(end.is_none(), "the chain goes on after an error");
        let link = match item {
            Ok(link) => link,
            Err(error) => {
                end = Some(error);
                continue;
            }
        };
        let (next, count) = plan.blocks[known[&addr]];
        assert_eq!((link.addr.get(), link.position), (addr, positions));
        assert_eq!((link.count as u64, link.next.get()), (count, space.resolve(next)));
        addr = link.next.get();
        positions += 1;
    }
    assert!(positions <= plan.limit);
    match (expected, end) {
        (Ok(numbers), None) => assert_eq!(positions, numbers.len()),
        (Err(fault), Some(error)) if fault.cause == Cause::Cycle => {
            assert_eq!((error.addr.get(), error.position), (addr, positions));
            assert!(positions >= fault.position);
            match error.kind {
                // Brent: at most three times the blocks before the first comes back.
                RestoreErrorKind::Cycle => assert!(positions <= 3 * fault.position),
                RestoreErrorKind::TooLong { limit } => {
                    assert_eq!(limit, positions);
                    assert!(limit <= 3 * fault.position);
                }
                kind => panic!("{kind:?} for {fault:x?}"),
            }
        }
        (Err(fault), Some(error)) => {
            assert_eq!((error.addr.get(), positions), (addr, fault.position));
            fault.assert_is(&error, plan.limit, Access::Read);
        }
        (expected, end) => panic!("expected {expected:x?}, got {end:x?}"),
    }
}
