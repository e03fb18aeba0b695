//! A claim takes every block that its visitor names, or none.

use std::ptr::NonNull;

use kho_block::{BlockMemory, ClaimError, ClaimErrorKind, ClaimVisitor, PhysAddr};

use crate::owner::Owner;

/// Claims the blocks of a list.
struct List<'a> {
    addrs: &'a [PhysAddr],
    blocks: Vec<NonNull<u8>>,
    given_back: Vec<NonNull<u8>>,
    /// Number of blocks that may be visited before the visitor aborts the claim.
    valid: usize,
}

/// The reason that the claim of a list failed.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Refused(ClaimError),
    CalledOff,
}

impl ClaimVisitor for List<'_> {
    type Error = Fault;

    fn visit(&mut self, addr: PhysAddr, block: NonNull<u8>) -> Result<Option<PhysAddr>, Fault> {
        assert_eq!(addr, self.addrs[self.blocks.len()]);
        self.blocks.push(block);
        if self.blocks.len() > self.valid {
            return Err(Fault::CalledOff);
        }
        Ok(self.addrs.get(self.blocks.len()).copied())
    }

    fn refuse(&mut self, error: ClaimError) -> Fault {
        Fault::Refused(error)
    }

    fn give_back(&mut self) -> Option<NonNull<u8>> {
        let block = self.blocks.pop()?;
        self.given_back.push(block);
        Some(block)
    }
}

/// Claims the blocks at these addresses, of which the visitor accepts `valid`. Returns the
/// addresses of the visited blocks, and the result of the claim. All are preserved afterwards.
fn claim(
    memory: &impl BlockMemory,
    addrs: &[PhysAddr],
    valid: usize,
) -> (Vec<usize>, Result<(), Fault>) {
    let mut list = List { addrs, blocks: Vec::new(), given_back: Vec::new(), valid };
    // SAFETY: the visitor gives back what it visited, each block once, and uses it no more.
    let result = unsafe { memory.claim(addrs[0], &mut list) };
    let List { blocks, mut given_back, .. } = list;
    assert!(if result.is_ok() { given_back.is_empty() } else { blocks.is_empty() });
    given_back.reverse();
    let places = blocks.iter().chain(&given_back).map(|block| block.addr().get()).collect();
    let owners = blocks.into_iter().map(|block| Owner::new(memory, block));
    for (owner, addr) in owners.zip(addrs) {
        assert_eq!(owner.hand_over(), *addr);
    }
    (places, result)
}

pub(crate) fn claims_take_all_or_none<M: BlockMemory>(memory: &M) {
    let mut owners: Vec<_> = (0..40).map(|_| Owner::allocate(memory)).collect();
    let owned = owners.pop().unwrap();
    let free = owners.pop().unwrap().addr();
    let mut blocks: Vec<_> = owners.into_iter().map(|o| (o.place(), o.hand_over())).collect();
    blocks.reverse();
    let (places, addrs): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();

    for len in [addrs.len(), 1] {
        assert_eq!(claim(memory, &addrs[..len], usize::MAX), (places[..len].to_vec(), Ok(())));
    }

    let outside = PhysAddr::new(1 << 62);
    let misaligned = PhysAddr::new(addrs[7].get() + 8);
    // For each block that can't be claimed: its place in the list, and the reason.
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
        let mut list = addrs.clone();
        list.insert(position, fault);
        let refused = Err(Fault::Refused(ClaimError::new(fault, kind)));
        assert_eq!(claim(memory, &list, usize::MAX), (places[..position].to_vec(), refused));
    }
    for valid in [0, 1, 30] {
        let called_off = Err(Fault::CalledOff);
        assert_eq!(claim(memory, &addrs, valid), (places[..=valid].to_vec(), called_off));
    }
    for addr in addrs {
        drop(Owner::claim(memory, addr).unwrap());
    }
}
