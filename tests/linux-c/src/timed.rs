//! Sets in C for benches. The loops around the functions of `kho_block.c` are in C as well, in `c/`,
//! so that what is timed has no border between languages in it.

use std::ffi::{c_int, c_long};
use std::ptr::NonNull;

use kho_block::{PhysAddr, SliceMemory};

mod sessions;

pub use sessions::{KernelSessions, KernelSessionsChain};

/// Slots in a block of 4 KiB: four `u64` each.
const SLOTS_PER_BLOCK: usize = 127;

/// The most slots that fit in the 10,000 blocks that a set may have.
pub const MAX_LEN: usize = 10_000 * SLOTS_PER_BLOCK;

/// `struct bench_set` of `c/sets.c`: a `struct kho_block_set` and an arena that its blocks are in.
#[repr(C)]
struct BenchSet {
    _private: [u8; 0],
}

// All take a set of `bench_new` that was not deleted, which no other thread uses meanwhile.
unsafe extern "C" {
    fn bench_new(room: usize) -> *mut BenchSet;
    fn bench_delete(set: *mut BenchSet);
    fn bench_grow(set: *mut BenchSet, len: u64) -> c_int;
    fn bench_shrink(set: *mut BenchSet, len: u64);
    fn bench_clear(set: *mut BenchSet);
    fn bench_fill(set: *mut BenchSet, len: u64) -> u64;
    fn bench_grow_and_fill(set: *mut BenchSet, len: u64) -> u64;
    // These three go on behind the last block if some block has no slot.
    fn bench_sum(set: *mut BenchSet) -> u64;
    fn bench_sum_reverse(set: *mut BenchSet) -> u64;
    fn bench_count(set: *mut BenchSet, address: u64) -> u64;
    fn bench_blocks(set: *const BenchSet) -> c_long;
    fn bench_hand_over(set: *mut BenchSet) -> u64;
    // The head is 0 or the address of a chain in the set's own arena, and the set has no blocks.
    fn bench_restore(set: *mut BenchSet, head: u64) -> c_int;
    fn bench_pages(set: *const BenchSet, count: *mut usize) -> *const u8;
}

/// A set in C and its memory.
///
/// # Invariants
/// The pointer came from `bench_new`, was not deleted, and nobody else has it.
struct Raw(NonNull<BenchSet>);

// SAFETY: nobody else has the pointer (the type's invariant), and the C code keeps nothing by thread
// beyond a call: each function that allocates says where.
unsafe impl Send for Raw {}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: by the invariant the set is there; it is not used after this.
        unsafe { bench_delete(self.0.as_ptr()) };
    }
}

macro_rules! call {
    ($raw:expr, $function:ident $(, $arg:expr)*) => {{
        let set = $raw.0.as_ptr();
        // SAFETY: by the invariant of `Raw` the set is there and this thread's alone.
        unsafe { $function(set $(, $arg)*) }
    }};
}

impl Raw {
    fn with_room(blocks: usize) -> Self {
        // SAFETY: the function takes any number.
        let set = unsafe { bench_new(blocks) };
        Self(NonNull::new(set).expect("there is memory"))
    }

    fn block_count(&self) -> usize {
        usize::try_from(call!(self, bench_blocks)).expect("a number of blocks")
    }
}

/// A `struct kho_block_set` of slots, alone in its memory.
///
/// As fast as C can be: addresses are pointers, pages lie in one piece in address order, with huge
/// pages where they fill one.
///
/// # Invariants
/// The first `len` slots are written, and the counts of the blocks say no other.
pub struct KernelSet {
    raw: Raw,
    len: usize,
}

