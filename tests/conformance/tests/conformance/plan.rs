//! Plans of chains, written into memory, and walks that check nothing.

use kho_block::bytemuck::bytes_of;
use kho_block::{Entry, PhysAddr};
use kho_linux_c::{Arena, PAGE};

use crate::cases::Random;
use crate::entries::sample;

/// Target of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    Null,
    /// To the plan's block with this number.
    Block(usize),
    /// Into a block, past its first byte.
    Inside(usize, u64),
    /// To a free page.
    Free,
    /// To a block of another set.
    Other(usize),
    /// Out of the memory.
    Hole(usize),
}

/// A chain: its head, and the link and count of each block.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) head: To,
    pub(crate) blocks: Vec<(To, u64)>,
    /// Headers in the middle of pages: the block, the offset and the count.
    pub(crate) inside: Vec<(usize, u64, u64)>,
    /// The header in the free page. Without one it holds a full block.
    pub(crate) free: Option<(To, u64)>,
}

impl Plan {
    /// Returns a valid chain of blocks with these counts.
    pub(crate) fn valid(counts: &[u64]) -> Self {
        let next = |i| if i + 1 < counts.len() { To::Block(i + 1) } else { To::Null };
        let blocks = counts.iter().enumerate().map(|(i, count)| (next(i), *count)).collect();
        let head = if counts.is_empty() { To::Null } else { To::Block(0) };
        Self { head, blocks, inside: Vec::new(), free: None }
    }

    pub(crate) fn next(mut self, block: usize, to: To) -> Self {
        self.blocks[block].0 = to;
        self
    }

    pub(crate) fn count(mut self, block: usize, count: u64) -> Self {
        self.blocks[block].1 = count;
        self
    }

    /// Returns a valid chain with up to three random changes.
    pub(crate) fn random(random: &mut Random, fit: u64) -> Self {
        let len = 1 + random.below(10);
        let counts: Vec<u64> = (0..len).map(|_| 1 + random.next() % fit).collect();
        let mut plan = Self::valid(&counts);
        let free = [(To::Null, 0), (To::Hole(3), 1), (To::Block(random.below(len)), 1)];
        plan.free = Some(random.pick(&free)).filter(|_| random.once_in(3));
        for _ in 0..random.below(4) {
            let block = random.below(len);
            if random.once_in(3) {
                let count = [0, 0, fit, fit + 1, 1 + random.next() % fit, u64::MAX, random.next()];
                plan.blocks[block].1 = random.pick(&count);
                continue;
            }
            let to = plan.link(random, fit);
            if random.once_in(8) {
                plan.head = to;
            } else {
                plan.blocks[block].0 = to;
            }
        }
        plan
    }

    fn link(&mut self, random: &mut Random, fit: u64) -> To {
        let number = random.below(self.blocks.len());
        match random.below(7) {
            0 => To::Null,
            1 | 2 => To::Block(number),
            3 => {
                let offset = random.pick(&[
                    1,
                    8,
                    16,
                    24,
                    48,
                    1003,
                    2048,
                    PAGE as u64 - 24,
                    PAGE as u64 - 17,
                ]);
                if random.once_in(2) {
                    self.inside.push((number, offset, 1 + random.next() % fit));
                }
                To::Inside(number, offset)
            }
            4 => To::Free,
            5 => To::Other(random.below(2)),
            _ => To::Hole(random.below(50)),
        }
    }
}

/// A plan's blocks in memory, another set of two full blocks, and a free page.
pub(crate) struct Space {
    pub(crate) blocks: Vec<PhysAddr>,
    pub(crate) other: [PhysAddr; 2],
    pub(crate) free: PhysAddr,
    pub(crate) head: PhysAddr,
}

/// Returns the bytes of a block with `count` entries. If `count` is 0 or does not fit, all slots
/// are written.
pub(crate) fn page<T: Entry>(seed: u64, next: PhysAddr, count: u64) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    page[..8].copy_from_slice(&next.get().to_ne_bytes());
    page[8..16].copy_from_slice(&count.to_ne_bytes());
    let fit = (PAGE - 16) / size_of::<T>();
    let shown = if (1..=fit as u64).contains(&count) { count as usize } else { fit };
    for (index, slot) in page[16..].chunks_exact_mut(size_of::<T>()).take(shown).enumerate() {
        slot.copy_from_slice(bytes_of(&sample::<T>(seed << 16 | index as u64)));
    }
    page
}

impl Space {
    /// Writes a plan of entries `T` into preserved pages of the arena.
    pub(crate) fn new<T: Entry>(arena: &Arena, plan: &Plan) -> Self {
        let fit = ((PAGE - 16) / size_of::<T>()) as u64;
        let last = arena.preserve(&page::<T>(1001, PhysAddr::NULL, fit));
        let first = arena.preserve(&page::<T>(1000, last, fit));
        let blocks: Vec<_> = plan.blocks.iter().map(|_| arena.preserve(&[])).collect();
        let null = PhysAddr::NULL;
        let mut space = Self { blocks, other: [first, last], free: null, head: null };
        let (next, count) = plan.free.unwrap_or((To::Null, fit));
        space.free = arena.leave(&page::<T>(2000, space.resolve(arena, next), count));
        space.head = space.resolve(arena, plan.head);
        for (number, (next, count)) in plan.blocks.iter().enumerate() {
            let next = space.resolve(arena, *next);
            arena.write(space.blocks[number], &page::<T>(number as u64, next, *count));
        }
        for (number, offset, count) in &plan.inside {
            let at = space.blocks[*number].checked_add(*offset).unwrap();
            let header = [0, *count];
            // A header that the plan has put there stays.
            if *offset >= 16 {
                arena.write(at, bytes_of(&header));
            }
        }
        space
    }

    fn resolve(&self, arena: &Arena, to: To) -> PhysAddr {
        match to {
            To::Null => PhysAddr::NULL,
            To::Block(number) => self.blocks[number],
            To::Inside(number, offset) => self.blocks[number].checked_add(offset).unwrap(),
            To::Free => self.free,
            To::Other(number) => self.other[number],
            To::Hole(number) => arena.hole(number),
        }
    }
}

/// Walks from `head` without any check. Returns the addresses in order, and how the walk ends.
pub(crate) fn follow(arena: &Arena, head: PhysAddr) -> (Vec<PhysAddr>, End) {
    let mut seen = Vec::new();
    let mut addr = head;
    loop {
        if addr.is_null() {
            return (seen, End::Null);
        }
        if seen.contains(&addr) {
            return (seen, End::Cycle);
        }
        let offset = addr.get() % PAGE as u64;
        let start = PhysAddr::new(addr.get() - offset);
        if !arena.has_page(start) {
            return (seen, End::Outside(addr));
        }
        if offset as usize > PAGE - 16 {
            return (seen, End::Unknown);
        }
        // SAFETY: nobody has a reference into a page here.
        let page = unsafe { arena.page(start) };
        seen.push(addr);
        addr = PhysAddr::new(u64::from_ne_bytes(*page[offset as usize..].first_chunk().unwrap()));
    }
}

/// The end of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Null,
    Cycle,
    Outside(PhysAddr),
    /// At a header that crosses the end of its page.
    Unknown,
}
