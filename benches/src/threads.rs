//! The same fold and fill by several threads.

use kho_block::Entries;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Array, Blocks, Memory, Sample};

/// A contender that the threads of rayon's current pool read and write together.
pub trait Parallel<T: Sample>: Array<T> + Send + Sync {
    /// The entries, to be read by all threads.
    fn par_iter(&self) -> impl ParallelIterator<Item = &T>;

    /// Appends entries, for which there is room, in their order.
    fn par_extend(&mut self, entries: impl IndexedParallelIterator<Item = T>);
}

impl<T: Sample> Parallel<T> for Vec<T> {
    fn par_iter(&self) -> impl ParallelIterator<Item = &T> {
        self.as_slice().par_iter()
    }

    fn par_extend(&mut self, entries: impl IndexedParallelIterator<Item = T>) {
        ParallelExtend::par_extend(self, entries);
    }
}

impl<T: Sample, M: Memory> Parallel<T> for Blocks<T, M> {
    fn par_iter(&self) -> impl ParallelIterator<Item = &T> {
        Entries::par_iter(self)
    }

    fn par_extend(&mut self, entries: impl IndexedParallelIterator<Item = T>) {
        self.writer().par_extend(entries).expect("the capacity was reserved");
    }
}

/// A pool of so many threads; the caller is none of them.
///
/// # Panics
/// The system has no more threads.
#[must_use]
pub fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("the system has threads")
}

/// Sums all words of all entries, by all threads of the pool.
#[must_use]
pub fn par_fold<T: Sample, C: Parallel<T>>(pool: &ThreadPool, set: &mut C) -> u64 {
    pool.install(|| set.par_iter().map(T::digest).reduce(|| 0, u64::wrapping_add))
}

/// Pushes `len` entries within the capacity, by all threads of the pool.
pub fn par_fill<T: Sample, C: Parallel<T>>(pool: &ThreadPool, set: &mut C, len: usize) {
    let entries = (0..len).into_par_iter().map(|number| T::numbered(number as u64));
    pool.install(|| set.par_extend(entries));
}

#[cfg(test)]
mod tests {
    use kho_block::{HeapMemory, MemfdMemory};

    use super::*;
    use crate::sample::{for_each_size, special_lens};
    use crate::{fold, numbered, reserve_and_fill};

    fn agrees<T: Sample, C: Parallel<T>>(pool: &ThreadPool, len: usize) {
        let mut set: C = reserve_and_fill(len);
        assert_eq!(par_fold(pool, &mut set), fold(&mut set));
        set.clear();
        par_fill(pool, &mut set, len);
        assert_eq!(set.iter().copied().collect::<Vec<T>>(), numbered::<T>(len));
    }

    fn all_agree<T: Sample>(pool: &ThreadPool) {
        for len in special_lens::<T>() {
            agrees::<T, Vec<T>>(pool, len);
            agrees::<T, Blocks<T, HeapMemory>>(pool, len);
            agrees::<T, Blocks<T, MemfdMemory>>(pool, len);
        }
    }

    #[test]
    fn threads_do_as_one_does() {
        for threads in [1, 2, 5] {
            let pool = pool(threads);
            for_each_size!(all_agree(&pool));
        }
    }
}