impl KernelSet {
    /// An empty set with no blocks, and a memory that has room for `len` slots.
    ///
    /// # Panics
    /// There is no such memory.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self { raw: Raw::with_room(len.div_ceil(SLOTS_PER_BLOCK)), len: 0 }
    }

    /// An empty set with blocks for `len` slots: `kho_block_set_grow`.
    ///
    /// # Panics
    /// `len` is more than [`MAX_LEN`], or there is no such memory.
    #[must_use]
    pub fn with_capacity(len: usize) -> Self {
        let set = Self::new(len);
        assert_eq!(call!(set.raw, bench_grow, len as u64), 0, "the set can't grow");
        set
    }

    /// How many slots were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no slot was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes `len` slots from the first on, over those that are there:
    /// `kho_block_set_it_reserve_entry` and four stores for each.
    ///
    /// # Panics
    /// The set has no room for as many, or has more: they would stay. [`clear`](Self::clear) first.
    pub fn fill(&mut self, len: usize) {
        assert!(self.len <= len, "more slots are written than would be written over");
        let written = call!(self.raw, bench_fill, len as u64);
        assert_eq!(written, len as u64, "the set has no room");
        self.len = len;
    }

    /// The same into a set that never had blocks, with a `kho_block_set_grow` before each slot, as
    /// LUO does it.
    ///
    /// # Panics
    /// The set has blocks, or the memory has no room.
    pub fn grow_and_fill(&mut self, len: usize) {
        assert_eq!(self.raw.block_count(), 0, "the set has blocks");
        let written = call!(self.raw, bench_grow_and_fill, len as u64);
        assert_eq!(written, len as u64, "the set has no room");
        self.len = len;
    }

    /// Zeroes every block and keeps them all: `kho_block_set_clear`.
    pub fn clear(&mut self) {
        call!(self.raw, bench_clear);
        self.len = 0;
    }

    /// The sum of all words: `kho_block_set_it_read_entry` for each slot.
    ///
    /// # Panics
    /// A block has no slot: C would read on behind the last one. So for the others that read.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.assert_readable();
        call!(self.raw, bench_sum)
    }

    /// The same from the last slot to the first: `kho_block_set_it_prev`.
    ///
    /// # Panics
    /// A block has no slot.
    #[must_use]
    pub fn sum_reverse(&self) -> u64 {
        self.assert_readable();
        call!(self.raw, bench_sum_reverse)
    }

    /// How many slots hold a guest address.
    ///
    /// # Panics
    /// A block has no slot.
    #[must_use]
    pub fn count(&self, address: u64) -> usize {
        self.assert_readable();
        let count = call!(self.raw, bench_count, address);
        usize::try_from(count).expect("a number of slots")
    }

    fn assert_readable(&self) {
        let needed = self.len.div_ceil(SLOTS_PER_BLOCK);
        assert_eq!(self.raw.block_count(), needed, "a block has no slot");
    }

    /// The kernel ends: what it knew of the set is freed, the pages stay. Blocks without a slot are
    /// freed before, by `kho_block_set_shrink`, since the next kernel would refuse them.
    #[must_use]
    pub fn hand_over(self) -> KernelChain {
        call!(self.raw, bench_shrink, self.len as u64);
        let head = call!(self.raw, bench_hand_over);
        KernelChain { head, set: self }
    }
}

/// The chain of a set that was handed over, and its memory.
///
/// # Invariants
/// `set` has no blocks. `head` is that of the chain of its `len` slots, in its memory; 0 if it is 0.
pub struct KernelChain {
    set: KernelSet,
    head: u64,
}

impl KernelChain {
    /// Walks and checks the chain: `kho_block_set_restore`. The set can't grow any more.
    ///
    /// # Panics
    /// C refuses the chain.
    #[must_use]
    pub fn restore(self) -> KernelSet {
        let result = call!(self.set.raw, bench_restore, self.head);
        assert_eq!(result, 0, "C refuses its own chain");
        self.set
    }

    /// Returns the address of the first block; null if there is none.
    #[must_use]
    pub fn head(&self) -> PhysAddr {
        PhysAddr::new(self.head)
    }

