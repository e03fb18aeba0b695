//! What is done to each contender: each workload once, a function that is not inlined, so that it is
//! compiled alike wherever it is called from.

use crate::{Array, Contender, Cursor, Push, Reversible, Sample, Write};

/// Every workload that is measured: its name in the results, and what it is.
pub const WORKLOADS: &[(&str, &str)] = &[
    (
        "push",
        "An empty collection with room, in memory that was written before, gets its entries one by \
         one. Emptying it is not timed. memcpy copies all of them at once and reads an array \
         besides.",
    ),
    (
        "push with growth",
        "A new collection in a new memory gets its entries one by one and grows as it has to. \
         Timed with all allocations, the first touch of the memory and, for a memfd, making it; \
         not with freeing. An allocation of 1 MiB or more comes fresh from the system.",
    ),
    ("reserve and push", "The same with one reservation of all the room before the first entry."),
    (
        "bulk append",
        "An empty collection with room, in memory that was written before, gets all its entries \
         from one slice, in one call. Emptying it is not timed.",
    ),
    ("for", "A `for` loop sums all words of all entries."),
    (
        "for, count",
        "A `for` loop counts the entries whose range holds an address: two fields decide, which \
         compilers hardly turn into vector instructions.",
    ),
    ("fold", "`Iterator::fold` sums all words of all entries."),
    (
        "chunks",
        "Two nested loops sum all words: over slices of a block's length, and over the entries of \
         each.",
    ),
    ("reverse", "A `for` loop from the last entry to the first sums all words."),
    ("random get", "10,000 times the entry at a random index, of which one word is summed."),
    (
        "seek",
        "10,000 times a reader is moved to a random index and reads one entry, of which one word \
         is summed.",
    ),
    ("rewrite", "A full collection is cleared and gets as many entries again, one by one."),
    (
        "roll back",
        "An empty collection with room gets its entries one by one; then all are taken back.",
    ),
    (
        "restore",
        "A chain that was handed over is walked, checked and claimed. Handing it over again is not \
         timed. The pointer chase follows the same links in the same kind of memory and checks \
         alignment and count; it claims nothing and keeps no table.",
    ),
    (
        "restore, cold",
        "The same after other data has taken the place of the chain in the processor's caches.",
    ),
    (
        "restore and read, cold",
        "The same, and then a fold sums all words. A `Vec` has nothing to restore and shows what \
         reading alone costs.",
    ),
    ("hand over", "A set gives its blocks to the successor. Restoring them before is not timed."),
    (
        "nested",
        "100,000 sessions of 80 bytes with a set of three files of 64 bytes each are made, in memory \
         that was used before. A `Vec` has one `Vec` of files for each session.",
    ),
    (
        "nested, restore and read",
        "The outer set is restored, then each inner one, and all words of all sessions and files \
         are summed. Handing over again is not timed. A `Vec` is read where it is.",
    ),
    (
        "fold on threads",
        "All words of all entries are summed: by `fold` on one thread, by rayon on two.",
    ),
    (
        "fill on threads",
        "An empty collection with room, in memory that was written before, gets its entries: one by \
         one on one thread, by rayon's `par_extend` on two. Emptying it is not timed.",
    ),
];

/// Pushes `len` entries within the capacity. The capacity is for the caller to see to.
#[inline(never)]
pub fn fill<T: Sample, C: Array<T>>(set: &mut C, len: usize) {
    let mut writer = set.writer();
    for number in 0..len as u64 {
        writer.write(T::numbered(number));
    }
}

/// Pushes `len` entries and takes them back.
#[inline(never)]
pub fn roll_back<T: Sample, C: Array<T>>(set: &mut C, len: usize) {
    let mut writer = set.writer();
    for number in 0..len as u64 {
        writer.write(T::numbered(number));
    }
    writer.roll_back();
}

/// Removes all entries and pushes `len` others within the capacity.
#[inline(never)]
pub fn rewrite<T: Sample, C: Array<T>>(set: &mut C, len: usize) {
    set.clear();
    fill(set, len);
}

/// Pushes `len` entries. Where there is no room the collection grows.
#[inline(never)]
pub fn push<T: Sample, C: Contender<T>>(set: &mut C, len: usize) {
    let mut pusher = set.pusher();
    for number in 0..len as u64 {
        pusher.push(T::numbered(number));
    }
}

/// Makes a collection of `len` entries that grows as it has to.
#[must_use]
pub fn grow_and_push<T: Sample, C: Contender<T>>(len: usize) -> C {
    let mut set = C::growing(len);
    push(&mut set, len);
    set
}

/// Makes a collection of `len` entries as well as it can, for others to read.
#[must_use]
pub fn filled<T: Sample, C: Contender<T>>(len: usize) -> C {
    let mut set = C::with_capacity(len);
    push(&mut set, len);
    set
}

/// Makes a collection of `len` entries with room for all of them from the start.
#[must_use]
pub fn reserve_and_fill<T: Sample, C: Array<T>>(len: usize) -> C {
    let mut set = C::with_capacity(len);
    fill(&mut set, len);
    set
}

/// Appends copies of all entries of a slice, for which there is room.
#[inline(never)]
pub fn bulk_append<T: Sample, C: Array<T>>(set: &mut C, entries: &[T]) {
    set.extend_from_slice(entries);
}

/// The limit of writing: a copy of as many bytes to memory that was written before.
///
/// # Panics
/// The slices are not of one length.
#[inline(never)]
pub fn copy<T: Sample>(to: &mut [T], from: &[T]) {
    to.copy_from_slice(from);
}

/// Sums over a `for` loop.
#[inline(never)]
#[must_use]
pub fn for_loop<T: Sample, C: Contender<T>>(set: &mut C) -> u64 {
    let mut sum = 0_u64;
    for entry in set.iter() {
        sum = sum.wrapping_add(entry.digest());
    }
    sum
}

/// Counts the entries that hold an address, in a `for` loop. Unlike [`for_loop`] it can hardly be
/// done with vectors, whatever is looped over.
#[inline(never)]
#[must_use]
pub fn for_count<T: Sample, C: Contender<T>>(set: &mut C, address: u64) -> usize {
    let mut count = 0;
    for entry in set.iter() {
        if entry.holds(address) {
            count += 1;
        }
    }
    count
}

/// Sums by `fold`.
#[inline(never)]
#[must_use]
pub fn fold<T: Sample, C: Contender<T>>(set: &mut C) -> u64 {
    set.iter().fold(0, |sum, entry| sum.wrapping_add(entry.digest()))
}

/// Sums over slices of a block's length.
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

/// Sums over a `for` loop from the last entry to the first.
#[inline(never)]
#[must_use]
pub fn reverse<T: Sample, C: Reversible<T>>(set: &mut C) -> u64 {
    let mut sum = 0_u64;
    for entry in set.reversed() {
        sum = sum.wrapping_add(entry.digest());
    }
    sum
}

/// Sums one word of the entries at some indices.
///
/// # Panics
/// An index is not in the collection.
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

/// Sums one word of the entries at some indices, which one reader is moved to.
///
/// # Panics
/// An index is not in the collection.
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

/// Entries to append, as [`fill`] pushes them.
#[must_use]
pub fn numbered<T: Sample>(len: usize) -> Vec<T> {
    (0..len as u64).map(T::numbered).collect()
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
mod tests;
