//! What is done to each contender.

use crate::{Contender, MemorySlot, Push};

/// Replaces what is in the collection by `len` slots, for which it has room.
pub fn fill<C: Contender>(set: &mut C, len: usize) {
    set.clear();
    let mut pusher = set.pusher();
    for number in 0..len as u64 {
        pusher.push(MemorySlot::numbered(number));
    }
}

/// Makes a collection of `len` slots, in memory that nobody has touched.
#[must_use]
pub fn reserve_and_fill<C: Contender>(len: usize) -> C {
    let mut set = C::with_capacity(len);
    fill(&mut set, len);
    set
}

/// Sums over a `for` loop.
#[must_use]
pub fn for_loop<C>(set: &C) -> u64
where
    for<'a> &'a C: IntoIterator<Item = &'a MemorySlot>,
{
    let mut sum = 0_u64;
    for slot in set {
        sum = sum.wrapping_add(slot.digest());
    }
    sum
}

/// Counts the slots that hold a guest address, in a `for` loop. Unlike [`for_loop`] it can hardly be
/// done with vectors, whatever is looped over.
#[must_use]
pub fn for_count<C>(set: &C, address: u64) -> usize
where
    for<'a> &'a C: IntoIterator<Item = &'a MemorySlot>,
{
    let mut count = 0;
    for slot in set {
        if slot.guest <= address && address - slot.guest < slot.len {
            count += 1;
        }
    }
    count
}

/// Sums by `fold`.
#[must_use]
pub fn fold<C: Contender>(set: &C) -> u64 {
    set.iter().fold(0, |sum, slot| sum.wrapping_add(slot.digest()))
}

/// Sums over slices of a block's length.
#[must_use]
pub fn chunks<C: Contender>(set: &C) -> u64 {
    let mut sum = 0_u64;
    for chunk in set.chunks() {
        for slot in chunk {
            sum = sum.wrapping_add(slot.digest());
        }
    }
    sum
}

/// Sums one field of the slots at some indices.
///
/// # Panics
/// An index is not in the collection.
#[must_use]
pub fn gather<C: Contender>(set: &C, indices: &[usize]) -> u64 {
    let mut sum = 0_u64;
    for index in indices {
        let slot = set.get(*index).expect("the index is in the collection");
        sum = sum.wrapping_add(slot.host);
    }
    sum
}

/// As many indices less than `len`, the same ones every time.
///
/// # Panics
/// `len` is 0, and no index is less.
#[must_use]
pub fn random_indices(count: usize, len: usize) -> Vec<usize> {
    // Marsaglia's xorshift, 64 bits.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % len as u64).expect("less than a `usize`")
    };
    (0..count).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use kho_block::{HeapMemory, MemfdMemory};

    use super::*;
    use crate::{Blocks, SLOTS_PER_BLOCK};

    /// What each workload comes to.
    fn results<C: Contender>(len: usize) -> [u64; 5]
    where
        for<'a> &'a C: IntoIterator<Item = &'a MemorySlot>,
    {
        let mut set = reserve_and_fill::<C>(len);
        fill(&mut set, len);
        let count = set.iter().count() as u64;
        let indices = random_indices(100, len);
        let last = set.get(len - 1).expect("the last slot").guest;
        assert_eq!([for_count(&set, last), for_count(&set, last + (1 << 21))], [1, 0]);
        [count, for_loop(&set), fold(&set), chunks(&set), gather(&set, &indices)]
    }

    #[test]
    fn contenders_agree() {
        for len in [1, SLOTS_PER_BLOCK - 1, SLOTS_PER_BLOCK, SLOTS_PER_BLOCK + 1, 10_000] {
            let expected = results::<Vec<MemorySlot>>(len);
            assert_eq!(expected[0], len as u64);
            assert_eq!(expected[1], expected[2]);
            assert_eq!(expected[1], expected[3]);
            assert_eq!(results::<Blocks<HeapMemory>>(len), expected, "{len} on the heap");
            assert_eq!(results::<Blocks<MemfdMemory>>(len), expected, "{len} in a memfd");
        }
    }

    #[test]
    fn indices_are_inside_and_differ() {
        let indices = random_indices(1000, 127);
        assert!(indices.iter().all(|index| *index < 127));
        assert!(indices.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
