//! Sets that are read by copying, in memory that belongs to someone else.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;

use smallvec::SmallVec;

use crate::abi::DEFAULT_BLOCK_LIMIT;
use crate::addr::{PhysAddr, SetHead};
use crate::entry::Entry;
use crate::entry::fits::{assert_fits, checked_count_of, count_of};
use crate::error::{ReadError, RestoreError, RestoreErrorKind};
use crate::memory::ReadMemory;
use crate::starts::Starts;
use crate::walk::{ChainWalk, exact_error, read_entry};

/// A set in memory that can only be copied from: a live guest, a file that others write, a dump
/// whose blocks are not aligned.
///
/// The chain is checked once. Each access reads one entry and returns it by value. If the memory
/// changes in the meantime, entries may differ or reads may fail, but nothing worse happens.
///
/// ```
/// use kho_block::{ForeignSet, DumpMemory, PhysAddr, SetHead};
/// # use kho_block::{bytemuck::{Pod, Zeroable}, Entry};
/// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// # #[repr(C)]
/// # struct Slot { value: u64 }
///
/// let mut block = vec![0; 4096];
/// block[8..16].copy_from_slice(&1_u64.to_ne_bytes()); // one entry follows
/// block[16..24].copy_from_slice(&42_u64.to_ne_bytes());
/// let mut dump = DumpMemory::new();
/// dump.insert(PhysAddr::new(0x5000), block)?;
///
/// let head = SetHead::<Slot>::new(PhysAddr::new(0x5000));
/// let set = ForeignSet::restore(&dump, head)?;
/// assert_eq!(set.get(0).transpose()?.map(|slot| slot.value), Some(42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ForeignSet<'m, T, M> {
    memory: &'m M,
    blocks: SmallVec<[PhysAddr; 2]>,
    starts: Starts,
    len: usize,
    entry: PhantomData<T>,
    /// Invariant in `M`, whose block size the table is made for.
    block_size: PhantomData<fn(M) -> M>,
}

impl<'m, T: Entry, M: ReadMemory> ForeignSet<'m, T, M> {
    /// Number of entries that fit in a block of the memory.
    pub const COUNT_PER_BLOCK: usize = checked_count_of::<T>(M::BLOCK_SIZE);

    /// [`COUNT_PER_BLOCK`](Self::COUNT_PER_BLOCK) without its check, which
    /// [`restore_with_limit`](Self::restore_with_limit) makes once.
    const PER_BLOCK: usize = count_of::<T>(M::BLOCK_SIZE);

    /// Opens the set at `head` after checking its chain of at most 10,000 blocks, the kernel's
    /// limit.
    ///
    /// # Errors
    /// Returns an error if the chain is not valid; the error names the block.
    #[doc(alias = "kho_block_set_restore")]
    pub fn restore(memory: &'m M, head: SetHead<T>) -> Result<Self, RestoreError> {
        Self::restore_with_limit(memory, head, DEFAULT_BLOCK_LIMIT)
    }

    /// Opens the set at `head` after checking its chain of at most `limit` blocks.
    ///
    /// The limit bounds the cost if the memory invents blocks while it is read. A block costs two
    /// reads and, while the table of blocks grows, up to 48 bytes. With [`usize::MAX`] only the
    /// number of addresses and the memory for the table bound it.
    ///
    /// # Errors
    /// Returns an error if the chain is not valid; the error names the block.
    pub fn restore_with_limit(
        memory: &'m M,
        head: SetHead<T>,
        limit: usize,
    ) -> Result<Self, RestoreError> {
        const { assert_fits::<T>(M::BLOCK_SIZE) };
        let mut set = Self {
            memory,
            blocks: SmallVec::new(),
            starts: Starts::new(),
            len: 0,
            entry: PhantomData,
            block_size: PhantomData,
        };
        for info in ChainWalk::with_limit(memory, head.addr(), size_of::<T>(), limit) {
            let info = info.map_err(|error| exact_error(error, set.blocks.iter().copied()))?;
            let error = |kind| RestoreError { addr: info.addr, position: info.position, kind };
            // The header can be read, but the entries may be cut off.
            info.read_entry::<T>(memory, info.count - 1).map_err(|e| error(e.kind.into()))?;
            set.blocks.try_reserve(1).map_err(|_| error(RestoreErrorKind::OutOfMemory))?;
            set.starts
                .add_block(info.position, set.len, Self::PER_BLOCK)
                .map_err(|_| error(RestoreErrorKind::OutOfMemory))?;
            set.blocks.push(info.addr);
            set.len += info.count;
        }
        Ok(set)
    }

    /// Returns the number of entries in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the set has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the addresses of the blocks in the chain, in order.
    #[must_use]
    pub fn blocks(&self) -> &[PhysAddr] {
        &self.blocks
    }

    /// Returns a copy of the entry at `index`, or `None` past the end.
    ///
    /// # Errors
    /// Returns an error if the memory can no longer be read there.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Result<T, ReadError>> {
        if index >= self.len {
            return None;
        }
        let (position, offset) = self.starts.locate(index, Self::PER_BLOCK);
        Some(read_entry(self.memory, self.blocks[position], offset))
    }

    /// Returns an iterator over copies of all entries in order.
    #[must_use]
    pub fn iter(&self) -> ForeignIter<'_, T, M> {
        ForeignIter { set: self, indices: 0..self.len }
    }
}

impl<T: Entry, M: ReadMemory> fmt::Debug for ForeignSet<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignSet")
            .field("len", &self.len)
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl<'a, T: Entry, M: ReadMemory> IntoIterator for &'a ForeignSet<'_, T, M> {
    type Item = Result<T, ReadError>;
    type IntoIter = ForeignIter<'a, T, M>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// An iterator over copies of entries in order, from either end. Made by [`ForeignSet::iter`].
pub struct ForeignIter<'a, T, M> {
    set: &'a ForeignSet<'a, T, M>,
    indices: core::ops::Range<usize>,
}

impl<T, M> Clone for ForeignIter<'_, T, M> {
    fn clone(&self) -> Self {
        Self { set: self.set, indices: self.indices.clone() }
    }
}

impl<T: Entry, M: ReadMemory> Iterator for ForeignIter<'_, T, M> {
    type Item = Result<T, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.set.get(self.indices.next()?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        self.set.get(self.indices.nth(n)?)
    }
}

impl<T: Entry, M: ReadMemory> DoubleEndedIterator for ForeignIter<'_, T, M> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.set.get(self.indices.next_back()?)
    }
}

impl<T: Entry, M: ReadMemory> ExactSizeIterator for ForeignIter<'_, T, M> {}

impl<T: Entry, M: ReadMemory> FusedIterator for ForeignIter<'_, T, M> {}

impl<T, M> fmt::Debug for ForeignIter<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignIter").field("left", &self.indices.len()).finish_non_exhaustive()
    }
}
