//! Proof that every field was read: a sum, the same for every format, and cheap beside the reading.

use serde::Deserialize;

/// How many entries there are, and a sum over their fields. Each kind of field is rotated by a number
/// of its own, so that two that were swapped show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    entries: u64,
    sum: u64,
}

impl Digest {
    /// The digest of both's entries.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { entries: self.entries + other.entries, sum: self.sum.wrapping_add(other.sum) }
    }

    #[inline]
    fn number(&mut self, field: u32, value: impl Into<u64>) {
        self.sum = self.sum.wrapping_add(value.into().rotate_left(field));
    }

    /// Adds text, eight bytes at a time; what is left of them is a word with zeros.
    #[inline]
    fn text(&mut self, field: u32, text: &str) {
        let (words, rest) = text.as_bytes().as_chunks();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.number(field, words.fold(last, u64::wrapping_add));
    }
}

/// A session as it was read.
#[derive(Clone, Copy, Debug, bitcode::Decode, Deserialize)]
pub struct Session {
    /// Its number.
    pub id: u64,
    /// Whose it is.
    pub owner: u64,
    /// When it ends.
    pub expires: u64,
    /// Its flags.
    pub flags: u64,
}

impl Session {
    /// Adds all fields.
    #[inline]
    pub fn add_to(&self, digest: &mut Digest) {
        digest.entries += 1;
        digest.number(0, self.id);
        digest.number(1, self.owner);
        digest.number(2, self.expires);
        digest.number(3, self.flags);
    }
}

/// A process as it was read, with text where the format has it.
///
/// A format that reads in place makes this of the process's own fields, without files and maps, and
/// adds those as it comes to them.
#[derive(Debug, bitcode::Decode, Deserialize)]
pub struct Process<Text> {
    /// Its id.
    pub pid: i32,
    /// The id of its parent.
    pub parent: i32,
    /// Clock ticks from boot to its start.
    pub start_time: u64,
    /// Memory that it has.
    pub resident_bytes: u64,
    /// Addresses that it has.
    pub virtual_bytes: u64,
    /// The letter that `ps` shows.
    pub state: char,
    /// What it is called.
    pub name: Text,
    /// What it has open.
    pub files: Vec<File<Text>>,
    /// What it has mapped.
    pub maps: Vec<Map<Text>>,
}

impl<Text: AsRef<str>> Process<Text> {
    /// Adds all fields, and the files and maps that are here.
    #[inline]
    pub fn add_to(&self, digest: &mut Digest) {
        digest.entries += 1;
        digest.number(4, self.pid.cast_unsigned());
        digest.number(5, self.parent.cast_unsigned());
        digest.number(6, self.start_time);
        digest.number(7, self.resident_bytes);
        digest.number(8, self.virtual_bytes);
        digest.number(9, self.state);
        digest.text(10, self.name.as_ref());
        for file in &self.files {
            file.add_to(digest);
        }
        for map in &self.maps {
            map.add_to(digest);
        }
    }
}

/// A file as it was read.
#[derive(Debug, bitcode::Decode, Deserialize)]
pub struct File<Text> {
    /// Number of the descriptor.
    pub number: u32,
    /// The flags of `open`.
    pub flags: u32,
    /// Where the next read starts.
    pub position: u64,
    /// What was opened.
    pub target: Text,
}

impl<Text: AsRef<str>> File<Text> {
    /// Adds all fields.
    #[inline]
    pub fn add_to(&self, digest: &mut Digest) {
        digest.entries += 1;
        digest.number(11, self.number);
        digest.number(12, self.flags);
        digest.number(13, self.position);
        digest.text(14, self.target.as_ref());
    }
}

/// A memory map as it was read.
#[derive(Debug, bitcode::Decode, Deserialize)]
pub struct Map<Text> {
    /// Its first address.
    pub start: u64,
    /// The address behind its last.
    pub end: u64,
    /// Where in the file it starts.
    pub offset: u64,
    /// The file's number.
    pub inode: u64,
    /// `rwxp`, as in `/proc`.
    pub permissions: Text,
    /// `major:minor`, as in `/proc`.
    pub device: Text,
    /// What is mapped.
    pub path: Text,
}

impl<Text: AsRef<str>> Map<Text> {
    /// Adds all fields.
    #[inline]
    pub fn add_to(&self, digest: &mut Digest) {
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
