//! Restoring what was handed over.

use std::hint::black_box;
use std::rc::Rc;

use kho_block::{BlockSet, SetHead};

use crate::{Blocks, Contender, Memory, MemorySlot, reserve_and_fill};

/// A chain that waits for its successor.
pub trait Restore {
    /// What the results call it.
    const NAME: &'static str;

    /// What restoring makes of the chain.
    type Restored;

    /// A chain of `len` slots.
    fn preserve(len: usize) -> Self;

    /// Walks and checks the chain. This is what is timed.
    fn restore(&mut self) -> Self::Restored;

    /// Undoes that; says how many slots the chain had.
    fn put_back(&mut self, restored: Self::Restored) -> usize;
}

/// A set that was handed over, and its memory.
pub struct Preserved<M> {
    memory: Rc<M>,
    head: SetHead<MemorySlot>,
}

impl<M: Memory> Restore for Preserved<M> {
    const NAME: &'static str = <Blocks<M> as Contender>::NAME;

    type Restored = Blocks<M>;

    fn preserve(len: usize) -> Self {
        let set: Blocks<M> = reserve_and_fill(len);
        Self { memory: Rc::clone(set.memory()), head: set.hand_over() }
    }

    fn restore(&mut self) -> Blocks<M> {
        BlockSet::restore(Rc::clone(&self.memory), self.head).expect("the chain is valid")
    }

    fn put_back(&mut self, restored: Blocks<M>) -> usize {
        let len = restored.len();
        self.head = restored.hand_over();
        len
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
    use crate::PointerChase;

    fn restored_len<R: Restore>(len: usize) -> usize {
        let mut preserved = R::preserve(len);
        let restored = preserved.restore();
        preserved.put_back(restored);
        let again = preserved.restore();
        preserved.put_back(again)
    }

    #[test]
    fn contenders_agree() {
        for len in [1, 127, 128, 10_000] {
            assert_eq!(restored_len::<Preserved<HeapMemory>>(len), len);
            assert_eq!(restored_len::<Preserved<MemfdMemory>>(len), len);
            assert_eq!(restored_len::<PointerChase>(len), len);
        }
    }
}
