//! The memories that the model is run on.

use kho_block::{BlockMemory, FaultyMemory, HeapMemory, MemfdMemory, SealedMemfd, Usage};

/// Bytes that a memfd in a test may grow to.
const MAX_LEN: usize = 64 << 20;

pub(crate) trait TestMemory: BlockMemory + Sized {
    /// What there is once the memory is sealed, and another like it.
    type Sealed: kho_block::StableMemory;

    fn make() -> Self;

    fn usage(&self) -> Usage;

    fn free_preserved(&self) -> usize;

    /// Sets how many allocations succeed. `false`: this memory can't fail.
    fn set_budget(&self, _budget: usize) -> bool {
        false
    }

    /// Drops the memory and opens what it left behind.
    fn reopen(self) -> Option<Self> {
        None
    }

    /// Drops the memory and opens what it left behind for viewing.
    fn seal(self) -> Option<Self::Sealed> {
        None
    }
}

impl<const B: usize> TestMemory for HeapMemory<B> {
    type Sealed = SealedMemfd<B>;

    fn make() -> Self {
        Self::with_block_size()
    }

    fn usage(&self) -> Usage {
        self.usage()
    }

    fn free_preserved(&self) -> usize {
        self.free_preserved()
    }
}

impl<const B: usize> TestMemory for MemfdMemory<B> {
    type Sealed = SealedMemfd<B>;

    fn make() -> Self {
        Self::with_max_len("kho-block-model", MAX_LEN).unwrap()
    }

    fn usage(&self) -> Usage {
        self.usage()
    }

    fn free_preserved(&self) -> usize {
        self.free_preserved()
    }

    fn reopen(self) -> Option<Self> {
        // SAFETY: the descriptor is the only one, and goes nowhere else.
        Some(unsafe { Self::from_fd(self.into_fd()) }.unwrap())
    }

    fn seal(self) -> Option<SealedMemfd<B>> {
        Some(self.seal().unwrap())
    }
}

impl<M: TestMemory> TestMemory for FaultyMemory<M> {
    type Sealed = M::Sealed;

    fn make() -> Self {
        Self::new(M::make())
    }

    fn usage(&self) -> Usage {
        self.inner().usage()
    }

    fn free_preserved(&self) -> usize {
        self.inner().free_preserved()
    }

    fn set_budget(&self, budget: usize) -> bool {
        self.fail_after(budget);
        true
    }
}
