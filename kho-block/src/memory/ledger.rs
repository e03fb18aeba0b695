//! The states of a memory's blocks: free, owned or preserved.

#[cfg(feature = "memfd")]
use core::ops::Range;
use core::ops::RangeInclusive;

use super::packed::Packed;
use crate::error::{AllocErrorKind, ClaimErrorKind};

/// The number of a memory's blocks in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// Number of blocks that can be allocated before the memory asks the system for more.
    pub free: usize,
    /// Number of blocks that have an owner, such as a set.
    pub owned: usize,
    /// Number of blocks that were handed over and not yet claimed.
    pub preserved: usize,
    /// Number of free blocks in holes of a file. Such a block gets memory before it is allocated.
    pub unbacked: usize,
}

/// The state of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Free, in a hole of a file. All bits are 0, so a ledger of such blocks takes no memory
    /// either.
    #[cfg_attr(not(feature = "memfd"), allow(dead_code))] // the heap has no holes
    Unbacked,
    Preserved,
    Free,
    Owned,
}

/// The states of a memory's blocks, by the block's number.
///
/// A state takes 2 bits, so that a restore reads little.
pub(super) struct Ledger {
    states: Packed,
    /// No block before this one is free.
    first_free: usize,
    /// No block before this one is unbacked.
    #[cfg(feature = "memfd")]
    first_unbacked: usize,
    /// No block from this one on was ever given out.
    fresh: usize,
}

impl Ledger {
    /// Returns a ledger without blocks.
    pub(super) const fn new() -> Self {
        Self {
            states: Packed::new(),
            first_free: 0,
            #[cfg(feature = "memfd")]
            first_unbacked: 0,
            fresh: 0,
        }
    }

    /// Returns a ledger of `len` unbacked blocks, which may have been in use before. The ledger
    /// takes memory only as states change.
    #[cfg(feature = "memfd")]
    pub(super) fn unbacked(len: usize) -> Result<Self, AllocErrorKind> {
        let states = Packed::zeros(len).ok_or(AllocErrorKind::OutOfMemory)?;
        // A former user may have left bytes even after the end of the file, so no block is ever
        // fresh.
        Ok(Self { states, first_free: len, first_unbacked: 0, fresh: usize::MAX })
    }

    /// Makes room for `count` more blocks.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), AllocErrorKind> {
        self.states.try_reserve(count).map_err(|_| AllocErrorKind::OutOfMemory)
    }

    /// Adds `count` free blocks.
    pub(super) fn grow(&mut self, count: usize) -> Result<(), AllocErrorKind> {
        self.reserve(count)?;
        self.states.extend(count, State::Free as u8);
        Ok(())
    }

    /// Returns the number of blocks.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    #[inline]
    fn is(&self, number: usize, state: State) -> bool {
        self.states.get(number) == Some(state as u8)
    }

    /// Changes the state of a block that is not owned.
    #[cfg(feature = "memfd")]
    pub(super) fn change(&mut self, number: usize, from: State, to: State) {
        self.states.change(number, from as u8, to as u8);
        match to {
            State::Free => self.first_free = self.first_free.min(number),
            State::Unbacked => self.first_unbacked = self.first_unbacked.min(number),
            State::Owned | State::Preserved => {}
        }
    }

    /// Returns the first run of unbacked blocks, up to `most` of them.
    #[cfg(feature = "memfd")]
    pub(super) fn find_unbacked(&mut self, most: usize) -> Option<Range<usize>> {
        let found = self.states.find(State::Unbacked as u8, self.first_unbacked);
        self.first_unbacked = found.unwrap_or(self.len());
        let first = found?;
        let mut end = first;
        while end - first < most && self.is(end, State::Unbacked) {
            end += 1;
        }
        Some(first..end)
    }

    /// Returns whether a block is free.
    #[cfg(feature = "memfd")]
    pub(super) fn has_free(&self) -> bool {
        self.states.find(State::Free as u8, self.first_free).is_some()
    }

    /// Makes the free block with the lowest number owned. Returns its number, and whether it is
    /// fresh: never given out before.
    #[inline]
    pub(super) fn allocate(&mut self) -> Option<(usize, bool)> {
        let Some(number) = self.states.find(State::Free as u8, self.first_free) else {
            self.first_free = self.len();
            return None;
        };
        self.states.change(number, State::Free as u8, State::Owned as u8);
        self.first_free = number + 1;
        let is_fresh = number >= self.fresh;
        if is_fresh {
            self.fresh = number + 1;
        }
        Some((number, is_fresh))
    }

    /// Makes a preserved block owned.
    #[inline]
    pub(super) fn claim(&mut self, number: usize) -> Result<(), ClaimErrorKind> {
        if self.states.change_if(number, State::Preserved as u8, State::Owned as u8) {
            Ok(())
        } else {
            Err(self.why_not_preserved(number))
        }
    }

    #[cold]
    fn why_not_preserved(&self, number: usize) -> ClaimErrorKind {
        if number >= self.len() {
            ClaimErrorKind::Outside
        } else if self.is(number, State::Owned) {
            ClaimErrorKind::Owned
        } else {
            ClaimErrorKind::NotPreserved
        }
    }

    /// Makes an owned block free.
    #[inline]
    pub(super) fn free(&mut self, number: usize) {
        self.release(number, State::Free);
        self.first_free = self.first_free.min(number);
    }

    /// Makes an owned block preserved.
    #[inline]
    pub(super) fn hand_over(&mut self, number: usize) {
        self.release(number, State::Preserved);
    }

    #[inline]
    fn release(&mut self, number: usize, to: State) {
        self.states.change(number, State::Owned as u8, to as u8);
    }

    /// Returns whether all blocks with these numbers are preserved.
    pub(super) fn all_preserved(&self, mut numbers: RangeInclusive<usize>) -> bool {
        numbers.all(|number| self.is(number, State::Preserved))
    }

    /// Frees every preserved block and returns their number.
    pub(super) fn free_preserved(&mut self) -> usize {
        let (freed, first) = self.states.change_all(State::Preserved as u8, State::Free as u8);
        self.first_free = self.first_free.min(first);
        freed
    }

    /// Returns the number of blocks in each state.
    pub(super) fn usage(&self) -> Usage {
        let count = |state| self.states.count(state as u8);
        Usage {
            free: count(State::Free),
            owned: count(State::Owned),
            preserved: count(State::Preserved),
            unbacked: count(State::Unbacked),
        }
    }
}
