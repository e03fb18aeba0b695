//! The work that each collection does. No workload is inlined, so that it is compiled in the same
//! way for every caller.

use crate::{Array, Cursor, Memory, Sample, Set, Write};

/// Appends `len` entries, one by one. The collection must have room for them.
#[inline(never)]
pub fn fill<T: Sample, C: Array<T>>(set: &mut C, len: usize) {
    let mut writer = set.writer();
    for number in 0..len as u64 {
        writer.write(T::numbered(number));
    }
}

/// Appends `len` entries, one by one, each made in place.
///
/// # Panics
/// If the set can't grow.
#[inline(never)]
pub fn fill_with<T: Sample, M: Memory>(set: &mut Set<T, M>, len: usize) {
    let mut writer = set.writer();
    for number in 0..len as u64 {
        writer.push_with(|| T::numbered(number)).expect("the capacity was reserved");
    }
}

/// Appends `len` entries, one by one, and rolls back.
#[inline(never)]
pub fn roll_back<T: Sample, C: Array<T>>(set: &mut C, len: usize) {
    let mut writer = set.writer();
    for number in 0..len as u64 {
        writer.write(T::numbered(number));
    }
    writer.roll_back();
}

/// Removes all entries and appends `len` others, one by one.
#[inline(never)]
pub fn rewrite<T: Sample, C: Array<T>>(set: &mut C, len: usize) {
    set.clear();
    fill(set, len);
}

/// Returns a collection of `len` entries.
#[must_use]
pub fn filled<T: Sample, C: Array<T>>(len: usize) -> C {
    let mut set = C::with_capacity(len);
    fill(&mut set, len);
    set
}

/// Appends copies of all entries of a slice, in one call. The collection must have room for them.
#[inline(never)]
pub fn bulk_append<T: Sample, C: Array<T>>(set: &mut C, entries: &[T]) {
    set.extend_from_slice(entries);
}

/// Copies bytes to memory that was written before: the limit for writing.
///
/// # Panics
/// If the slices have different lengths.
#[inline(never)]
pub fn copy<T: Sample>(to: &mut [T], from: &[T]) {
    to.copy_from_slice(from);
}

/// Sums all words in a `for` loop.
#[inline(never)]
#[must_use]
pub fn for_loop<T: Sample, C: Array<T>>(set: &mut C) -> u64 {
    let mut sum = 0_u64;
    for entry in set.iter() {
        sum = sum.wrapping_add(entry.digest());
    }
    sum
}

/// Counts the entries that hold an address, in a `for` loop. Compilers hardly vectorise this one.
#[inline(never)]
#[must_use]
pub fn for_count<T: Sample, C: Array<T>>(set: &mut C, address: u64) -> usize {
    let mut count = 0;
    for entry in set.iter() {
        if entry.holds(address) {
            count += 1;
        }
    }
    count
}

/// Sums all words by `Iterator::fold`.
#[inline(never)]
#[must_use]
pub fn fold<T: Sample, C: Array<T>>(set: &mut C) -> u64 {
    set.iter().fold(0, |sum, entry| sum.wrapping_add(entry.digest()))
}

/// Sums all words in two nested loops: over slices of a block's length, and over the entries of
/// each.
#[inline(never)]
#[must_use]
pub fn chunks<T: Sample, C: Array<T>>(set: &mut C) -> u64 {
    let mut sum = 0_u64;
    for chunk in set.chunks() {
        for entry in chunk {
            sum = sum.wrapping_add(entry.digest());
        }
    }
    sum
}

/// Sums all words in a `for` loop from the last entry to the first.
#[inline(never)]
#[must_use]
pub fn reverse<T: Sample, C: Array<T>>(set: &mut C) -> u64 {
    let mut sum = 0_u64;
    for entry in set.reversed() {
        sum = sum.wrapping_add(entry.digest());
    }
    sum
}

/// Sums one word of each entry that is looked up.
///
/// # Panics
/// If an index is not in the collection.
#[inline(never)]
#[must_use]
pub fn gather<T: Sample, C: Array<T>>(set: &mut C, indices: &[usize]) -> u64 {
    let mut sum = 0_u64;
    for index in indices {
        let entry = set.get(*index).expect("the index is in the collection");
        sum = sum.wrapping_add(entry.tag());
    }
    sum
}

