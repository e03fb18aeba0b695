//! `claim_chain` is the same as claim after claim.

use std::ptr::NonNull;

use kho_block::{
    AllocError, BlockMemory, ClaimError, ClaimErrorKind, PhysAddr, ReadError, ReadMemory,
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

/// Claims the addresses as a chain; says what was visited, and the error. All is given back.
fn claim(memory: &impl BlockMemory, addrs: &[PhysAddr]) -> (Vec<usize>, Option<ClaimError>) {
    let mut owners = Vec::new();
    let result = memory.claim_chain(addrs[0], |block| {
        owners.push(Owner::new(memory, block));
        addrs.get(owners.len()).copied()
    });
    let places = owners.iter().map(Owner::place).collect();
    let visited: Vec<_> = owners.into_iter().map(Owner::hand_over).collect();
    assert_eq!(visited, addrs[..visited.len()]);
    (places, result.err())
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
        let (places, error) = claim(memory, &chain);
        assert_eq!(places.len(), position);
        assert_eq!(error, Some(ClaimError::new(fault, kind)));
        assert_eq!((places, error), claim(&Plain(memory), &chain));
    }
    for chain in [&addrs[..], &addrs[5..6]] {
        let (places, error) = claim(memory, chain);
        assert_eq!((places.len(), error), (chain.len(), None));
        assert_eq!((places, error), claim(&Plain(memory), chain));
    }
    for addr in addrs {
        drop(Owner::claim(memory, addr).unwrap());
    }
}
