//! A wrapper around a memory. It knows which blocks are owned, checks each call, and can read a
//! block while a set owns it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ptr::NonNull;

use kho_block::{AllocError, BlockMemory, ClaimVisitor, PhysAddr, ReadError, ReadMemory};

use crate::common::Noted;

pub(crate) struct Watched<M> {
    inner: M,
    owned: RefCell<BTreeMap<u64, NonNull<u8>>>,
    allocations: Cell<usize>,
}

impl<M: BlockMemory> Watched<M> {
    pub(crate) fn new(inner: M) -> Self {
        Self { inner, owned: RefCell::default(), allocations: Cell::new(0) }
    }

    pub(crate) fn inner(&self) -> &M {
        &self.inner
    }

    pub(crate) fn into_inner(self) -> M {
        self.inner
    }

    /// Returns how many allocations were asked for.
    pub(crate) fn allocations(&self) -> usize {
        self.allocations.get()
    }

    /// Returns the number of owned blocks.
    pub(crate) fn owned(&self) -> usize {
        self.owned.borrow().len()
    }

    /// Copies the first bytes of the owned block at `addr`, while no set is being written.
    pub(crate) fn peek(&self, addr: u64, buf: &mut [u8]) {
        assert!(buf.len() <= M::BLOCK_SIZE);
        let block = self.owned.borrow()[&addr];
        // SAFETY: the block is owned, so its bytes are initialised and valid for reads (G1), and at
        // least as many as `buf` has. The tests have one thread and write nothing in the meantime.
        unsafe { block.copy_to_nonoverlapping(NonNull::from(&mut *buf).cast(), buf.len()) };
    }

    fn took(&self, addr: PhysAddr, block: NonNull<u8>) {
        assert!(!addr.is_null() && addr.get() % M::BLOCK_SIZE as u64 == 0);
        assert_eq!(self.inner.addr_of(block), addr);
        assert!(self.owned.borrow_mut().insert(addr.get(), block).is_none(), "owned twice");
    }

    fn gave(&self, block: NonNull<u8>) {
        let addr = self.inner.addr_of(block).get();
        assert_eq!(self.owned.borrow_mut().remove(&addr), Some(block), "given up twice");
    }
}

impl<M: BlockMemory> ReadMemory for Watched<M> {
    const BLOCK_SIZE: usize = M::BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.inner.read(addr, buf)
    }
}

// SAFETY: every block comes from the wrapped memory, which gives the guarantees.
unsafe impl<M: BlockMemory> BlockMemory for Watched<M> {
    fn allocate<F>(&self, count: usize, visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        self.allocations.set(self.allocations.get() + count);
        let mut blocks = Vec::new();
        let result = self.inner.allocate(count, |block| blocks.push(block));
        for block in &blocks {
            let addr = self.inner.addr_of(*block);
            self.took(addr, *block);
            let mut bytes = vec![1; M::BLOCK_SIZE];
            self.peek(addr.get(), &mut bytes);
            assert!(bytes == vec![0; M::BLOCK_SIZE], "a block is not zeroed");
        }
        blocks.into_iter().for_each(visit);
        result
    }

    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error> {
        let mut visitor = Noted::new(visitor);
        // SAFETY: the caller's promise is the same one.
        let result = unsafe { self.inner.claim(first, &mut visitor) };
        for block in visitor.blocks {
            self.took(self.inner.addr_of(block), block);
        }
        result
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        self.inner.addr_of(block)
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        let blocks: Vec<_> = blocks.inspect(|block| self.gave(*block)).collect();
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.free(blocks.into_iter()) }
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        let blocks: Vec<_> = blocks.inspect(|block| self.gave(*block)).collect();
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.hand_over(blocks.into_iter()) }
    }

    fn published(&self) {
        self.inner.published();
    }
}
