//! Numbers of two bits, packed into words.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// A vector of numbers from 0 to 3. A word holds 32 of them.
///
/// # Invariants
/// `words` has room for `len` numbers and no word more. The bits after the last number are 0.
pub(super) struct Packed {
    words: Vec<u64>,
    len: usize,
}

const BITS: usize = 2;
const MASK: u64 = 0b11;
const PER_WORD: usize = u64::BITS as usize / BITS;
/// The lower bit of each number in a word.
const LOW_BITS: u64 = u64::MAX / MASK;

impl Packed {
    /// Returns a vector without numbers. Allocates nothing.
    pub(super) const fn new() -> Self {
        Self { words: Vec::new(), len: 0 }
    }

    /// Returns a vector of `len` zeros, which take memory once they are changed.
    #[cfg(feature = "memfd")]
    pub(super) fn zeros(len: usize) -> Option<Self> {
        let words = bytemuck::allocation::try_zeroed_vec(len.div_ceil(PER_WORD)).ok()?;
        Some(Self { words, len })
    }

    /// Returns the number of elements.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Makes room for `additional` more numbers.
    pub(super) fn try_reserve(&mut self, additional: usize) -> Result<(), TryReserveError> {
        let words = self.len.saturating_add(additional).div_ceil(PER_WORD);
        self.words.try_reserve(words - self.words.len())
    }

    /// Appends `number`, `count` times. Room must be reserved.
    pub(super) fn extend(&mut self, count: usize, number: u8) {
        let first = self.len;
        self.len += count;
        self.words.resize(self.len.div_ceil(PER_WORD), 0);
        for index in first..self.len {
            self.set(index, number);
        }
    }

    /// Returns the number at `index`, or `None` past the end.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<u8> {
        let word = self.words.get(index / PER_WORD)?;
        (index < self.len).then_some((word >> shift(index) & MASK) as u8)
    }

    /// Sets the number at `index`, which must exist.
    #[inline]
    pub(super) fn set(&mut self, index: usize, number: u8) {
        debug_assert!(index < self.len);
        let word = &mut self.words[index / PER_WORD];
        *word = *word & !(MASK << shift(index)) | bits(number) << shift(index);
    }

    /// Changes the number at `index`, which must be `from`, to `to`.
    #[inline]
    pub(super) fn change(&mut self, index: usize, from: u8, to: u8) {
        debug_assert_eq!(self.get(index), Some(from));
        // Flipping the bits that differ turns one number into the other.
        self.words[index / PER_WORD] ^= (bits(from) ^ bits(to)) << shift(index);
    }

    /// Changes the number at `index` to `to` if it is `from`. Returns whether it was.
    #[inline]
    pub(super) fn change_if(&mut self, index: usize, from: u8, to: u8) -> bool {
        // After the last number all bits are 0, so only 0 is found there.
        let is_inside = from != 0 || index < self.len;
        match self.words.get_mut(index / PER_WORD) {
            Some(word) if is_inside && *word >> shift(index) & MASK == bits(from) => {
                *word ^= (bits(from) ^ bits(to)) << shift(index);
                true
            }
            _ => false,
        }
    }

    /// Changes each number that is `from` to `to`. Returns how many were changed, and a lower bound
    /// for the index of the first one.
    pub(super) fn change_all(&mut self, from: u8, to: u8) -> (usize, usize) {
        let mut count = 0;
        let mut first = self.len;
        for (index, word) in self.words.iter_mut().enumerate() {
            let found = among(*word, from) & LOW_BITS;
            if found != 0 {
                *word ^= found * (bits(from) ^ bits(to));
                count += found.count_ones() as usize;
                first = first.min(index * PER_WORD);
            }
        }
        (count, first)
    }

    /// Returns the index of the first `number` at or after `start`.
    #[inline]
    pub(super) fn find(&self, number: u8, start: usize) -> Option<usize> {
        let first = start / PER_WORD;
        let words = self.words.get(first..)?;
        // Numbers before `start` in its word do not count.
        let mut mask = u64::MAX << shift(start);
        for (distance, word) in words.iter().enumerate() {
            let found = among(*word, number) & mask;
            if found != 0 {
                let position = found.trailing_zeros() as usize / BITS;
                let index = (first + distance) * PER_WORD + position;
                return (index < self.len).then_some(index);
            }
            mask = u64::MAX;
        }
        None
    }

    /// Returns the number of times that `number` occurs.
    pub(super) fn count(&self, number: u8) -> usize {
        let in_words: usize =
            self.words.iter().map(|word| among(*word, number).count_ones() as usize).sum();
        let after_last = self.words.len() * PER_WORD - self.len;
        if number == 0 { in_words - after_last } else { in_words }
    }
}

