//! The control file, in which the child reports which entries may be found, and which must be.

use std::fmt;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The largest number of entries that a child writes.
pub(crate) const MOST: usize = 2000;

#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// Not 0 once the child is at work.
    Ready,
    Head,
    /// At least this many entries must be found.
    Least,
    /// At most this many of `Ids` may be found.
    Most,
    /// At most this many of `Others` may be found.
    MostOthers,
    /// Steps that the child has finished.
    Steps,
    /// The ids of the entries, by index.
    Ids,
    /// The ids that the entries may have instead: those of a set that is shrinking.
    Others = Word::Ids as isize + MOST as isize,
    End = Word::Others as isize + MOST as isize,
}

/// # Invariants
/// `words` is a shared mapping of the file's first `LEN` bytes, which nothing else unmaps; it is
/// only accessed by atomic operations, here and in the other process.
pub(crate) struct Control {
    words: NonNull<AtomicU64>,
    fd: OwnedFd,
}

const LEN: usize = (Word::End as usize * 8).next_multiple_of(4096);

/// The ids of the entries that were found.
#[derive(PartialEq, Eq)]
pub(crate) struct Seen(pub(crate) Vec<u64>);

/// The entries that may be found.
pub(crate) struct Allowed {
    least: usize,
    lists: [Vec<u64>; 2],
}

impl Allowed {
    pub(crate) fn contains(&self, seen: &Seen) -> bool {
        seen.0.len() >= self.least && self.lists.iter().any(|list| list.starts_with(&seen.0))
    }
}

impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.lists.each_ref().map(Vec::len);
        write!(f, "where {} to {most:?} are allowed", self.least)
    }
}

impl Control {
    pub(crate) fn create() -> Self {
        let fd = memfd_create("control", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&fd, LEN as u64).unwrap();
        Self::map(fd)
    }

    /// Opens the same file in the child.
    pub(crate) fn inherited() -> Self {
        Self::map(std::io::stderr().as_fd().try_clone_to_owned().unwrap())
    }

    fn map(fd: OwnedFd) -> Self {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without a fixed address the kernel maps where nothing else is.
        let words = unsafe { mmap(ptr::null_mut(), LEN, protection, MapFlags::SHARED, &fd, 0) };
        Self { words: NonNull::new(words.unwrap().cast()).unwrap(), fd }
    }

    /// Returns a descriptor that writes after the words, for panic messages of the child.
    pub(crate) fn messages(&self) -> OwnedFd {
        let mut file = File::from(self.fd.try_clone().unwrap());
        file.seek(SeekFrom::Start(LEN as u64)).unwrap();
        file.into()
    }

    pub(crate) fn read_messages(&self) -> String {
        let file = File::from(self.fd.try_clone().unwrap());
        let len = file.metadata().unwrap().len() as usize - LEN;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, LEN as u64).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < LEN / 8);
        // SAFETY: inside the mapping.
        let word = unsafe { self.words.add(index) };
        // SAFETY: mapped while `self` lives and accessed by atomic operations only (the type's
        // invariant); the bytes of a file are initialised.
        unsafe { word.as_ref() }
    }

    pub(crate) fn get(&self, word: Word) -> u64 {
        self.word(word as usize).load(SeqCst)
    }

    pub(crate) fn set(&self, word: Word, value: u64) {
        self.word(word as usize).store(value, SeqCst);
    }

    pub(crate) fn set_list(&self, list: Word, from: usize, ids: &[u64]) {
        assert!(from + ids.len() <= MOST);
        for (index, id) in (from..).zip(ids) {
            self.word(list as usize + index).store(*id, SeqCst);
        }
    }

    /// Returns the last report of the child.
    pub(crate) fn allowed(&self) -> Allowed {
        let list = |list: Word, most| {
            (0..self.get(most) as usize)
                .map(|index| self.word(list as usize + index).load(SeqCst))
                .collect()
        };
        let lists = [list(Word::Ids, Word::Most), list(Word::Others, Word::MostOthers)];
        Allowed { least: self.get(Word::Least) as usize, lists }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's (the type's invariant), and no borrow of it is left.
        unsafe { munmap(self.words.as_ptr().cast(), LEN) }.unwrap();
    }
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }
}
