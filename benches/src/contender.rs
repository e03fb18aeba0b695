//! What is measured: a set in each kind of memory, beside a `Vec`.

use std::rc::Rc;

use kho_block::{BlockMemory, BlockSet, HeapMemory, MemfdMemory, Writer};

use crate::{MemorySlot, SLOTS_PER_BLOCK};

/// A collection of slots.
///
/// The `for` loop is measured over `&C`, which a bound of the workload asks for.
pub trait Contender {
    /// What the results call it.
    const NAME: &'static str;

    /// What slots are pushed into.
    type Pusher<'a>: Push
    where
        Self: 'a;

    /// An empty collection with room for `len` slots, in memory of its own.
    fn with_capacity(len: usize) -> Self;

    /// Starts pushing behind the last slot.
    fn pusher(&mut self) -> Self::Pusher<'_>;

    /// Removes all slots, and keeps the capacity.
    fn clear(&mut self);

    /// The slot at `index`.
    fn get(&self, index: usize) -> Option<&MemorySlot>;

    /// The slots in order.
    fn iter(&self) -> impl Iterator<Item = &MemorySlot>;

    /// The slots in order, a slice of a block's length at a time.
    fn chunks(&self) -> impl Iterator<Item = &[MemorySlot]>;
}

/// Takes slots, for which there is room.
pub trait Push {
    /// Appends a slot.
    fn push(&mut self, slot: MemorySlot);
}

impl Contender for Vec<MemorySlot> {
    const NAME: &'static str = "vec";

    type Pusher<'a> = &'a mut Self;

    fn with_capacity(len: usize) -> Self {
        Self::with_capacity(len)
    }

    fn pusher(&mut self) -> &mut Self {
        self
    }

    fn clear(&mut self) {
        self.clear();
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&MemorySlot> {
        self.as_slice().get(index)
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = &MemorySlot> {
        self.as_slice().iter()
    }

    #[inline]
    fn chunks(&self) -> impl Iterator<Item = &[MemorySlot]> {
        self.as_slice().chunks(SLOTS_PER_BLOCK)
    }
}

impl Push for &mut Vec<MemorySlot> {
    #[inline]
    fn push(&mut self, slot: MemorySlot) {
        Vec::push(self, slot);
    }
}

/// A set, with a share in the memory that its blocks are in.
pub type Blocks<M> = BlockSet<MemorySlot, Rc<M>>;

/// A kind of memory that sets are measured in.
pub trait Memory: BlockMemory {
    /// What the results call a set in it.
    const NAME: &'static str;

    /// A new memory without blocks.
    fn create() -> Self;
}

impl Memory for HeapMemory {
    const NAME: &'static str = "heap";

    fn create() -> Self {
        Self::new()
    }
}

impl Memory for MemfdMemory {
    const NAME: &'static str = "memfd";

    fn create() -> Self {
        Self::new("bench").expect("a memfd can be made and mapped")
    }
}

impl<M: Memory> Contender for Blocks<M> {
    const NAME: &'static str = M::NAME;

    type Pusher<'a>
        = Writer<'a, MemorySlot, Rc<M>>
    where
        Self: 'a;

    fn with_capacity(len: usize) -> Self {
        let mut set = Self::new_in(Rc::new(M::create()));
        set.try_reserve(len).expect("the memory has room");
        set
    }

    fn pusher(&mut self) -> Self::Pusher<'_> {
        self.writer()
    }

    fn clear(&mut self) {
        self.clear();
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&MemorySlot> {
        (**self).get(index)
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = &MemorySlot> {
        (**self).iter()
    }

    #[inline]
    fn chunks(&self) -> impl Iterator<Item = &[MemorySlot]> {
        (**self).chunks()
    }
}

impl<M: Memory> Push for Writer<'_, MemorySlot, Rc<M>> {
    #[inline]
    fn push(&mut self, slot: MemorySlot) {
        self.push_within_capacity(slot).expect("the capacity was reserved");
    }
}