/// Returns the lower bit of each place in `word` that holds `number`.
#[inline]
const fn among(word: u64, number: u8) -> u64 {
    // If a number is equal, both of its bits are 0 here.
    let differs = word ^ (LOW_BITS * bits(number));
    !(differs | differs >> 1) & LOW_BITS
}

#[inline]
const fn bits(number: u8) -> u64 {
    debug_assert!(number as u64 <= MASK);
    number as u64
}

/// Returns the position, in bits, of the number at `index` in its word.
#[inline]
const fn shift(index: usize) -> usize {
    index % PER_WORD * BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packed vector that is compared with a vector of bytes after each change.
    struct Pair {
        packed: Packed,
        plain: Vec<u8>,
    }

    impl Pair {
        fn new() -> Self {
            Self { packed: Packed::new(), plain: Vec::new() }
        }

        fn extend(&mut self, count: usize, number: u8) {
            self.packed.try_reserve(count).unwrap();
            self.packed.extend(count, number);
            self.plain.resize(self.plain.len() + count, number);
            self.check();
        }

        fn set(&mut self, index: usize, number: u8) {
            self.packed.set(index, number);
            self.plain[index] = number;
            self.check();
        }

        fn check(&self) {
            let Self { packed, plain } = self;
            assert_eq!(packed.len(), plain.len());
            // Also past the end, in the last word and after it.
            for index in 0..plain.len() + 100 {
                assert_eq!(packed.get(index), plain.get(index).copied(), "at {index}");
            }
            for number in 0..4 {
                let count = plain.iter().filter(|other| **other == number).count();
                assert_eq!(packed.count(number), count);
                for start in 0..plain.len() + 100 {
                    let found = (start..plain.len()).find(|index| plain[*index] == number);
                    assert_eq!(packed.find(number, start), found, "{number} from {start}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_as_in_a_vector() {
        let mut pair = Pair::new();
        pair.check();
        for (count, number) in [(1, 2), (30, 0), (1, 3), (1, 1), (64, 2), (5, 0), (10, 1)] {
            pair.extend(count, number);
        }
        for index in [0, 31, 32, 63, 64, 111] {
            for number in [3, 0, 1, 2] {
                pair.set(index, number);
            }
        }
    }

    #[test]
    fn only_the_expected_number_is_changed() {
        let mut pair = Pair::new();
        pair.extend(40, 1);
        for (from, to) in [(1, 3), (3, 2), (2, 0), (0, 1)] {
            for other in (0..4).filter(|other| *other != from) {
                assert!(!pair.packed.change_if(33, other, to));
                pair.check();
            }
            assert!(pair.packed.change_if(33, from, to));
            pair.packed.change(7, from, to);
            (pair.plain[33], pair.plain[7]) = (to, to);
            pair.check();
        }
        // There is no number past the end, even though the bits there are 0.
        for index in [40, 63, 64, usize::MAX] {
            assert!(!pair.packed.change_if(index, 0, 1));
        }
        pair.check();
    }

    #[test]
    fn all_of_a_number_are_changed() {
        let mut pair = Pair::new();
        pair.extend(70, 2);
        for index in [40, 41, 69] {
            pair.set(index, 1);
        }
        let (count, first) = pair.packed.change_all(1, 3);
        assert_eq!(count, 3);
        assert!((1..=40).contains(&first), "no later than the first, and not far before: {first}");
        pair.plain.iter_mut().filter(|number| **number == 1).for_each(|number| *number = 3);
        pair.check();
        assert_eq!(pair.packed.change_all(1, 2).0, 0);
    }

    #[cfg(feature = "memfd")]
    #[test]
    fn zeros_are_counted() {
        let packed = Packed::zeros(33).unwrap();
        let pair = Pair { packed, plain: [0; 33].to_vec() };
        pair.check();
        assert!(Packed::zeros(usize::MAX).is_none());
    }
}
