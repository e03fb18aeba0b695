//! What is measured, as the workloads see it: collections of entries.
//!
//! | trait | who has it |
//! |---|---|
//! | [`Contender`] | all: grows by pushing, is read in order |
//! | [`Reversible`] | all but the arena and the pieces: is read from the end |
//! | [`Array`] | `Vec` and the sets: room ahead, bulk copies, indices, slices |
//!
//! The kernel's C code has its own loops, in C, and is no contender in this sense.

mod arena;
mod list;
mod pieces;
mod set;
mod vec;

use crate::Sample;

pub use pieces::Pieces;
pub use set::{Blocks, Memory, block_limit};
pub use typed_arena::Arena;
pub use vec::{VecCursor, VecWriter};

/// A collection of entries that are pushed, and read in order.
pub trait Contender<T: Sample>: Sized {
    /// What the results call it.
    const NAME: &'static str;

    /// What entries are pushed into.
    type Pusher<'a>: Push<T>
    where
        Self: 'a;

    /// An empty collection without room, in memory of its own, that may grow to `most` entries.
    fn growing(most: usize) -> Self;

    /// An empty collection in memory of its own, with room for `len` entries if it can have such.
    fn with_capacity(len: usize) -> Self;

    /// Starts pushing behind the last entry.
    fn pusher(&mut self) -> Self::Pusher<'_>;

    /// The entries in order. By `&mut`, for an arena lends its entries in no other way.
    fn iter(&mut self) -> impl Iterator<Item = &T>;
}

/// A contender that can be read from its end.
pub trait Reversible<T: Sample>: Contender<T> {
    /// The entries, last one first.
    fn reversed(&mut self) -> impl Iterator<Item = &T>;
}

/// A contender that has room ahead, and an index.
pub trait Array<T: Sample>: Reversible<T> {
    /// What writes where there is room.
    type Writer<'a>: Write<T>
    where
        Self: 'a;

    /// What reads from any index on.
    type Cursor<'a>: Cursor<'a, T>
    where
        Self: 'a;

    /// Starts writing behind the last entry.
    fn writer(&mut self) -> Self::Writer<'_>;

    /// Removes all entries, and keeps the room.
    fn clear(&mut self);

    /// Appends copies of entries, for which there is room.
    fn extend_from_slice(&mut self, entries: &[T]);

    /// The entry at `index`.
    fn get(&self, index: usize) -> Option<&T>;

    /// A cursor at the first entry.
    fn cursor(&self) -> Self::Cursor<'_>;

    /// The entries in order, a slice of a block's length at a time.
    fn chunks(&self) -> impl Iterator<Item = &[T]>;
}

/// Takes entries.
pub trait Push<T> {
    /// Appends an entry, and grows the collection where it has to.
    fn push(&mut self, entry: T);
}

/// Takes entries, for which there is room.
pub trait Write<T> {
    /// Appends an entry.
    fn write(&mut self, entry: T);

    /// Takes back all that it was given.
    fn roll_back(self);
}

/// Reads in order, from any index on.
pub trait Cursor<'a, T: 'a>: Iterator<Item = &'a T> {
    /// Moves to the entry at `index`.
    fn seek(&mut self, index: usize);
}
