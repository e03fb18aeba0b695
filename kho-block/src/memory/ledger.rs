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

/// What a block is, in two bits, of which the upper says whether it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Owned = 0b00,
    Preserved = 0b01,
    /// Free, and all bytes are known to be zero.
    #[cfg_attr(not(feature = "memfd"), allow(dead_code))] // the heap is never known to be
    Zeroed = 0b10,
    /// Free, with bytes of any value.
    Dirty = 0b11,
}

impl State {
    const ALL: [Self; 4] = [Self::Owned, Self::Preserved, Self::Zeroed, Self::Dirty];
    const BITS: usize = 2;
    const MASK: u64 = 0b11;
    /// The bit of each state in a word that says whether the block is free.
    const FREE: u64 = 0xaaaa_aaaa_aaaa_aaaa;
}

/// How many states a word has.
const PER_WORD: usize = 64 / State::BITS;

/// The states of a memory's blocks, by the block's number: 2 bits each, so that a restore need not
/// fetch much.
///
/// # Invariants
/// `words` has room for `len` states and no word more; the states after those are `Owned`, so that
/// they are never found.
pub(super) struct Ledger {
    words: Vec<u64>,
    len: usize,
    /// No block before this one is free.
    first_free: usize,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self { words: Vec::new(), len: 0, first_free: 0 }
    }

    /// Makes room for `count` more blocks.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), AllocErrorKind> {
        let out_of_memory = AllocErrorKind::OutOfMemory;
        let len = self.len.checked_add(count).ok_or(out_of_memory)?;
        let missing = len.div_ceil(PER_WORD) - self.words.len();
        self.words.try_reserve(missing).map_err(|_| out_of_memory)
    }

    /// Adds `count` blocks in the same state.
    pub(super) fn grow(&mut self, count: usize, state: State) -> Result<(), AllocErrorKind> {
        self.reserve(count)?;
        let first = self.len;
        self.len += count;
        self.words.resize(self.len.div_ceil(PER_WORD), 0);
        for number in first..self.len {
            self.set(number, state);
        }
        Ok(())
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn get(&self, number: usize) -> Option<State> {
        let bits = self.words.get(number / PER_WORD)? >> shift(number) & State::MASK;
        (number < self.len).then(|| State::ALL[bits as usize])
    }

    #[inline]
    fn set(&mut self, number: usize, state: State) {
        let word = &mut self.words[number / PER_WORD];
        *word = *word & !(State::MASK << shift(number)) | (state as u64) << shift(number);
    }

    /// The free block with the lowest number.
    fn find_free(&mut self) -> Option<usize> {
        let first = self.first_free / PER_WORD;
        // No block before `first_free` is free, so the whole word may be looked at.
        let in_words = self.words[first.min(self.words.len())..]
            .iter()
            .position(|word| word & State::FREE != 0);
        let Some(distance) = in_words else {
            self.first_free = self.len;
            return None;
        };
        let word = first + distance;
        let bit = (self.words[word] & State::FREE).trailing_zeros() as usize;
        Some(word * PER_WORD + bit / State::BITS)
    }

    /// Makes the free block with the lowest number owned; also tells what it was.
    pub(super) fn allocate(&mut self) -> Option<(usize, State)> {
        let number = self.find_free()?;
        let state = self.get(number)?;
        self.set(number, State::Owned);
        self.first_free = number + 1;
        Some((number, state))
    }

    /// Makes a preserved block owned.
    #[inline]
    pub(super) fn claim(&mut self, number: usize) -> Result<(), ClaimErrorKind> {
        match self.words.get_mut(number / PER_WORD) {
            // The states behind the last block are `Owned`, so this one is before.
            Some(word) if *word >> shift(number) & State::MASK == State::Preserved as u64 => {
                *word ^= (State::Preserved as u64 ^ State::Owned as u64) << shift(number);
                Ok(())
            }
            _ => Err(self.why_not(number)),
        }
    }

    /// Why a block can't be claimed that is not preserved.
    #[cold]
    fn why_not(&self, number: usize) -> ClaimErrorKind {
        match self.get(number) {
            None => ClaimErrorKind::Outside,
            Some(State::Owned) => ClaimErrorKind::Owned,
            Some(_) => ClaimErrorKind::NotPreserved,
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
        debug_assert!(self.get(number) == Some(State::Owned), "only an owned block is given up");
        self.set(number, to);
    }

    /// Whether all blocks with these numbers are preserved.
    pub(super) fn all_preserved(&self, mut numbers: core::ops::RangeInclusive<usize>) -> bool {
        numbers.all(|number| self.get(number) == Some(State::Preserved))
    }

    /// Makes every preserved block free; says how many there were.
    pub(super) fn free_preserved(&mut self) -> usize {
        let mut freed = 0;
        for number in 0..self.len {
            if self.get(number) == Some(State::Preserved) {
                self.set(number, State::Dirty);
                self.first_free = self.first_free.min(number);
                freed += 1;
            }
        }
        freed
    }

    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for state in (0..self.len).filter_map(|number| self.get(number)) {
            match state {
                State::Owned => usage.owned += 1,
                State::Preserved => usage.preserved += 1,
                State::Zeroed | State::Dirty => usage.free += 1,
            }
        }
        usage
    }
}

/// Where in its word the state of a block is.
const fn shift(number: usize) -> usize {
    number % PER_WORD * State::BITS
}