/// Sums one word of each entry that a cursor is moved to.
///
/// # Panics
/// If an index is not in the collection.
#[inline(never)]
#[must_use]
pub fn seek<T: Sample, C: Array<T>>(set: &mut C, indices: &[usize]) -> u64 {
    let mut sum = 0_u64;
    let mut cursor = set.cursor();
    for index in indices {
        cursor.seek(*index);
        let entry = cursor.next().expect("the index is in the collection");
        sum = sum.wrapping_add(entry.tag());
    }
    sum
}

/// Returns the entries that [`fill`] appends.
#[must_use]
pub fn numbered<T: Sample>(len: usize) -> Vec<T> {
    (0..len as u64).map(T::numbered).collect()
}

/// Returns `count` indices less than `len`, the same ones every time.
///
/// # Panics
/// If `len` is 0, since no index is less.
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
    use crate::sample::special_lens;
    use crate::{Bytes80, MemorySlot};

    /// Each workload leaves and returns what follows from the entries alone.
    fn does_its_work<T: Sample, C: Array<T>>() {
        for len in special_lens::<T>() {
            let expected = numbered::<T>(len);
            let sum = expected.iter().fold(0_u64, |sum, entry| sum.wrapping_add(entry.digest()));
            let mut set: C = filled(len);
            let holds = |set: &C| assert!(set.iter().eq(expected.as_slice()), "{} {len}", C::NAME);
            holds(&set);
            rewrite(&mut set, len);
            holds(&set);
            assert_eq!(for_loop(&mut set), sum);
            assert_eq!(fold(&mut set), sum);
            assert_eq!(chunks(&mut set), sum);
            assert_eq!(reverse(&mut set), sum);
            assert!(set.reversed().eq(expected.as_slice().iter().rev()));
            assert!(set.chunks().flatten().eq(&expected));
            assert!(set.chunks().all(|chunk| (1..=T::PER_BLOCK).contains(&chunk.len())));
            if len > 0 {
                let indices = random_indices(100, len);
                let tags = indices.iter().map(|index| expected[*index].tag());
                let sum = tags.fold(0_u64, u64::wrapping_add);
                assert_eq!([gather(&mut set, &indices), seek(&mut set, &indices)], [sum; 2]);
            }
            set.clear();
            roll_back(&mut set, len);
            assert_eq!((set.iter().count(), set.get(0)), (0, None));
            bulk_append(&mut set, &expected);
            holds(&set);
        }
    }

    #[test]
    fn every_collection_does_every_work() {
        does_its_work::<_, Vec<MemorySlot>>();
        does_its_work::<_, Set<MemorySlot, HeapMemory>>();
        does_its_work::<_, Set<MemorySlot, MemfdMemory>>();
        does_its_work::<_, Vec<Bytes80>>();
        does_its_work::<_, Set<Bytes80, MemfdMemory>>();
    }

    #[test]
    fn entries_made_in_place_are_equal() {
        for len in special_lens::<Bytes80>() {
            let mut set = Set::<Bytes80, HeapMemory>::with_capacity(len);
            fill_with(&mut set, len);
            assert!(set.iter().eq(&numbered(len)));
        }
    }

    #[test]
    fn every_collection_counts_alike() {
        fn counts<C: Array<MemorySlot>>() -> [usize; 3] {
            let mut set: C = filled(1000);
            [0, 999 << 21, 1000 << 21].map(|address| for_count(&mut set, address))
        }
        assert_eq!(counts::<Vec<_>>(), [1, 1, 0]);
        assert_eq!(counts::<Set<_, HeapMemory>>(), [1, 1, 0]);
    }

    #[test]
    fn a_copy_is_one() {
        let from = numbered::<MemorySlot>(1000);
        let mut to = vec![MemorySlot::numbered(0); 1000];
        copy(&mut to, &from);
        assert_eq!(to, from);
    }

    #[test]
    fn indices_are_inside_and_differ() {
        let indices = random_indices(1000, 127);
        assert!(indices.iter().all(|index| *index < 127));
        assert!(indices.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
