//! What each block of a memory is: free, owned or preserved.

use alloc::vec::Vec;
#[cfg(feature = "memfd")]
use core::ops::Range;
use core::ops::RangeInclusive;

use crate::error::{AllocErrorKind, ClaimErrorKind};

/// How many blocks of a memory are free, owned and preserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Blocks that can be allocated before the memory asks the system for more.
    pub free: usize,
    /// Blocks that belong to a set.
    pub owned: usize,
    /// Blocks that were handed over and wait to be claimed.
    pub preserved: usize,
    /// Free blocks in holes of a file, with no memory behind them: it is allocated before they are
    /// given out.
    pub unbacked: usize,
}

/// What a block is, in two bits. Claiming, freeing and handing over change one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Free, with no memory behind it. All bits are 0, so a table of such blocks takes no memory
    /// either.
    #[cfg_attr(not(feature = "memfd"), allow(dead_code))] // the heap has no holes
    Unbacked = 0b00,
    Preserved = 0b01,
    Free = 0b10,
    Owned = 0b11,
}

impl State {
    const ALL: [Self; 4] = [Self::Unbacked, Self::Preserved, Self::Free, Self::Owned];
    const BITS: usize = 2;
    const MASK: u64 = 0b11;
    /// The lower bit of each state in a word.
    const LOW: u64 = 0x5555_5555_5555_5555;

    /// The lower bit of each state in `word` that is this one.
    const fn among(self, word: u64) -> u64 {
        let (high, low) = (word >> 1, word);
        let equal = match self {
            Self::Unbacked => !high & !low,
            Self::Preserved => !high & low,
            Self::Free => high & !low,
            Self::Owned => high & low,
        };
        equal & Self::LOW
    }
}

/// How many states a word has.
const PER_WORD: usize = 64 / State::BITS;

