//! Sets in a set, in C.

use std::ffi::c_int;
use std::ptr::NonNull;

/// `struct bench_nested` of `c/nested.c`: a set of sessions, the sets of their files, and an arena.
#[repr(C)]
struct BenchNested {
    _private: [u8; 0],
}

// All take a value of `bench_nested_new` that was not deleted, which no other thread uses meanwhile.
unsafe extern "C" {
    fn bench_nested_new(room: usize, most: usize) -> *mut BenchNested;
    fn bench_nested_delete(nested: *mut BenchNested);
    fn bench_nested_clear(nested: *mut BenchNested);
    // There are no sessions.
    fn bench_nested_build(nested: *mut BenchNested, file_count: u64) -> bool;
    fn bench_nested_hand_over(nested: *mut BenchNested) -> u64;
    // The head is what `bench_nested_hand_over` returned for the same value.
    fn bench_nested_restore_and_read(nested: *mut BenchNested, head: u64, sum: *mut u64) -> c_int;
}

/// A `struct kho_block_set` of sessions, each with a set of files, alone in their memory.
///
/// # Invariants
/// The pointer came from `bench_nested_new`, was not deleted, and nobody else has it.
pub struct KernelSessions {
    raw: NonNull<BenchNested>,
    files: usize,
}

/// Sessions in a block, of 80 bytes each.
const SESSIONS_PER_BLOCK: usize = 51;

/// Files in a block, of 64 bytes each.
const FILES_PER_BLOCK: usize = 63;

impl KernelSessions {
    /// No sessions, and a memory that has room for so many of so many files each.
    ///
    /// # Panics
    /// There is no such memory.
    #[must_use]
    pub fn new(sessions: usize, files: usize) -> Self {
        let blocks_of_files = sessions * files.div_ceil(FILES_PER_BLOCK);
        let blocks = sessions.div_ceil(SESSIONS_PER_BLOCK) + blocks_of_files;
        // SAFETY: the function takes any numbers.
        let raw = unsafe { bench_nested_new(blocks, sessions) };
        Self { raw: NonNull::new(raw).expect("there is memory"), files }
    }

    /// Makes all the sessions, in place of those that are there.
    ///
    /// The words of a session's name are its number and the seven numbers after it; so are all eight
    /// of a file, whose number goes on from session to session.
    ///
    /// # Panics
    /// A set would have more than 10,000 blocks.
    pub fn build(&mut self) {
        self.clear();
        // SAFETY: by the invariant the value is there and this thread's alone; it was just cleared.
        let built = unsafe { bench_nested_build(self.raw.as_ptr(), self.files as u64) };
        assert!(built, "a set can't grow");
    }

    /// Frees all blocks: `kho_block_set_destroy` of each set.
    pub fn clear(&mut self) {
        // SAFETY: by the invariant the value is there and this thread's alone.
        unsafe { bench_nested_clear(self.raw.as_ptr()) };
    }

    /// The kernel ends: what it knew of the sets is freed, the pages stay.
    #[must_use]
    pub fn hand_over(self) -> KernelSessionsChain {
        // SAFETY: by the invariant the value is there and this thread's alone.
        let head = unsafe { bench_nested_hand_over(self.raw.as_ptr()) };
        KernelSessionsChain { sessions: self, head }
    }
}

impl Drop for KernelSessions {
    fn drop(&mut self) {
        // SAFETY: by the invariant the value is there; it is not used after this.
        unsafe { bench_nested_delete(self.raw.as_ptr()) };
    }
}

/// The chain of sessions that were handed over, and their memory.
///
/// # Invariants
/// `head` is what `bench_nested_hand_over` returned for `sessions`.
pub struct KernelSessionsChain {
    sessions: KernelSessions,
    head: u64,
}

impl KernelSessionsChain {
    /// Restores the sessions and each one's files, and sums the words of names and files and the
    /// numbers of files. Then the sets are forgotten again, and the pages stay for the next time.
    ///
    /// # Panics
    /// C refuses the chain.
    #[must_use]
    pub fn restore_and_read(&mut self) -> u64 {
        let mut sum = 0;
        let nested = self.sessions.raw.as_ptr();
        // SAFETY: by the invariants the value is there, this thread's alone, and the head is its own.
        let result = unsafe { bench_nested_restore_and_read(nested, self.head, &mut sum) };
        assert_eq!(result, 0, "C refuses its own chain");
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of eight numbers from this one on.
    fn words(number: u64) -> u64 {
        8 * number + 28
    }

    #[test]
    fn c_reads_the_sessions_it_wrote() {
        for [sessions, files] in [[1, 1], [51, 3], [52, 3], [1000, 3], [10, 64], [10, 0]] {
            let expected = (0..sessions).map(|session| words(session) + files).sum::<u64>()
                + (0..sessions * files).map(words).sum::<u64>();
            let [sessions, files] =
                [sessions, files].map(|count| usize::try_from(count).expect("small"));
            let mut built = KernelSessions::new(sessions, files);
            built.build();
            built.build();
            let mut chain = built.hand_over();
            assert_eq!(chain.restore_and_read(), expected);
            assert_eq!(chain.restore_and_read(), expected);
        }
    }
}
