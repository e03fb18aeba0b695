//! `claim_chain` is the same as claim after claim.

use std::ptr::NonNull;

use kho_block::{
    AllocError, BlockMemory, ChainClaim, ClaimError, ClaimErrorKind, NextClaim, PhysAddr,
    ReadError, ReadMemory,
};

use crate::owner::Owner;

/// The memory inside, with the trait's own `claim_chain`.
struct Plain<'m, M>(&'m M);

impl<M: ReadMemory> ReadMemory for Plain<'_, M> {
    const BLOCK_SIZE: usize = M::BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.0.read(addr, buf)
    }
}

// SAFETY: every call goes to the memory inside, which gives the guarantees.
unsafe impl<M: BlockMemory> BlockMemory for Plain<'_, M> {
    fn allocate(&self) -> Result<NonNull<u8>, AllocError> {
        self.0.allocate()
    }

    fn claim(&self, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError> {
        self.0.claim(addr)
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        self.0.addr_of(block)
    }

    unsafe fn free(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.0.free(block) }
    }

    unsafe fn hand_over(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.0.hand_over(block) }
    }
}

/// A chain of blocks at these addresses.
struct Listed<'a> {
    addrs: &'a [PhysAddr],
    /// Those that are claimed, then those that were given back.
    blocks: Vec<NonNull<u8>>,
    given_back: Vec<NonNull<u8>>,
    error: Option<ClaimError>,
    /// How many blocks may come before the chain turns out to be invalid.
    valid: usize,
}

impl ChainClaim for Listed<'_> {
    fn add(&mut self, addr: PhysAddr, block: NonNull<u8>) -> NextClaim {
        assert_eq!(addr, self.addrs[self.blocks.len()]);
        self.blocks.push(block);
        match self.addrs.get(self.blocks.len()) {
            _ if self.blocks.len() > self.valid => NextClaim::Undo,
            Some(addr) => NextClaim::Block(*addr),
            None => NextClaim::End,
        }
    }

    fn refuse(&mut self, error: ClaimError) {
        self.error = Some(error);
    }

    fn give_back(&mut self) -> Option<NonNull<u8>> {
        let block = self.blocks.pop()?;
        self.given_back.push(block);
        Some(block)
    }
}

/// Claims the addresses as a chain of which `valid` blocks are. Returns where the blocks were that were
/// claimed, and the error. All are preserved afterwards.
fn claim(
    memory: &impl BlockMemory,
    addrs: &[PhysAddr],
    valid: usize,
) -> (Vec<usize>, Option<ClaimError>) {
    let (blocks, given_back) = (Vec::new(), Vec::new());
    let mut chain = Listed { addrs, blocks, given_back, error: None, valid };
    // SAFETY: what was added is given back, each block once.
    let claimed = unsafe { memory.claim_chain(addrs[0], &mut chain) };
    assert_eq!(claimed, chain.given_back.is_empty() && chain.error.is_none());
    assert!(claimed || chain.blocks.is_empty());
    let Listed { blocks, mut given_back, error, .. } = chain;
    given_back.reverse();
    let places: Vec<_> = blocks.iter().chain(&given_back).map(|block| block.addr().get()).collect();
    let handed_over: Vec<_> =
        blocks.into_iter().map(|block| Owner::new(memory, block).hand_over()).collect();
    assert_eq!(handed_over, addrs[..handed_over.len()]);
    (places, error)
}

pub(crate) fn claim_chain_is_claim_after_claim<M: BlockMemory>(memory: &M) {
    let mut owners: Vec<_> = (0..40).map(|_| Owner::allocate(memory)).collect();
    let owned = owners.pop().unwrap();
    let free = owners.pop().unwrap().addr();
    let addrs: Vec<_> = owners.into_iter().rev().map(Owner::hand_over).collect();

    let outside = PhysAddr::new(1 << 62);
    let misaligned = PhysAddr::new(addrs[7].get() + 8);
    // A chain with a block that can't be claimed, at which place, and why.
    let faults = [
        (0, free, ClaimErrorKind::NotPreserved),
        (0, misaligned, ClaimErrorKind::Misaligned),
        (0, PhysAddr::NULL, ClaimErrorKind::Outside),
        (20, free, ClaimErrorKind::NotPreserved),
        (21, owned.addr(), ClaimErrorKind::Owned),
        (22, outside, ClaimErrorKind::Outside),
        (23, misaligned, ClaimErrorKind::Misaligned),
        (24, addrs[3], ClaimErrorKind::Owned),
    ];
    for (position, fault, kind) in faults {
        let mut chain = addrs.clone();
        chain.insert(position, fault);
        let (places, error) = claim(memory, &chain, usize::MAX);
        assert_eq!(places.len(), position);
        assert_eq!(error, Some(ClaimError::new(fault, kind)));
        assert_eq!((places, error), claim(&Plain(memory), &chain, usize::MAX));
    }
    for chain in [&addrs[..], &addrs[5..6]] {
        let (places, error) = claim(memory, chain, usize::MAX);
        assert_eq!((places.len(), error), (chain.len(), None));
        assert_eq!((places, error), claim(&Plain(memory), chain, usize::MAX));
    }
    for valid in [0, 1, 30] {
        let (places, error) = claim(memory, &addrs, valid);
        assert_eq!((places.len(), error), (valid + 1, None));
        assert_eq!((places, error), claim(&Plain(memory), &addrs, valid));
    }
    for addr in addrs {
        drop(Owner::claim(memory, addr).unwrap());
    }
}
