//! `Vec`: the limit for one array.

use std::slice;

use super::{Array, Contender, Cursor, Push, Reversible, Write};
use crate::Sample;

impl<T: Sample> Contender<T> for Vec<T> {
    const NAME: &'static str = "Vec";

    type Pusher<'a> = &'a mut Self;

    fn growing(_: usize) -> Self {
        Self::new()
    }

    fn with_capacity(len: usize) -> Self {
        Self::with_capacity(len)
    }

    fn pusher(&mut self) -> &mut Self {
        self
    }

    #[inline]
    fn iter(&mut self) -> impl Iterator<Item = &T> {
        self.as_slice().iter()
    }
}

impl<T: Sample> Reversible<T> for Vec<T> {
    #[inline]
    fn reversed(&mut self) -> impl Iterator<Item = &T> {
        self.as_slice().iter().rev()
    }
}

impl<T: Sample> Array<T> for Vec<T> {
    type Writer<'a> = VecWriter<'a, T>;

    type Cursor<'a> = VecCursor<'a, T>;

    fn writer(&mut self) -> VecWriter<'_, T> {
        VecWriter { start: self.len(), vec: self }
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn extend_from_slice(&mut self, entries: &[T]) {
        self.extend_from_slice(entries);
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&T> {
        self.as_slice().get(index)
    }

    fn cursor(&self) -> VecCursor<'_, T> {
        VecCursor { all: self, rest: self.as_slice().iter() }
    }

    #[inline]
    fn chunks(&self) -> impl Iterator<Item = &[T]> {
        self.as_slice().chunks(T::PER_BLOCK)
    }
}

impl<T> Push<T> for &mut Vec<T> {
    #[inline]
    fn push(&mut self, entry: T) {
        Vec::push(self, entry);
    }
}

/// Pushes into a `Vec` that has room.
pub struct VecWriter<'a, T> {
    vec: &'a mut Vec<T>,
    start: usize,
}

impl<T> Write<T> for VecWriter<'_, T> {
    #[inline]
    fn write(&mut self, entry: T) {
        self.vec.push(entry);
    }

    fn roll_back(self) {
        self.vec.truncate(self.start);
    }
}

/// Reads a `Vec` from any index on.
pub struct VecCursor<'a, T> {
    all: &'a [T],
    rest: slice::Iter<'a, T>,
}

impl<'a, T> Iterator for VecCursor<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        self.rest.next()
    }
}

impl<'a, T> Cursor<'a, T> for VecCursor<'a, T> {
    #[inline]
    fn seek(&mut self, index: usize) {
        self.rest = self.all[index..].iter();
    }
}