/// The states of a memory's blocks, by the block's number: 2 bits each, so that a restore need not
/// fetch much.
///
/// # Invariants
/// `words` has room for `len` states and no word more; the states after those are `Unbacked`.
pub(super) struct Ledger {
    words: Vec<u64>,
    len: usize,
    /// No block before this one is free.
    first_free: usize,
    /// No block before this one is unbacked.
    #[cfg(feature = "memfd")]
    first_unbacked: usize,
    /// No block from this one on was ever given out.
    fresh: usize,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self {
            words: Vec::new(),
            len: 0,
            first_free: 0,
            #[cfg(feature = "memfd")]
            first_unbacked: 0,
            fresh: 0,
        }
    }

    /// A ledger of `len` unbacked blocks, which may have been given out by somebody else before. It
    /// takes memory for those whose state is changed.
    #[cfg(feature = "memfd")]
    pub(super) fn unbacked(len: usize) -> Result<Self, AllocErrorKind> {
        let words = bytemuck::allocation::try_zeroed_vec(len.div_ceil(PER_WORD))
            .map_err(|()| AllocErrorKind::OutOfMemory)?;
        // The file's holder may have left bytes behind its end, too: no block is fresh, ever.
        Ok(Self { words, len, first_free: len, first_unbacked: 0, fresh: usize::MAX })
    }

    /// Makes room for `count` more blocks.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), AllocErrorKind> {
        let out_of_memory = AllocErrorKind::OutOfMemory;
        let len = self.len.checked_add(count).ok_or(out_of_memory)?;
        let missing = len.div_ceil(PER_WORD) - self.words.len();
        self.words.try_reserve(missing).map_err(|_| out_of_memory)
    }

    /// Adds `count` free blocks.
    pub(super) fn grow(&mut self, count: usize) -> Result<(), AllocErrorKind> {
        self.reserve(count)?;
        let first = self.len;
        self.len += count;
        self.words.resize(self.len.div_ceil(PER_WORD), 0);
        for number in first..self.len {
            self.set(number, State::Free);
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

    /// Changes the state of a block that is not owned.
    #[cfg(feature = "memfd")]
    pub(super) fn change(&mut self, number: usize, from: State, to: State) {
        debug_assert_eq!(self.get(number), Some(from));
        self.set(number, to);
        match to {
            State::Free => self.first_free = self.first_free.min(number),
            State::Unbacked => self.first_unbacked = self.first_unbacked.min(number),
            State::Owned | State::Preserved => {}
        }
    }

    /// The first block from `start` on that is in this state.
    fn find(&self, state: State, start: usize) -> Option<usize> {
        let first = start / PER_WORD;
        let words = self.words.get(first..)?;
        // Blocks before `start` in its word do not count.
        let mut mask = u64::MAX << shift(start);
        let distance = words.iter().position(|word| {
            let found = state.among(*word) & mask != 0;
            if !found {
                mask = u64::MAX;
            }
            found
        })?;
        let bits = state.among(words[distance]) & mask;
        let number = (first + distance) * PER_WORD + bits.trailing_zeros() as usize / State::BITS;
        (number < self.len).then_some(number)
    }

    /// The first unbacked blocks that follow one another, at most `most` of them.
    #[cfg(feature = "memfd")]
    pub(super) fn find_unbacked(&mut self, most: usize) -> Option<Range<usize>> {
        let found = self.find(State::Unbacked, self.first_unbacked);
        self.first_unbacked = found.unwrap_or(self.len);
        let first = found?;
        let end = first.saturating_add(most).min(self.len);
        let end = (first..end).find(|n| self.get(*n) != Some(State::Unbacked)).unwrap_or(end);
        Some(first..end)
    }

    /// Whether a block is free.
    #[cfg(feature = "memfd")]
    pub(super) fn has_free(&self) -> bool {
        self.find(State::Free, self.first_free).is_some()
    }

    /// Makes the free block with the lowest number owned. Returns also whether it was never given
    /// out before.
    #[inline]
    pub(super) fn allocate(&mut self) -> Option<(usize, bool)> {
        let Some(number) = self.find(State::Free, self.first_free) else {
            self.first_free = self.len;
            return None;
        };
        self.set(number, State::Owned);
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
        match self.words.get_mut(number / PER_WORD) {
            // The states behind the last block are `Unbacked`, so this one is before.
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
        self.release(number, State::Free);
        self.first_free = self.first_free.min(number);
    }

    /// Makes an owned block preserved.
    pub(super) fn hand_over(&mut self, number: usize) {
        self.release(number, State::Preserved);
    }

    /// Changes the state of an owned block.
    #[inline]
    fn release(&mut self, number: usize, to: State) {
        debug_assert!(self.get(number) == Some(State::Owned), "only an owned block is given up");
        self.words[number / PER_WORD] ^= (State::Owned as u64 ^ to as u64) << shift(number);
    }

    /// Whether all blocks with these numbers are preserved.
    pub(super) fn all_preserved(&self, mut numbers: RangeInclusive<usize>) -> bool {
        numbers.all(|number| self.get(number) == Some(State::Preserved))
    }

    /// Makes every preserved block free. Returns how many there were.
    pub(super) fn free_preserved(&mut self) -> usize {
        let mut freed = 0;
        for (index, word) in self.words.iter_mut().enumerate() {
            let preserved = State::Preserved.among(*word);
            if preserved != 0 {
                *word ^= preserved * (State::Preserved as u64 ^ State::Free as u64);
                freed += preserved.count_ones() as usize;
                self.first_free = self.first_free.min(index * PER_WORD);
            }
        }
        freed
    }

    pub(super) fn usage(&self) -> Usage {
        let count = |state: State| {
            self.words.iter().map(|word| state.among(*word).count_ones() as usize).sum()
        };
        let (free, owned, preserved) =
            (count(State::Free), count(State::Owned), count(State::Preserved));
        Usage { free, owned, preserved, unbacked: self.len - free - owned - preserved }
    }
}

/// Where in its word the state of a block is.
const fn shift(number: usize) -> usize {
    number % PER_WORD * State::BITS
}
