//! A memory that looks over another's shoulder: it knows which blocks are owned, checks what it
//! can about each, and shows the bytes behind an address while a set has them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ptr::NonNull;

use kho_block::{
    AllocError, BlockMemory, ChainClaim, ClaimError, NextClaim, PhysAddr, ReadError, ReadMemory,
};

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

    /// How many allocations were asked for.
    pub(crate) fn allocations(&self) -> usize {
        self.allocations.get()
    }

    /// How many blocks are owned.
    pub(crate) fn owned(&self) -> usize {
        self.owned.borrow().len()
    }

    /// Copies the first bytes of the owned block at `addr`. No set is being written meanwhile.
    pub(crate) fn peek(&self, addr: u64, buf: &mut [u8]) {
        assert!(buf.len() <= M::BLOCK_SIZE);
        let block = self.owned.borrow()[&addr];
        // SAFETY: the block is owned, so its bytes are initialised and valid for reads (G1), and
        // at least as many as `buf` has. The tests have one thread and write nothing meanwhile.
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

// SAFETY: what succeeds comes from the memory inside, which gives the guarantees.
unsafe impl<M: BlockMemory> BlockMemory for Watched<M> {
    fn allocate(&self) -> Result<NonNull<u8>, AllocError> {
        self.allocations.set(self.allocations.get() + 1);
        let block = self.inner.allocate()?;
        let addr = self.inner.addr_of(block);
        self.took(addr, block);
        let mut bytes = vec![1; M::BLOCK_SIZE];
        self.peek(addr.get(), &mut bytes);
        assert!(bytes == vec![0; M::BLOCK_SIZE], "a block is not zeroed");
        Ok(block)
    }

    fn claim(&self, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError> {
        let block = self.inner.claim(addr)?;
        self.took(addr, block);
        Ok(block)
    }

    unsafe fn claim_chain<C: ChainClaim>(&self, first: PhysAddr, chain: &mut C) -> bool {
        let mut chain = Noted { chain, blocks: Vec::new() };
        // SAFETY: the caller's promise is the same one.
        let claimed = unsafe { self.inner.claim_chain(first, &mut chain) };
        for block in chain.blocks {
            self.took(self.inner.addr_of(block), block);
        }
        claimed
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        self.inner.addr_of(block)
    }

    unsafe fn free(&self, block: NonNull<u8>) {
        self.gave(block);
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.free(block) }
    }

    unsafe fn hand_over(&self, block: NonNull<u8>) {
        self.gave(block);
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.hand_over(block) }
    }

    fn published(&self) {
        self.inner.published();
    }
}

/// A chain whose blocks are noted while they are claimed.
struct Noted<'a, C> {
    chain: &'a mut C,
    blocks: Vec<NonNull<u8>>,
}

impl<C: ChainClaim> ChainClaim for Noted<'_, C> {
    fn add(&mut self, addr: PhysAddr, block: NonNull<u8>) -> NextClaim {
        self.blocks.push(block);
        self.chain.add(addr, block)
    }

    fn refuse(&mut self, error: ClaimError) {
        self.chain.refuse(error);
    }

    fn give_back(&mut self) -> Option<NonNull<u8>> {
        let block = self.chain.give_back()?;
        self.blocks.retain(|other| *other != block);
        Some(block)
    }
}
