//! A walk along an untrusted chain, with every check that a restore makes.

use core::fmt;
use core::iter::FusedIterator;

use bytemuck::{Pod, Zeroable};

use crate::abi::{
    BlockHeader, DEFAULT_BLOCK_LIMIT, HEADER_SIZE, assert_block_size, count_per_block,
    countable_blocks,
};
use crate::addr::PhysAddr;
use crate::error::{ReadError, ReadErrorKind, RestoreError, RestoreErrorKind};
use crate::memory::ReadMemory;

/// A checked block of a chain: its address, position, count and link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BlockInfo {
    /// Address of the block.
    pub addr: PhysAddr,
    /// Position of the block in the chain; the first block has 0.
    pub position: usize,
    /// Number of entries in the block: from 1 to as many as fit.
    pub count: usize,
    /// Address of the next block, not yet checked, or null in the last block.
    pub next: PhysAddr,
}

impl BlockInfo {
    /// Reads the entry at `index` in the block from the memory that the chain is in.
    ///
    /// `T` should have the size that the chain was walked with.
    ///
    /// # Errors
    /// Returns an error if the block has no such entry, or if the memory can't be read there.
    pub fn read_entry<T: Pod>(
        &self,
        memory: &impl ReadMemory,
        index: usize,
    ) -> Result<T, ReadError> {
        if index >= self.count {
            return Err(ReadError::new(self.addr, ReadErrorKind::Outside));
        }
        read_entry(memory, self.addr, index)
    }
}

/// Reads the entry at `index` in the block at `addr`.
pub(crate) fn read_entry<T: Pod>(
    memory: &impl ReadMemory,
    addr: PhysAddr,
    index: usize,
) -> Result<T, ReadError> {
    let mut entry = T::zeroed();
    let entry_addr = index
        .checked_mul(size_of::<T>())
        .and_then(|offset| offset.checked_add(HEADER_SIZE))
        .and_then(|offset| addr.checked_add(offset as u64))
        .ok_or(ReadError::new(addr, ReadErrorKind::Outside))?;
    memory.read(entry_addr, bytemuck::bytes_of_mut(&mut entry))?;
    Ok(entry)
}

/// An iterator over the blocks of an untrusted chain. It checks each address before it reads there,
/// and each header before it uses it.
///
/// It returns the blocks in order, and ends at a null link or after the first error. It needs no
/// allocator, and the memory may be hostile or change at any time: a walk keeps a few words, and
/// reads one header for each block up to the limit. It finds a cycle by Brent's method, some laps
/// after the chain first came back. A restore keeps a table of blocks, so its error names the block
/// that the chain came back to.
///
/// ```
/// use kho_block::{ChainWalk, DumpMemory, PhysAddr};
///
/// // Two blocks: 0x2000 with two entries of 8 bytes, linked to 0x1000 with one.
/// let mut first = [0; 4096];
/// first[..8].copy_from_slice(&0x1000_u64.to_ne_bytes());
/// first[8..16].copy_from_slice(&2_u64.to_ne_bytes());
/// let mut last = [0; 4096];
/// last[8..16].copy_from_slice(&1_u64.to_ne_bytes());
/// let mut dump = DumpMemory::new();
/// dump.insert(PhysAddr::new(0x2000), &first[..])?;
/// dump.insert(PhysAddr::new(0x1000), &last[..])?;
///
/// let mut entries = 0;
/// for block in ChainWalk::new(&dump, PhysAddr::new(0x2000), 8) {
///     entries += block?.count;
/// }
/// assert_eq!(entries, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "kho_block_set_restore")]
pub struct ChainWalk<'m, M> {
    memory: &'m M,
    next: PhysAddr,
    check: ChainCheck,
}

impl<'m, M: ReadMemory> ChainWalk<'m, M> {
    /// Starts a walk at the block at `head`, for entries of `entry_size` bytes, along at most
    /// 10,000 blocks, the kernel's limit.
    #[must_use]
    pub fn new(memory: &'m M, head: PhysAddr, entry_size: usize) -> Self {
        Self::with_limit(memory, head, entry_size, DEFAULT_BLOCK_LIMIT)
    }

    /// Starts a walk at the block at `head`, for entries of `entry_size` bytes, along at most
    /// `limit` blocks.
    ///
    /// With [`usize::MAX`], only the number of addresses bounds the walk if the memory invents
    /// blocks while it is read.
    #[must_use]
    pub fn with_limit(memory: &'m M, head: PhysAddr, entry_size: usize, limit: usize) -> Self {
        const { assert_block_size(M::BLOCK_SIZE) };
        let max_count = count_per_block(M::BLOCK_SIZE, entry_size);
        Self { memory, next: head, check: ChainCheck::new(M::BLOCK_SIZE, max_count, limit) }
    }

    fn step(&mut self) -> Result<BlockInfo, RestoreError> {
        let addr = self.next;
        self.check.enter(addr)?;
        let mut header = BlockHeader::zeroed();
        self.memory
            .read(addr, bytemuck::bytes_of_mut(&mut header))
            .map_err(|error| self.check.error(addr, error.kind.into()))?;
        self.check.leave(addr, header)
    }
}

