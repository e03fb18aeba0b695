//! A memory that runs out of blocks when told to.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{BlockMemory, ChainClaim, NextClaim, ReadMemory};
use crate::addr::PhysAddr;
use crate::error::{AllocError, AllocErrorKind, ClaimError, ReadError};

/// A memory around another that runs out of blocks when told to, and counts what is asked of it:
/// for tests of code that must give back what it reserved.
///
/// ```
/// use bytemuck::{Pod, Zeroable};
/// use kho_block::{BlockSet, Entry, FaultyMemory, HeapMemory};
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct Page([u8; 4080]); // one to a block
///
/// let memory = FaultyMemory::new(HeapMemory::new());
/// memory.fail_after(2);
/// let mut set = BlockSet::<Page, _>::new_in(&memory);
/// let error = set.try_reserve(3).unwrap_err();
/// assert_eq!(error.position, 2);
/// assert_eq!(memory.inner().usage().owned, 0); // all or nothing
/// ```
#[derive(Debug)]
pub struct FaultyMemory<M> {
    inner: M,
    allocations_left: AtomicUsize,
    claims: AtomicUsize,
    reads: AtomicUsize,
}

impl<M> FaultyMemory<M> {
    /// A memory that fails in nothing yet.
    pub const fn new(inner: M) -> Self {
        Self {
            inner,
            allocations_left: AtomicUsize::new(usize::MAX),
            claims: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        }
    }

    /// Lets `allocations` more allocations succeed; those after them fail. [`usize::MAX`] lets
    /// all succeed.
    pub fn fail_after(&self, allocations: usize) {
        self.allocations_left.store(allocations, Relaxed);
    }

    /// How many claims were tried so far.
    pub fn claims(&self) -> usize {
        self.claims.load(Relaxed)
    }

    /// How many reads were tried so far.
    pub fn reads(&self) -> usize {
        self.reads.load(Relaxed)
    }

    /// The memory inside, alone again.
    pub fn into_inner(self) -> M {
        self.inner
    }

    /// The memory inside.
    pub const fn inner(&self) -> &M {
        &self.inner
    }
}

impl<M: ReadMemory> ReadMemory for FaultyMemory<M> {
    const BLOCK_SIZE: usize = M::BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.reads.fetch_add(1, Relaxed);
        self.inner.read(addr, buf)
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        self.inner.next_readable(addr)
    }
}

// SAFETY: what succeeds comes from the memory inside, which gives the guarantees.
unsafe impl<M: BlockMemory> BlockMemory for FaultyMemory<M> {
    fn allocate(&self) -> Result<NonNull<u8>, AllocError> {
        let take = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
        self.allocations_left
            .fetch_update(Relaxed, Relaxed, take)
            .map_err(|_| AllocError::new(AllocErrorKind::OutOfMemory))?;
        self.inner.allocate()
    }

    fn claim(&self, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError> {
        self.claims.fetch_add(1, Relaxed);
        self.inner.claim(addr)
    }

    #[inline]
    unsafe fn claim_chain<C: ChainClaim>(&self, first: PhysAddr, chain: &mut C) -> bool {
        let mut chain = Counted { chain, claims: &self.claims };
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.claim_chain(first, &mut chain) }
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        self.inner.addr_of(block)
    }

    unsafe fn free(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.free(block) }
    }

    unsafe fn hand_over(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.hand_over(block) }
    }

    unsafe fn free_all<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.free_all(blocks) }
    }

    unsafe fn hand_over_all<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.hand_over_all(blocks) }
    }

    fn published(&self) {
        self.inner.published();
    }
}

/// A chain whose claims are counted.
struct Counted<'a, C> {
    chain: &'a mut C,
    claims: &'a AtomicUsize,
}

impl<C: ChainClaim> ChainClaim for Counted<'_, C> {
    fn add(&mut self, addr: PhysAddr, block: NonNull<u8>) -> NextClaim {
        self.claims.fetch_add(1, Relaxed);
        self.chain.add(addr, block)
    }

    fn refuse(&mut self, error: ClaimError) {
        self.claims.fetch_add(1, Relaxed);
        self.chain.refuse(error);
    }

    fn give_back(&mut self) -> Option<NonNull<u8>> {
        self.chain.give_back()
    }
}
