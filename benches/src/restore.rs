//! Chains that were handed over, to be restored.

use std::hint::black_box;
use std::sync::Arc;

use kho_block::{BlockSet, SetHead};

use crate::{Array, Memory, Sample, Set, filled, names};
#[cfg(kho_linux)]
use kho_linux_c::{KernelChain, KernelSet};

/// A chain that was handed over and can be restored.
pub trait Restore {
    /// Name in results.
    const NAME: &'static str;

    /// The result of restoring the chain.
    type Restored;

    /// Writes a chain of `len` entries and hands it over.
    fn preserve(len: usize) -> Self;

    /// Walks and checks the chain.
    fn restore(&mut self) -> Self::Restored;

    /// Hands over what was restored, so that it can be restored again. Returns its number of
    /// entries.
    fn hand_over(&mut self, restored: Self::Restored) -> usize;
}

/// A set that was handed over, and its memory.
pub struct Preserved<T, M> {
    memory: Arc<M>,
    head: SetHead<T>,
}

impl<T: Sample, M: Memory> Restore for Preserved<T, M> {
    const NAME: &'static str = <Set<T, M> as Array<T>>::NAME;

    type Restored = Set<T, M>;

    fn preserve(len: usize) -> Self {
        let set: Set<T, M> = filled(len);
        Self { memory: Arc::clone(set.memory()), head: set.hand_over() }
    }

    fn restore(&mut self) -> Set<T, M> {
        BlockSet::restore(Arc::clone(&self.memory), self.head).expect("the chain is valid")
    }

    fn hand_over(&mut self, restored: Set<T, M>) -> usize {
        let len = restored.len();
        self.head = restored.hand_over();
        len
    }
}

/// A set of the kernel's C code that was handed over; `None` while it is restored.
#[cfg(kho_linux)]
pub struct PreservedByC(Option<KernelChain>);

#[cfg(kho_linux)]
impl Restore for PreservedByC {
    const NAME: &'static str = names::KERNEL;

    type Restored = KernelSet;

    fn preserve(len: usize) -> Self {
        let mut set = KernelSet::with_capacity(len);
        set.fill(len);
        Self(Some(set.hand_over()))
    }

    fn restore(&mut self) -> KernelSet {
        self.0.take().expect("the chain was handed over").restore()
    }

    fn hand_over(&mut self, restored: KernelSet) -> usize {
        let len = restored.len();
        self.0 = Some(restored.hand_over());
        len
    }
}

/// Data that evicts other data from the processor's caches.
pub struct Evictor(Vec<u64>);

impl Evictor {
    /// More bytes than the last-level cache of most machines holds.
    const LEN: usize = 128 << 20;

    /// Allocates and writes the data.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![1; Self::LEN / size_of::<u64>()])
    }

    /// Reads all of the data.
    pub fn evict(&self) {
        black_box(self.0.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word)));
    }
}

impl Default for Evictor {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use kho_block::{HeapMemory, MemfdMemory};

    use super::*;
    use crate::sample::special_lens;
    use crate::{Bytes80, MemorySlot, PointerChase};

    fn restored_len<R: Restore>(len: usize) -> usize {
        let mut preserved = R::preserve(len);
        let restored = preserved.restore();
        preserved.hand_over(restored);
        let again = preserved.restore();
        preserved.hand_over(again)
    }

    fn sets_agree<T: Sample>() {
        for len in special_lens::<T>() {
            assert_eq!(restored_len::<Preserved<T, HeapMemory>>(len), len);
            assert_eq!(restored_len::<Preserved<T, MemfdMemory>>(len), len);
        }
    }

    #[test]
    fn contenders_agree() {
        sets_agree::<MemorySlot>();
        sets_agree::<Bytes80>();
        for len in special_lens::<MemorySlot>() {
            assert_eq!(restored_len::<PointerChase>(len), len);
            #[cfg(kho_linux)]
            assert_eq!(restored_len::<PreservedByC>(len), len);
        }
    }
}
