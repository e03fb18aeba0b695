//! What each block of a memory is: free, owned or preserved.

use alloc::vec::Vec;

use crate::error::{AllocErrorKind, ClaimErrorKind};

/// How many blocks of a memory are free, owned and preserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Blocks that can be allocated before the memory has to grow.
    pub free: usize,
    /// Blocks that belong to a set.
    pub owned: usize,
    /// Blocks that were handed over and wait to be claimed.
    pub preserved: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Free, and all bytes are known to be zero.
    #[cfg_attr(not(feature = "memfd"), allow(dead_code))] // the heap is never known to be
    Zeroed,
    /// Free, with bytes of any value.
    Dirty,
    Owned,
    Preserved,
}

/// The states of a memory's blocks, one byte each, by the block's number.
pub(super) struct Ledger {
    states: Vec<State>,
    /// No block before this one is free.
    first_free: usize,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self { states: Vec::new(), first_free: 0 }
    }

    /// Makes room for `count` more blocks.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), AllocErrorKind> {
        self.states.try_reserve(count).map_err(|_| AllocErrorKind::OutOfMemory)
    }

    /// Adds `count` blocks in the same state.
    pub(super) fn grow(&mut self, count: usize, state: State) -> Result<(), AllocErrorKind> {
        self.reserve(count)?;
        self.states.resize(self.states.len() + count, state);
        Ok(())
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Makes the free block with the lowest number owned; also tells what it was.
    pub(super) fn allocate(&mut self) -> Option<(usize, State)> {
        let is_free = |state: &State| matches!(state, State::Zeroed | State::Dirty);
        let Some(distance) = self.states[self.first_free..].iter().position(is_free) else {
            self.first_free = self.states.len();
            return None;
        };
        let number = self.first_free + distance;
        self.first_free = number + 1;
        Some((number, core::mem::replace(&mut self.states[number], State::Owned)))
    }

    /// Makes a preserved block owned.
    #[inline]
    pub(super) fn claim(&mut self, number: usize) -> Result<(), ClaimErrorKind> {
        match self.states.get_mut(number) {
            None => Err(ClaimErrorKind::Outside),
            Some(State::Zeroed | State::Dirty) => Err(ClaimErrorKind::NotPreserved),
            Some(State::Owned) => Err(ClaimErrorKind::Owned),
            Some(state) => {
                *state = State::Owned;
                Ok(())
            }
        }
    }

    /// Makes an owned block free.
    pub(super) fn free(&mut self, number: usize) {
        self.release(number, State::Dirty);
        self.first_free = self.first_free.min(number);
    }

    /// Makes an owned block preserved.
    pub(super) fn hand_over(&mut self, number: usize) {
        self.release(number, State::Preserved);
    }

    fn release(&mut self, number: usize, to: State) {
        debug_assert!(self.states[number] == State::Owned, "only an owned block is given up");
        self.states[number] = to;
    }

    /// Whether all blocks with these numbers are preserved.
    pub(super) fn all_preserved(&self, numbers: core::ops::RangeInclusive<usize>) -> bool {
        self.states
            .get(numbers)
            .is_some_and(|states| states.iter().all(|state| *state == State::Preserved))
    }

    /// Makes every preserved block free; says how many there were.
    pub(super) fn free_preserved(&mut self) -> usize {
        let mut freed = 0;
        for state in &mut self.states {
            if *state == State::Preserved {
                *state = State::Dirty;
                freed += 1;
            }
        }
        if freed > 0 {
            self.first_free = 0;
        }
        freed
    }

    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for state in &self.states {
            match state {
                State::Zeroed | State::Dirty => usage.free += 1,
                State::Owned => usage.owned += 1,
                State::Preserved => usage.preserved += 1,
            }
        }
        usage
    }
}
