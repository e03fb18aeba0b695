//! Restoring what was handed over.

use std::hint::black_box;
use std::mem;
use std::sync::Arc;

use kho_block::{BlockSet, SetHead};

use crate::{Blocks, Memory, Sample, block_limit, fold, reserve_and_fill};
#[cfg(kho_linux)]
use kho_linux_c::{KernelChain, KernelSet};

/// A chain that waits for its successor.
pub trait Restore {
    /// What the results call it.
    const NAME: &'static str;

    /// What restoring makes of the chain.
    type Restored;

    /// A chain of `len` entries.
    fn preserve(len: usize) -> Self;

    /// Walks and checks the chain.
    fn restore(&mut self) -> Self::Restored;

    /// Hands over what was restored, so that it can be restored again; says how many entries it had.
    fn hand_over(&mut self, restored: Self::Restored) -> usize;
}

/// A chain whose entries can be read once it is restored.
pub trait ReadBack: Restore {
    /// The sum of all digests.
    fn read(restored: &mut Self::Restored) -> u64;
}

/// A set that was handed over, and its memory.
pub struct Preserved<T, M> {
    memory: Arc<M>,
    head: SetHead<T>,
    block_limit: usize,
}

impl<T: Sample, M: Memory> Restore for Preserved<T, M> {
    const NAME: &'static str = M::SET;

    type Restored = Blocks<T, M>;

    fn preserve(len: usize) -> Self {
        let set: Blocks<T, M> = reserve_and_fill(len);
        Self {
            memory: Arc::clone(set.memory()),
            head: set.hand_over(),
            block_limit: block_limit::<T>(len),
        }
    }

    fn restore(&mut self) -> Blocks<T, M> {
        BlockSet::restore_with_limit(Arc::clone(&self.memory), self.head, self.block_limit)
            .expect("the chain is valid")
    }

    fn hand_over(&mut self, restored: Blocks<T, M>) -> usize {
        let len = restored.len();
        self.head = restored.hand_over();
        len
    }
}

impl<T: Sample, M: Memory> ReadBack for Preserved<T, M> {
    fn read(restored: &mut Blocks<T, M>) -> u64 {
        fold(restored)
    }
}

/// A `Vec`, which was never away: the limit for reading what was restored.
pub struct Kept<T>(Vec<T>);

impl<T: Sample> Restore for Kept<T> {
    const NAME: &'static str = "Vec";

    type Restored = Vec<T>;

    fn preserve(len: usize) -> Self {
        Self(reserve_and_fill(len))
    }

    fn restore(&mut self) -> Vec<T> {
        mem::take(&mut self.0)
    }

    fn hand_over(&mut self, restored: Vec<T>) -> usize {
        self.0 = restored;
        self.0.len()
    }
}

impl<T: Sample> ReadBack for Kept<T> {
    fn read(restored: &mut Vec<T>) -> u64 {
        fold(restored)
    }
}

/// A set of the kernel's C code that was handed over. Empty while it is restored.
#[cfg(kho_linux)]
pub struct PreservedByC(Option<KernelChain>);

#[cfg(kho_linux)]
impl Restore for PreservedByC {
    const NAME: &'static str = crate::KERNEL;

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

#[cfg(kho_linux)]
impl ReadBack for PreservedByC {
    fn read(restored: &mut KernelSet) -> u64 {
        restored.sum()
    }
}

/// Takes other things out of the processor's caches.
pub struct Evictor(Vec<u64>);

impl Evictor {
    /// More than the last-level cache of most machines.
    const LEN: usize = 128 << 20;

    /// Makes the memory that takes the place of other things.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![1; Self::LEN / size_of::<u64>()])
    }

    /// Reads all of it.
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
    use crate::sample::{for_each_size, special_lens};
    use crate::{Bytes512, PointerChase};

    fn restored_len<R: Restore>(len: usize) -> usize {
        let mut preserved = R::preserve(len);
        let restored = preserved.restore();
        preserved.hand_over(restored);
        let again = preserved.restore();
        preserved.hand_over(again)
    }

    fn read_back<R: ReadBack>(len: usize) -> u64 {
        let mut preserved = R::preserve(len);
        let mut restored = preserved.restore();
        let first = R::read(&mut restored);
        preserved.hand_over(restored);
        assert_eq!(R::read(&mut preserved.restore()), first);
        first
    }

    fn agree<T: Sample>() {
        for len in special_lens::<T>() {
            assert_eq!(restored_len::<Preserved<T, HeapMemory>>(len), len);
            assert_eq!(restored_len::<Preserved<T, MemfdMemory>>(len), len);
            assert_eq!(restored_len::<PointerChase<T, HeapMemory>>(len), len);
            assert_eq!(restored_len::<PointerChase<T, MemfdMemory>>(len), len);
            let expected = read_back::<Kept<T>>(len);
            assert_eq!(read_back::<Preserved<T, HeapMemory>>(len), expected);
            assert_eq!(read_back::<Preserved<T, MemfdMemory>>(len), expected);
        }
    }

    #[test]
    fn contenders_agree() {
        for_each_size!(agree());
    }

    #[test]
    #[cfg(kho_linux)]
    fn the_kernel_agrees() {
        for len in special_lens::<crate::MemorySlot>() {
            assert_eq!(restored_len::<PreservedByC>(len), len);
            assert_eq!(read_back::<PreservedByC>(len), read_back::<Kept<crate::MemorySlot>>(len));
        }
    }

    #[test]
    fn more_blocks_than_the_kernel_follows() {
        let len = 10_001 * Bytes512::PER_BLOCK;
        assert_eq!(restored_len::<Preserved<Bytes512, HeapMemory>>(len), len);
    }
}
