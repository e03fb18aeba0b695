//! Sets in C for benches. The loops around the functions of `kho_block.c` are in C as well, in
//! `c/`, so that no call between languages is timed.

use std::ffi::{c_int, c_long};
use std::ptr::NonNull;

use kho_block::{PhysAddr, SliceMemory};

/// Slots in a block of 4 KiB: four `u64` each.
const SLOTS_PER_BLOCK: usize = 127;

/// Largest number of blocks of a kernel set.
const MAX_BLOCKS: usize = 10_000;

/// `struct bench_set` of `c/sets.c`: a `struct kho_block_set` and the pages for its blocks.
#[repr(C)]
struct BenchSet {
    _private: [u8; 0],
}

// Each takes a set that `bench_new` returned and that was not deleted. No other thread uses it
// meanwhile.
unsafe extern "C" {
    fn bench_new(room: usize) -> *mut BenchSet;
    fn bench_delete(set: *mut BenchSet);
    fn bench_grow(set: *mut BenchSet, len: u64) -> c_int;
    fn bench_shrink(set: *mut BenchSet, len: u64);
    fn bench_clear(set: *mut BenchSet);
    fn bench_fill(set: *mut BenchSet, len: u64) -> u64;
    // Reads past the last block if a block has no slot.
    fn bench_sum(set: *mut BenchSet) -> u64;
    fn bench_blocks(set: *const BenchSet) -> c_long;
    fn bench_hand_over(set: *mut BenchSet) -> u64;
    // The set has no blocks. The head is 0 or that of a chain in the set's own pages.
    fn bench_restore(set: *mut BenchSet, head: u64) -> c_int;
    fn bench_pages(set: *const BenchSet, count: *mut usize) -> *const u8;
}

/// A set in C and its memory.
///
/// # Invariants
/// The pointer came from `bench_new`, was not deleted, and nobody else has it.
struct Raw(NonNull<BenchSet>);

// SAFETY: nobody else has the pointer (the type's invariant), and the C code keeps nothing for the
// thread from call to call: each function that allocates enters the set's pages first.
unsafe impl Send for Raw {}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: by the invariant the set exists; it is not used after this.
        unsafe { bench_delete(self.0.as_ptr()) };
    }
}

macro_rules! call {
    ($raw:expr, $function:ident $(, $arg:expr)*) => {{
        let set = $raw.0.as_ptr();
        // SAFETY: by the invariant of `Raw` the set exists, and no other thread uses it.
        unsafe { $function(set $(, $arg)*) }
    }};
}

impl Raw {
    fn with_room(blocks: usize) -> Self {
        // SAFETY: the function takes any number of pages whose bytes can be counted.
        let set = unsafe { bench_new(blocks) };
        Self(NonNull::new(set).expect("there is memory"))
    }

    fn block_count(&self) -> usize {
        usize::try_from(call!(self, bench_blocks)).expect("a number of blocks")
    }
}

/// A `struct kho_block_set` of slots, with a memory of its own.
///
/// It makes the C code as fast as possible: an address is a pointer, and pages lie next to each
/// other in the order of addresses, in huge pages if they fill one. A slot is four `u64`.
///
/// # Invariants
/// The first `len` slots are written, and the counts of the blocks cover exactly these.
pub struct KernelSet {
    raw: Raw,
    len: usize,
}

impl KernelSet {
    /// Makes an empty set with blocks for `len` slots. C: `kho_block_set_grow`.
    ///
    /// # Panics
    /// Panics if the slots need more than 10,000 blocks, or there is not enough memory.
    #[must_use]
    pub fn with_capacity(len: usize) -> Self {
        let blocks = len.div_ceil(SLOTS_PER_BLOCK);
        assert!(blocks <= MAX_BLOCKS, "{blocks} blocks, but a set may have at most {MAX_BLOCKS}");
        let raw = Raw::with_room(blocks);
        assert_eq!(call!(raw, bench_grow, len as u64), 0, "the set can't grow");
        Self { raw, len: 0 }
    }

    /// Returns the number of slots written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no slot was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes `len` slots from the first one on, and overwrites existing ones. C:
    /// `kho_block_set_it_reserve_entry` and four stores for each slot.
    ///
    /// # Panics
    /// Panics if the set has no room for `len` slots, or has more slots already.
    /// [`clear`](Self::clear) removes those.
    pub fn fill(&mut self, len: usize) {
        assert!(self.len <= len, "the set has more slots, which would not be overwritten");
        let written = call!(self.raw, bench_fill, len as u64);
        assert_eq!(written, len as u64, "the set has no room");
        self.len = len;
    }

    /// Zeroes all blocks, and keeps them. C: `kho_block_set_clear`.
    pub fn clear(&mut self) {
        call!(self.raw, bench_clear);
        self.len = 0;
    }

    /// Returns the sum of all words. C: `kho_block_set_it_read_entry` for each slot.
    ///
    /// # Panics
    /// Panics if a block has no slot. C would read past the last one.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let needed = self.len.div_ceil(SLOTS_PER_BLOCK);
        assert_eq!(self.raw.block_count(), needed, "a block has no slot");
        call!(self.raw, bench_sum)
    }

    /// Forgets the set, as at the end of a kernel: the pages stay. Before that,
    /// `kho_block_set_shrink` frees blocks without a slot, since the next kernel would refuse them.
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
/// `set` has no blocks. `head` is that of the chain of its `len` slots, in its memory; 0 if `len`
/// is 0.
pub struct KernelChain {
    set: KernelSet,
    head: u64,
}

impl KernelChain {
    /// Walks and checks the chain. The set that it becomes can't grow. C: `kho_block_set_restore`.
    ///
    /// # Panics
    /// Panics if C refuses the chain.
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

    /// Returns the memory that the chain is in.
    #[must_use]
    pub fn memory(&self) -> SliceMemory<'_> {
        let mut count = 0;
        let first = call!(self.set.raw, bench_pages, &mut count);
        let base = PhysAddr::new(first.addr() as u64);
        // SAFETY: these pages exist until the set is deleted, and were zeroed when they were given
        // out. The C code writes them only in functions that take this value.
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
        assert_eq!(set.len(), len);
        assert_eq!(set.sum(), sum);
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
        assert_eq!(set.sum(), 0);
    }

    #[test]
    #[should_panic = "a block has no slot"]
    fn a_block_without_slots_is_not_read() {
        let mut set = KernelSet::with_capacity(128);
        set.fill(127);
        let _ = set.sum();
    }

    #[test]
    #[should_panic = "at most 10000"]
    fn a_set_has_no_more_blocks_than_the_kernel_allows() {
        let _ = KernelSet::with_capacity(usize::MAX);
    }

    #[test]
    #[should_panic = "the set has no room"]
    fn a_set_takes_no_more_than_fits() {
        KernelSet::with_capacity(127).fill(128);
    }
}
