//! Pieces as long as a block, flattened: what a `for` loop over blocks costs without a set.

use super::{Contender, Push};
use crate::Sample;

/// A `Vec` for each block's worth of entries.
pub struct Pieces<T>(Vec<Vec<T>>);

impl<T: Sample> Contender<T> for Pieces<T> {
    const NAME: &'static str = "Vec of Vecs";

    type Pusher<'a> = &'a mut Self;

    fn growing(_: usize) -> Self {
        Self(Vec::new())
    }

    fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len.div_ceil(T::PER_BLOCK)))
    }

    fn pusher(&mut self) -> &mut Self {
        self
    }

    #[inline]
    fn iter(&mut self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

impl<T: Sample> Push<T> for &mut Pieces<T> {
    #[inline]
    fn push(&mut self, entry: T) {
        match self.0.last_mut() {
            Some(piece) if piece.len() < T::PER_BLOCK => piece.push(entry),
            _ => {
                let mut piece = Vec::with_capacity(T::PER_BLOCK);
                piece.push(entry);
                self.0.push(piece);
            }
        }
    }
}
