//! `typed-arena`: pieces of memory, each larger than the one before, that entries never move out of.

use typed_arena::Arena;

use super::{Contender, Push};
use crate::Sample;

impl<T: Sample> Contender<T> for Arena<T> {
    const NAME: &'static str = "typed-arena";

    type Pusher<'a> = &'a Self;

    fn growing(_: usize) -> Self {
        Self::new()
    }

    fn with_capacity(len: usize) -> Self {
        Self::with_capacity(len)
    }

    fn pusher(&mut self) -> &Self {
        self
    }

    #[inline]
    fn iter(&mut self) -> impl Iterator<Item = &T> {
        self.iter_mut().map(|entry| &*entry)
    }
}

impl<T> Push<T> for &Arena<T> {
    #[inline]
    fn push(&mut self, entry: T) {
        self.alloc(entry);
    }
}
