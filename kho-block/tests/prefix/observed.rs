//! A memory that walks along the chain whenever it is called.

use std::cell::RefCell;
use std::mem;
use std::ptr::NonNull;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{
    AllocError, BlockMemory, ClaimVisitor, Entry, HeapMemory, PhysAddr, ReadError, ReadMemory,
    Usage,
};

use crate::common::Noted;

/// Size of a block in bytes, small so that few entries fill many.
pub(crate) const BLOCK: usize = 128;
/// Number of entries of 16 bytes that fit in a block.
pub(crate) const PER_BLOCK: usize = 7;

const CHECK: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
pub(crate) struct Item {
    id: u64,
    check: u64,
}

impl Item {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, check: id.wrapping_mul(CHECK) }
    }

    pub(crate) fn words(self) -> [u64; 2] {
        [self.id, self.check]
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

type Seen = Result<Vec<u64>, String>;

/// A heap whose one set is watched.
#[derive(Default)]
pub(crate) struct Observed {
    inner: HeapMemory<BLOCK>,
    /// The owned blocks, oldest first: the set's first block is the oldest.
    owned: RefCell<Vec<NonNull<u8>>>,
    seen: RefCell<Vec<Seen>>,
    /// The entries after the last published step.
    published: RefCell<Option<Seen>>,
}

impl Observed {
    /// The observations since the last call.
    pub(crate) fn drain(&self) -> Vec<Seen> {
        mem::take(&mut *self.seen.borrow_mut())
    }

    /// Returns the entries after the last published step, if there was one since the last call.
    pub(crate) fn last_published(&self) -> Option<Seen> {
        self.published.take()
    }

    pub(crate) fn usage(&self) -> Usage {
        self.inner.usage()
    }

    fn forget(&self, block: NonNull<u8>) {
        self.owned.borrow_mut().retain(|owned| *owned != block);
    }

    fn observe(&self) {
        let seen = self.walk();
        self.seen.borrow_mut().push(seen);
    }

    /// Returns the ids of the entries in the chain from the first block. A first block without
    /// entries is an empty set; any other fault is an error.
    fn walk(&self) -> Seen {
        let owned = self.owned.borrow();
        let Some(&first) = owned.first() else { return Ok(Vec::new()) };
        if word(first, 1) == 0 {
            let next = word(first, 0);
            return if next == 0 { Ok(Vec::new()) } else { Err(format!("empty, but {next:#x}")) };
        }
        let mut ids = Vec::new();
        let mut block = first;
        for _ in 0..owned.len() {
            let count = word(block, 1) as usize;
            if !(1..=PER_BLOCK).contains(&count) {
                return Err(format!("a block counts {count} after {} entries", ids.len()));
            }
            for index in 0..count {
                let (id, check) = (word(block, 2 + 2 * index), word(block, 3 + 2 * index));
                if check != id.wrapping_mul(CHECK) {
                    return Err(format!("entry {} is not whole", ids.len()));
                }
                ids.push(id);
            }
            let next = word(block, 0);
            if next == 0 {
                return Ok(ids);
            }
            let found = owned.iter().find(|block| block.addr().get() as u64 == next);
            let Some(&found) = found else { return Err(format!("a link to {next:#x}")) };
            block = found;
        }
        Err("a cycle".to_owned())
    }
}

fn word(block: NonNull<u8>, index: usize) -> u64 {
    assert!(index < BLOCK / 8);
    // SAFETY: inside the block.
    let word = unsafe { block.cast::<u64>().add(index) };
    // SAFETY: the block is owned by the set that is calling, on this thread, and initialised (G1).
    unsafe { word.read_volatile() }
}

impl ReadMemory for Observed {
    const BLOCK_SIZE: usize = BLOCK;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.inner.read(addr, buf)
    }
}

// SAFETY: every block comes from the wrapped memory, which gives the guarantees; owned blocks are
// read only while their owner is calling.
unsafe impl BlockMemory for Observed {
    fn allocate<F>(&self, count: usize, mut visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        self.observe();
        self.inner.allocate(count, |block| {
            self.owned.borrow_mut().push(block);
            visit(block);
        })
    }

    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error> {
        let mut visitor = Noted::new(visitor);
        // SAFETY: the caller's promise is the same one.
        let result = unsafe { self.inner.claim(first, &mut visitor) };
        self.owned.borrow_mut().append(&mut visitor.blocks);
        result
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        self.observe();
        self.inner.addr_of(block)
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.free(blocks.inspect(|block| self.forget(*block))) }
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.inner.hand_over(blocks.inspect(|block| self.forget(*block))) }
    }

    fn published(&self) {
        self.observe();
        self.published.replace(Some(self.walk()));
    }
}
