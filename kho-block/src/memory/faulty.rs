//! A memory whose allocations fail on request, for tests.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::block::BlockMemory;
use super::claim::ClaimVisitor;
use super::read::ReadMemory;
use crate::addr::PhysAddr;
use crate::error::{AllocError, AllocErrorKind, ClaimError, ReadError};

/// A wrapper for tests that makes allocations fail on request, and counts reads and claims.
///
/// Use it to test that code gives back what it reserved.
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
    blocks_left: AtomicUsize,
    claims: AtomicUsize,
    reads: AtomicUsize,
}

impl<M> FaultyMemory<M> {
    /// Wraps a memory. No allocation fails until [`fail_after`](Self::fail_after) is called.
    pub const fn new(inner: M) -> Self {
        Self {
            inner,
            blocks_left: AtomicUsize::new(usize::MAX),
            claims: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        }
    }

    /// Makes allocations fail after `blocks` more blocks.
    ///
    /// With [`usize::MAX`], none fails.
    pub fn fail_after(&self, blocks: usize) {
        self.blocks_left.store(blocks, Relaxed);
    }

    /// Returns the number of blocks that claims have asked for so far.
    #[must_use]
    pub fn claims(&self) -> usize {
        self.claims.load(Relaxed)
    }

    /// Returns the number of reads that were tried so far.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.reads.load(Relaxed)
    }

    /// Unwraps the memory.
    #[must_use]
    pub fn into_inner(self) -> M {
        self.inner
    }

    /// Returns a reference to the wrapped memory.
    pub const fn inner(&self) -> &M {
        &self.inner
    }
}

impl<M: Default> Default for FaultyMemory<M> {
    fn default() -> Self {
        Self::new(M::default())
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

// SAFETY: every block comes from the wrapped memory, which gives the guarantees.
unsafe impl<M: BlockMemory> BlockMemory for FaultyMemory<M> {
    fn allocate<F>(&self, count: usize, visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        let after = |left: usize| {
            if left == usize::MAX { left } else { left.saturating_sub(count) }
        };
        let left = self
            .blocks_left
            .fetch_update(Relaxed, Relaxed, |left| Some(after(left)))
            .unwrap_or_else(|left| left);
        self.inner.allocate(count.min(left), visit)?;
        if left < count { Err(AllocError::new(AllocErrorKind::OutOfMemory)) } else { Ok(()) }
    }

    #[inline]
    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error> {
        let mut visitor = Counted { visitor, claims: &self.claims };
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.claim(first, &mut visitor) }
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        self.inner.addr_of(block)
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.free(blocks) }
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.hand_over(blocks) }
    }

    fn published(&self) {
        self.inner.published();
    }
}

/// A visitor whose claims are counted.
struct Counted<'a, C> {
    visitor: &'a mut C,
    claims: &'a AtomicUsize,
}

impl<C: ClaimVisitor> ClaimVisitor for Counted<'_, C> {
    type Error = C::Error;

    fn visit(&mut self, addr: PhysAddr, block: NonNull<u8>) -> Result<Option<PhysAddr>, C::Error> {
        self.claims.fetch_add(1, Relaxed);
        self.visitor.visit(addr, block)
    }

    fn refuse(&mut self, error: ClaimError) -> C::Error {
        self.claims.fetch_add(1, Relaxed);
        self.visitor.refuse(error)
    }

    fn give_back(&mut self) -> Option<NonNull<u8>> {
        self.visitor.give_back()
    }
}