    /// The memory that the chain is in.
    #[must_use]
    pub fn memory(&self) -> SliceMemory<'_> {
        let mut count = 0;
        let first = call!(self.set.raw, bench_pages, &mut count);
        let base = PhysAddr::new(first.addr() as u64);
        // SAFETY: so many pages lie there as long as the set is not deleted, zeroed when they were
        // given out; the C code writes them only by functions that take this value.
        let bytes = unsafe { std::slice::from_raw_parts(first, count * 4096) };
        SliceMemory::new(base, bytes)
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::{Pod, Zeroable};
    use kho_block::{Entry, ForeignSet, SetHead, SetView, StableMemory};

    use super::*;

    /// `struct slot` of `c/sets.c`.
    #[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Entry)]
    #[repr(C)]
    struct Slot {
        guest: u64,
        host: u64,
        len: u64,
        flags: u64,
    }

    const LENS: [usize; 5] = [1, 126, 127, 128, 10_000];

    fn slots(len: usize) -> Vec<Slot> {
        let slot = |n: u64| Slot { guest: n << 21, host: !n, len: 1 << 21, flags: n & 3 };
        (0..len as u64).map(slot).collect()
    }

    fn check(set: &KernelSet, len: usize) {
        let slots = slots(len);
        let words: &[u64] = bytemuck::cast_slice(&slots);
        let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(*word));
        let last = slots[len - 1].guest;
        assert_eq!(set.len(), len);
        assert_eq!(set.sum(), sum);
        assert_eq!(set.sum_reverse(), sum);
        assert_eq!([set.count(0), set.count(last), set.count(last + (1 << 21))], [1, 1, 0]);
    }

    #[test]
    fn c_reads_what_it_wrote() {
        for len in LENS {
            let mut set = KernelSet::with_capacity(len);
            set.fill(len);
            check(&set, len);
            set.clear();
            set.fill(len);
            check(&set, len);
            let mut set = KernelSet::new(len);
            set.grow_and_fill(len);
            check(&set, len);
        }
    }

    #[test]
    fn c_restores_what_it_handed_over() {
        for len in LENS {
            let mut set = KernelSet::with_capacity(len + 1000);
            set.fill(len);
            for _ in 0..3 {
                set = set.hand_over().restore();
                check(&set, len);
            }
        }
    }

    #[test]
    fn kho_block_reads_the_chain_of_c() {
        for len in LENS {
            let mut set = KernelSet::with_capacity(len);
            set.fill(len);
            let chain = set.hand_over();
            let memory = chain.memory();
            let head = SetHead::<Slot>::new(chain.head());
            let view = SetView::restore(&memory, head).expect("the chain is valid");
            assert!(view.iter().eq(&slots(len)));
            let foreign = ForeignSet::restore(&memory, head).expect("the chain is valid");
            assert_eq!(foreign.len(), len);
        }
    }

    #[test]
    fn clearing_zeroes_the_blocks() {
        let mut set = KernelSet::with_capacity(127);
        set.fill(127);
        set.clear();
        set.fill(1);
        let chain = set.hand_over();
        let memory = chain.memory();
        let behind = chain.head().get() + 16 + 32;
        let unused = memory.lend(PhysAddr::new(behind), 4096 - 16 - 32).expect("the block's rest");
        assert!(unused.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn an_empty_set_has_no_chain() {
        let chain = KernelSet::with_capacity(1000).hand_over();
        assert!(chain.head().is_null());
        let set = chain.restore();
        assert!(set.is_empty());
        assert_eq!([set.sum(), set.sum_reverse()], [0, 0]);
    }

    #[test]
    #[should_panic = "a block has no slot"]
    fn a_block_without_slots_is_not_read() {
        let mut set = KernelSet::with_capacity(128);
        set.fill(127);
        let _ = set.sum();
    }

    #[test]
    #[should_panic = "the set has no room"]
    fn a_set_takes_no_more_than_fits() {
        KernelSet::with_capacity(127).fill(128);
    }
}
