//! The memories that the model is run on.

use kho_block::{FaultyMemory, HeapMemory, MemfdMemory, SealedMemfd};

use crate::common::Countable;

pub(crate) trait TestMemory: Countable + Sized {
    /// The memory's form once it is sealed.
    type Sealed: kho_block::StableMemory;

    /// Sets how many allocations succeed. Returns `false` if this memory can't fail.
    fn set_budget(&self, _budget: usize) -> bool {
        false
    }

    /// Drops the memory and opens its file again.
    fn reopen(self) -> Option<Self> {
        None
    }

    /// Drops the memory and opens its file for viewing.
    fn seal(self) -> Option<Self::Sealed> {
        None
    }
}

impl<const B: usize> TestMemory for HeapMemory<B> {
    type Sealed = SealedMemfd<B>;
}

impl<const B: usize> TestMemory for MemfdMemory<B> {
    type Sealed = SealedMemfd<B>;

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

    fn set_budget(&self, budget: usize) -> bool {
        self.fail_after(budget);
        true
    }
}
