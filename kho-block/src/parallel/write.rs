//! Writing a set on several threads.

use core::iter;
use core::slice;

use rayon::iter::plumbing::{Consumer, Folder, Reducer};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator};

use crate::entry::Entry;
use crate::error::ReserveError;
use crate::memory::BlockMemory;
use crate::raw::Slots;
use crate::set::{BlockSet, Writer};

impl<T: Entry + Send + Sync, M: BlockMemory> BlockSet<T, M> {
    /// Appends all entries of a parallel iterator, written by several threads, or none. See
    /// [`Writer::par_extend`].
    ///
    /// # Errors
    /// Returns an error if the set can't grow by as many entries. The set has not changed.
    ///
    /// # Panics
    /// Panics in the same cases as [`Writer::par_extend`].
    pub fn par_extend<I>(&mut self, entries: I) -> Result<(), ReserveError>
    where
        I: IntoParallelIterator<Item = T, Iter: IndexedParallelIterator>,
    {
        self.writer().par_extend(entries)
    }
}

impl<T: Entry + Send + Sync, M: BlockMemory> Writer<'_, T, M> {
    /// Appends all entries of a parallel iterator, written by several threads, or none.
    ///
    /// The entries keep their order. When all are written, this thread publishes them block by
    /// block. Entries pushed before are published first. No block is allocated if the
    /// [capacity](BlockSet::capacity) is enough.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory};
    /// use rayon::prelude::*;
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    ///
    /// let memory = HeapMemory::new();
    /// let mut set = BlockSet::new_in(&memory);
    /// let mut writer = set.writer();
    /// writer.push(Slot { value: 0 })?;
    /// let rest = (1..100_000_u32).into_par_iter();
    /// writer.par_extend(rest.map(|value| Slot { value: value.into() }))?;
    /// drop(writer);
    /// assert_eq!(set[77_777].value, 77_777);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the set can't grow by as many entries. Entries pushed before stay.
    ///
    /// # Panics
    /// Panics if the iterator panics, or if it returns more or fewer entries than it said. Then
    /// none of them becomes part of the set, and the blocks for them stay reserved.
    pub fn par_extend<I>(&mut self, entries: I) -> Result<(), ReserveError>
    where
        I: IntoParallelIterator<Item = T, Iter: IndexedParallelIterator>,
    {
        let entries = entries.into_par_iter();
        let count = entries.len();
        self.try_reserve(count)?;
        self.appender.fill(count, |slots| {
            let written = entries.drive(Fill(slots));
            assert_eq!(written, count, "the parallel iterator returned fewer entries than it said");
        });
        Ok(())
    }
}

/// Message of the panic when a parallel iterator returns too many entries.
const TOO_MANY: &str = "the parallel iterator returned more entries than it said";

/// Fills slots and counts them. Panics if there are too many entries, so if the count is right,
/// every slot was filled.
struct Fill<'a, T, M>(Slots<'a, T, M>);

impl<'a, T: Entry + Send + Sync, M: BlockMemory> Consumer<T> for Fill<'a, T, M> {
    type Folder = FillFolder<'a, T, M>;
    type Reducer = Sum;
    type Result = usize;

    fn split_at(self, index: usize) -> (Self, Self, Sum) {
        assert!(index <= self.0.len(), "{TOO_MANY}");
        let (front, back) = self.0.split_at(index);
        (Self(front), Self(back), Sum)
    }

    fn into_folder(self) -> Self::Folder {
        FillFolder { count: self.0.len(), run: [].iter_mut(), rest: self.0 }
    }

    fn full(&self) -> bool {
        false
    }
}

struct FillFolder<'a, T, M> {
    /// The slots that are left in the current block.
    run: slice::IterMut<'a, T>,
    /// The slots after them.
    rest: Slots<'a, T, M>,
    /// The number of slots at the start.
    count: usize,
}

impl<T: Entry, M: BlockMemory> Folder<T> for FillFolder<'_, T, M> {
    type Result = usize;

    fn consume(self, entry: T) -> Self {
        self.consume_iter(iter::once(entry))
    }

    fn consume_iter<I: IntoIterator<Item = T>>(self, entries: I) -> Self {
        // Taken apart: a reference to `rest` leaves the loop, and the other fields should stay in
        // registers.
        let Self { mut run, mut rest, count } = self;
        entries.into_iter().for_each(|entry| {
            let slot = match run.next() {
                Some(slot) => slot,
                None => {
                    let slot;
                    (slot, run) = next_block(&mut rest);
                    slot
                }
            };
            *slot = entry;
        });
        Self { run, rest, count }
    }

    fn complete(self) -> usize {
        self.count - self.rest.len() - self.run.len()
    }

    fn full(&self) -> bool {
        false
    }
}

/// Returns the next slot, and the slots after it in its block.
// Out of line, since it is rare.
#[cold]
#[inline(never)]
fn next_block<'a, T: Entry, M: BlockMemory>(
    slots: &mut Slots<'a, T, M>,
) -> (&'a mut T, slice::IterMut<'a, T>) {
    let mut run = slots.next_run().expect(TOO_MANY).iter_mut();
    let first = run.next().expect("a run has at least one slot");
    (first, run)
}

/// Adds up the numbers of filled slots.
struct Sum;

impl Reducer<usize> for Sum {
    fn reduce(self, front: usize, back: usize) -> usize {
        front + back
    }
}
