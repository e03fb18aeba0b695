//! Sets in a set: sessions, each with a set of files.

use std::array;

use bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, SetHead};

use crate::{Bytes64, Memory, Sample};
#[cfg(kho_linux)]
use kho_linux_c::{KernelSessions, KernelSessionsChain};

/// How many files a session has.
pub const FILES: usize = 3;

/// How many sessions the runs have.
pub const SESSIONS: usize = 100_000;

/// A file.
type File = Bytes64;

/// A session. As large as LUO's, with words where LUO has text.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
struct Session {
    name: [u64; 8],
    files: SetHead<File>,
    file_count: u64,
}

/// The words of a session's name follow from its number.
fn name(session: usize) -> [u64; 8] {
    array::from_fn(|position| (session + position) as u64)
}

/// The files of a session; their numbers go on from session to session.
fn files(session: usize) -> impl Iterator<Item = File> {
    let first = (session * FILES) as u64;
    (first..first + FILES as u64).map(File::numbered)
}

/// The sum of all words.
fn digest<'a>(name: &[u64; 8], files: impl Iterator<Item = &'a File>) -> u64 {
    let (sum, count) = files
        .fold((0_u64, 0_u64), |(sum, count), file| (sum.wrapping_add(file.digest()), count + 1));
    name.iter().fold(sum.wrapping_add(count), |sum, word| sum.wrapping_add(*word))
}

/// Sessions with their files.
pub trait Nested {
    /// What the results call it.
    const NAME: &'static str;

    /// What is handed over.
    type Chain: ReadNested;

    /// No sessions, and memory for so many, which may be untouched.
    fn new(sessions: usize) -> Self;

    /// Makes all the sessions, where there are none.
    fn build(&mut self);

    /// Removes all sessions and keeps the memory.
    fn clear(&mut self);

    /// Hands all the sessions over.
    fn hand_over(self) -> Self::Chain;
}

/// Sessions that were handed over.
pub trait ReadNested {
    /// Restores the sessions, then the files of each; sums all words; hands all over again.
    fn restore_and_read(&mut self) -> u64;
}

/// A `Vec` of files for each session in a `Vec`. Restoring it is nothing.
pub struct VecSessions {
    sessions: Vec<VecSession>,
    count: usize,
}

struct VecSession {
    name: [u64; 8],
    files: Vec<File>,
}

impl Nested for VecSessions {
    const NAME: &'static str = "Vec";

    type Chain = Self;

    fn new(sessions: usize) -> Self {
        Self { sessions: Vec::with_capacity(sessions), count: sessions }
    }

    fn build(&mut self) {
        for session in 0..self.count {
            let mut list = Vec::with_capacity(FILES);
            for file in files(session) {
                list.push(file);
            }
            self.sessions.push(VecSession { name: name(session), files: list });
        }
    }

    fn clear(&mut self) {
        self.sessions.clear();
    }

    fn hand_over(self) -> Self {
        self
    }
}

impl ReadNested for VecSessions {
    fn restore_and_read(&mut self) -> u64 {
        self.sessions
            .iter()
            .fold(0, |sum, session| sum.wrapping_add(digest(&session.name, session.files.iter())))
    }
}

/// A set of sessions, and a set of files for each, in one memory.
pub struct SetSessions<M> {
    memory: M,
    sessions: SetHead<Session>,
    count: usize,
}

impl<M: Memory> SetSessions<M> {
    /// A set of one session's files.
    fn files(&self, session: usize) -> SetHead<File> {
        let mut set = BlockSet::new_in(&self.memory);
        set.try_reserve(FILES).expect("the memory has room");
        let mut writer = set.writer();
        for file in files(session) {
            writer.push_within_capacity(file).expect("the capacity was reserved");
        }
        drop(writer);
        set.hand_over()
    }
}

impl<M: Memory> Nested for SetSessions<M> {
    const NAME: &'static str = M::SET;

    type Chain = Self;

    fn new(sessions: usize) -> Self {
        Self { memory: M::create(), sessions: SetHead::EMPTY, count: sessions }
    }

    fn build(&mut self) {
        let mut set = BlockSet::new_in(&self.memory);
        set.try_reserve(self.count).expect("the memory has room");
        let mut writer = set.writer();
        for number in 0..self.count {
            let files = self.files(number);
            let session = Session { name: name(number), files, file_count: FILES as u64 };
            writer.push_within_capacity(session).expect("the capacity was reserved");
        }
        drop(writer);
        self.sessions = set.hand_over();
    }

    fn clear(&mut self) {
        self.memory.free_preserved();
        self.sessions = SetHead::EMPTY;
    }

    fn hand_over(self) -> Self {
        self
    }
}

impl<M: Memory> ReadNested for SetSessions<M> {
    fn restore_and_read(&mut self) -> u64 {
        let sessions = BlockSet::restore(&self.memory, self.sessions).expect("the chain is valid");
        let mut sum = 0_u64;
        for session in &sessions {
            let files = BlockSet::restore(&self.memory, session.files).expect("the chain is valid");
            assert_eq!(files.len() as u64, session.file_count);
            sum = sum.wrapping_add(digest(&session.name, files.iter()));
            // The head stays the same, and the session has it.
            let _ = files.hand_over();
        }
        self.sessions = sessions.hand_over();
        sum
    }
}

#[cfg(kho_linux)]
impl Nested for KernelSessions {
    const NAME: &'static str = crate::KERNEL;

    type Chain = KernelSessionsChain;

    fn new(sessions: usize) -> Self {
        Self::new(sessions, FILES)
    }

    fn build(&mut self) {
        self.build();
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn hand_over(self) -> KernelSessionsChain {
        self.hand_over()
    }
}

#[cfg(kho_linux)]
impl ReadNested for KernelSessionsChain {
    fn restore_and_read(&mut self) -> u64 {
        self.restore_and_read()
    }
}

#[cfg(test)]
mod tests {
    use kho_block::{HeapMemory, MemfdMemory};

    use super::*;

    fn sum<N: Nested>(sessions: usize) -> u64 {
        let mut nested = N::new(sessions);
        nested.build();
        nested.clear();
        nested.build();
        let mut chain = nested.hand_over();
        let sum = chain.restore_and_read();
        assert_eq!(chain.restore_and_read(), sum);
        sum
    }

    #[test]
    fn contenders_agree() {
        for sessions in [1, 50, 51, 52, 1000] {
            let words = |number: usize| 8 * number + 28;
            let expected = (0..sessions).map(|session| words(session) + FILES).sum::<usize>()
                + (0..sessions * FILES).map(words).sum::<usize>();
            let expected = expected as u64;
            assert_eq!(sum::<VecSessions>(sessions), expected);
            assert_eq!(sum::<SetSessions<HeapMemory>>(sessions), expected);
            assert_eq!(sum::<SetSessions<MemfdMemory>>(sessions), expected);
            #[cfg(kho_linux)]
            assert_eq!(sum::<KernelSessions>(sessions), expected);
        }
    }

    #[test]
    fn sessions_are_as_large_as_those_of_luo() {
        assert_eq!([size_of::<Session>(), size_of::<File>()], [80, 64]);
    }
}