impl<M: ReadMemory> Iterator for ChainWalk<'_, M> {
    type Item = Result<BlockInfo, RestoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next.is_null() {
            return None;
        }
        let step = self.step();
        self.next = step.map_or(PhysAddr::NULL, |info| info.next);
        Some(step)
    }
}

impl<M: ReadMemory> FusedIterator for ChainWalk<'_, M> {}

impl<M> Clone for ChainWalk<'_, M> {
    fn clone(&self) -> Self {
        Self { memory: self.memory, next: self.next, check: self.check.clone() }
    }
}

impl<M> fmt::Debug for ChainWalk<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainWalk").field("next", &self.next).finish_non_exhaustive()
    }
}

/// The checks of a walk, without reading headers. Every restore makes them.
#[derive(Clone)]
pub(crate) struct ChainCheck {
    block_size: usize,
    max_count: usize,
    limit: usize,
    position: usize,
    /// Brent's method: the address of an earlier block. A cycle leads back to it.
    mark: PhysAddr,
    /// The position at which the mark moves on: a power of two.
    next_mark: usize,
}

impl ChainCheck {
    /// Returns the checks of a walk along at most `limit` blocks, and at most [`countable_blocks`],
    /// so that the sum of all counts does not overflow.
    // Inlined, so that the loops that restore know their constants.
    #[inline]
    pub(crate) fn new(block_size: usize, max_count: usize, limit: usize) -> Self {
        let limit = limit.min(countable_blocks(max_count));
        Self { block_size, max_count, limit, position: 0, mark: PhysAddr::NULL, next_mark: 1 }
    }

    /// Returns the position of the block that is entered or left next.
    #[cfg(feature = "alloc")]
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Checks the address of the next block before anything is read there.
    #[inline]
    pub(crate) fn enter(&mut self, addr: PhysAddr) -> Result<(), RestoreError> {
        let kind = if addr == self.mark {
            RestoreErrorKind::Cycle
        } else if self.position >= self.limit {
            RestoreErrorKind::TooLong { limit: self.limit }
        } else if !addr.is_aligned_to(self.block_size) {
            RestoreErrorKind::Misaligned
        } else {
            if self.position == self.next_mark {
                self.mark = addr;
                // No chain is long enough for this to wrap.
                self.next_mark = self.next_mark.wrapping_mul(2);
            }
            return Ok(());
        };
        Err(self.error(addr, kind))
    }

    /// Checks the header of the block that was entered, and moves on to the next.
    #[inline]
    pub(crate) fn leave(
        &mut self,
        addr: PhysAddr,
        header: BlockHeader,
    ) -> Result<BlockInfo, RestoreError> {
        let max = self.max_count;
        if header.count == 0 {
            return Err(self.error(addr, RestoreErrorKind::NoEntries));
        }
        let count = match usize::try_from(header.count) {
            Ok(count) if count <= max => count,
            _ => {
                let kind = RestoreErrorKind::TooManyEntries { count: header.count, max };
                return Err(self.error(addr, kind));
            }
        };
        let info = BlockInfo { addr, position: self.position, count, next: header.next };
        self.position += 1;
        Ok(info)
    }

    /// Returns an error at the current position.
    pub(crate) fn error(&self, addr: PhysAddr, kind: RestoreErrorKind) -> RestoreError {
        RestoreError { addr, position: self.position, kind }
    }
}

/// Returns the exact error of a walk that failed, given the addresses of the blocks it visited.
///
/// Brent's method finds a cycle some laps late, or the limit is reached first. The exact error
/// names the block that the chain first came back to.
// The search is a function of its own that takes no error: if the address of an error were taken,
// the compiler would keep errors in memory, at the cost of some instructions for each block.
#[cfg(feature = "alloc")]
#[inline]
pub(crate) fn exact_error(
    error: RestoreError,
    walked: impl ExactSizeIterator<Item = PhysAddr>,
) -> RestoreError {
    if !matches!(error.kind, RestoreErrorKind::Cycle | RestoreErrorKind::TooLong { .. }) {
        return error;
    }
    match first_repeat(walked, error.addr) {
        Some((addr, position)) => RestoreError { addr, position, kind: RestoreErrorKind::Cycle },
        None => error,
    }
}

/// Returns the first address that a walk visited twice, and the position of the second visit.
/// Returns `None` if there is no such address, or no memory to look for it.
#[cfg(feature = "alloc")]
#[cold]
#[inline(never)]
fn first_repeat(
    walked: impl ExactSizeIterator<Item = PhysAddr>,
    last: PhysAddr,
) -> Option<(PhysAddr, usize)> {
    let mut visits = alloc::vec::Vec::new();
    visits.try_reserve_exact(walked.len() + 1).ok()?;
    visits.extend(walked.chain([last]).enumerate().map(|(position, addr)| (addr, position)));
    visits.sort_unstable();
    visits
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| pair[1])
        .min_by_key(|&(_, position)| position)
}
