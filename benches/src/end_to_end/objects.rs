//! The objects that cross: sessions, which are numbers alone, and a table of processes, which have
//! text and lists.

use std::iter;

use bitcode::{Decode, Encode};
use rkyv::{Archive, Serialize as ToArchive};
use serde::{Deserialize, Serialize};

/// Proof that every field was read: the number of entries, and a sum over their fields.
///
/// It costs little beside the reading. Each field is rotated by a distance of its own, so that
/// swapping two fields changes the digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    entries: u64,
    sum: u64,
}

impl Digest {
    #[inline]
    fn number(&mut self, field: u32, value: impl Into<u64>) {
        self.sum = self.sum.wrapping_add(value.into().rotate_left(field));
    }

    /// Adds text, eight bytes at a time; the bytes that are left are a word with zeros.
    #[inline]
    fn text(&mut self, field: u32, text: &str) {
        let (words, rest) = text.as_bytes().as_chunks();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.number(field, words.fold(last, u64::wrapping_add));
    }
}

/// An object that can be added to a digest.
pub trait Object {
    /// Adds every field.
    fn add_to(&self, digest: &mut Digest);
}

/// A session: 32 bytes, all of them numbers.
#[derive(Clone, Copy, Debug, Decode, Encode, Archive, ToArchive, Deserialize, Serialize)]
pub struct Session {
    /// Number of the session.
    pub id: u64,
    /// Number of its owner.
    pub owner: u64,
    /// Time of its end in nanoseconds.
    pub expires: u64,
    /// Flags, without a meaning here.
    pub flags: u64,
}

impl Object for Session {
    #[inline]
    fn add_to(&self, digest: &mut Digest) {
        digest.entries += 1;
        digest.number(0, self.id);
        digest.number(1, self.owner);
        digest.number(2, self.expires);
        digest.number(3, self.flags);
    }
}

/// A process as a program has it.
pub type LiveProcess = Process<String>;

/// A process, generic over the type of its text.
///
/// Formats that read in place make one without files and mappings, and add those to the digest one
/// by one.
#[derive(Clone, Debug, Decode, Encode, Archive, ToArchive, Deserialize, Serialize)]
pub struct Process<Text> {
    /// Process id.
    pub pid: i32,
    /// Process id of the parent.
    pub parent: i32,
    /// Time of the start in clock ticks since boot.
    pub start_time: u64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Mapped memory in bytes.
    pub virtual_bytes: u64,
    /// State as `ps` shows it.
    pub state: char,
    /// Name of the program.
    pub name: Text,
    /// Open files.
    pub files: Vec<OpenFile<Text>>,
    /// Mappings.
    pub mappings: Vec<Mapping<Text>>,
}

impl<Text: AsRef<str>> Object for Process<Text> {
    #[inline]
    fn add_to(&self, digest: &mut Digest) {
        digest.entries += 1;
        digest.number(4, self.pid.cast_unsigned());
        digest.number(5, self.parent.cast_unsigned());
        digest.number(6, self.start_time);
        digest.number(7, self.resident_bytes);
        digest.number(8, self.virtual_bytes);
        digest.number(9, self.state);
        digest.text(10, self.name.as_ref());
        self.files.iter().for_each(|file| file.add_to(digest));
        self.mappings.iter().for_each(|mapping| mapping.add_to(digest));
    }
}

/// A file that a process has open.
#[derive(Clone, Debug, Decode, Encode, Archive, ToArchive, Deserialize, Serialize)]
pub struct OpenFile<Text> {
    /// Number of the descriptor.
    pub number: u32,
    /// Flags of `open`.
    pub flags: u32,
    /// Offset of the next read.
    pub position: u64,
    /// Path or other target of the descriptor.
    pub target: Text,
}

impl<Text: AsRef<str>> Object for OpenFile<Text> {
    #[inline]
    fn add_to(&self, digest: &mut Digest) {
        digest.entries += 1;
        digest.number(11, self.number);
        digest.number(12, self.flags);
        digest.number(13, self.position);
        digest.text(14, self.target.as_ref());
    }
}

