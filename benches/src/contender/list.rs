//! `LinkedList`: a node for each entry.

use std::collections::LinkedList;

use super::{Contender, Push, Reversible};
use crate::Sample;

impl<T: Sample> Contender<T> for LinkedList<T> {
    const NAME: &'static str = "LinkedList";

    type Pusher<'a> = &'a mut Self;

    fn growing(_: usize) -> Self {
        Self::new()
    }

    fn with_capacity(_: usize) -> Self {
        Self::new()
    }

    fn pusher(&mut self) -> &mut Self {
        self
    }

    #[inline]
    fn iter(&mut self) -> impl Iterator<Item = &T> {
        Self::iter(self)
    }
}

impl<T: Sample> Reversible<T> for LinkedList<T> {
    #[inline]
    fn reversed(&mut self) -> impl Iterator<Item = &T> {
        Self::iter(self).rev()
    }
}

impl<T> Push<T> for &mut LinkedList<T> {
    #[inline]
    fn push(&mut self, entry: T) {
        self.push_back(entry);
    }
}
