//! A trait for what the crate's memories have in common beside the memory traits.

use kho_block::{BlockMemory, FaultyMemory, HeapMemory, MemfdMemory, Usage};

/// Largest length of a memfd in a test, in bytes.
const MAX_LEN: usize = 256 << 20;

/// A memory that can be created and that counts its blocks.
pub(crate) trait Countable: BlockMemory {
    fn make() -> Self;
    fn usage(&self) -> Usage;
    fn free_preserved(&self) -> usize;
}

impl<const B: usize> Countable for HeapMemory<B> {
    fn make() -> Self {
        Self::new_with_block_size()
    }

    fn usage(&self) -> Usage {
        self.usage()
    }

    fn free_preserved(&self) -> usize {
        self.free_preserved()
    }
}

impl<const B: usize> Countable for MemfdMemory<B> {
    fn make() -> Self {
        Self::with_max_len("kho-block-test", MAX_LEN).unwrap()
    }

    fn usage(&self) -> Usage {
        self.usage()
    }

    fn free_preserved(&self) -> usize {
        self.free_preserved()
    }
}

impl<M: Countable> Countable for FaultyMemory<M> {
    fn make() -> Self {
        Self::new(M::make())
    }

    fn usage(&self) -> Usage {
        self.inner().usage()
    }

    fn free_preserved(&self) -> usize {
        self.inner().free_preserved()
    }
}