/// A mapped range of a process's addresses.
#[derive(Clone, Debug, Decode, Encode, Archive, ToArchive, Deserialize, Serialize)]
pub struct Mapping<Text> {
    /// First address.
    pub start: u64,
    /// Address after the last one.
    pub end: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Inode of the file.
    pub inode: u64,
    /// Permissions as in `/proc`: `rwxp`.
    pub permissions: Text,
    /// Device as in `/proc`: `major:minor`.
    pub device: Text,
    /// Path of the file; empty for anonymous memory.
    pub path: Text,
}

impl<Text: AsRef<str>> Object for Mapping<Text> {
    #[inline]
    fn add_to(&self, digest: &mut Digest) {
        digest.entries += 1;
        digest.number(15, self.start);
        digest.number(16, self.end);
        digest.number(17, self.offset);
        digest.number(18, self.inode);
        digest.text(19, self.permissions.as_ref());
        digest.text(20, self.device.as_ref());
        digest.text(21, self.path.as_ref());
    }
}

/// Returns `count` sessions, the same ones every time. Some numbers are small, for which some
/// formats take fewer bytes.
#[must_use]
pub fn sessions(count: usize) -> Vec<Session> {
    (0..count as u64)
        .map(|id| Session {
            id,
            owner: mixed(id) >> 40,
            expires: 1_700_000_000_000_000_000 + id * 1_000_003,
            flags: id & 7,
        })
        .collect()
}

/// Returns `count` processes, the same ones every time. They have the shape of a small Linux
/// host's: 8 files and 45 mappings each on average, most of them with a path.
#[must_use]
pub fn processes(count: u32) -> Vec<LiveProcess> {
    (1..=count).map(process).collect()
}

fn process(pid: u32) -> LiveProcess {
    let seed = mixed(u64::from(pid));
    LiveProcess {
        pid: pid.cast_signed(),
        parent: (pid / 4).cast_signed(),
        start_time: seed >> 30,
        resident_bytes: (seed >> 46) << 12,
        virtual_bytes: (seed >> 38) << 12,
        state: if pid.is_multiple_of(16) { 'R' } else { 'S' },
        name: ["systemd", "sshd", "cloud-hypervisor", "bash", "(sd-pam)"][pick(seed, 5)].to_owned(),
        files: iter::zip(0.., seeds(seed)).take(3 + pick(seed, 11)).map(open_file).collect(),
        mappings: iter::zip(0.., seeds(!seed)).take(20 + pick(seed, 49)).map(mapping).collect(),
    }
}

fn open_file((number, seed): (u32, u64)) -> OpenFile<String> {
    let target = match seed % 4 {
        0 => "/dev/null".to_owned(),
        1 => format!("socket:[{}]", seed >> 48),
        2 => "anon_inode:[eventfd]".to_owned(),
        _ => format!("/var/log/journal/{:032x}/system@{:016x}.journal", seed, !seed),
    };
    OpenFile { number, flags: 0o100_002, position: seed >> 50, target }
}

fn mapping((number, seed): (u64, u64)) -> Mapping<String> {
    let start = 0x7f00_0000_0000 + (number << 21);
    let (inode, path) = match seed % 4 {
        0 => (0, String::new()),
        1 => (seed >> 44, "/usr/lib/x86_64-linux-gnu/libc.so.6".to_owned()),
        _ => (seed >> 44, format!("/usr/lib/x86_64-linux-gnu/libexample-{}.so.1", seed >> 54)),
    };
    Mapping {
        start,
        end: start + ((1 + (seed >> 57)) << 12),
        offset: (seed >> 56) << 12,
        inode,
        permissions: ["r--p", "r-xp", "rw-p", "rw-s"][pick(seed, 4)].to_owned(),
        device: if inode == 0 { "00:00" } else { "fe:01" }.to_owned(),
        path,
    }
}

/// Returns numbers that follow from a seed and look random.
fn seeds(seed: u64) -> impl Iterator<Item = u64> {
    (0..).map(move |position| mixed(seed.wrapping_add(position)))
}

/// Returns a number less than `bound`.
fn pick(seed: u64, bound: usize) -> usize {
    usize::try_from(seed >> 33).map_or(0, |number| number % bound)
}

/// Mixes the bits of a number.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (number ^ (number >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
