//! Shared by the integration tests: entries of any size, and a decoder that does not use the
//! library.

// Each test binary uses its own part of this.
#![allow(dead_code, unused_imports)]

mod chain;
mod countable;
mod decode;
mod entries;
mod itself;
mod noted;
mod one;

pub(crate) use chain::preserve_chain;
pub(crate) use countable::Countable;
pub(crate) use decode::{Decoded, decode};
pub(crate) use entries::{Bytes, Wide, Words, bytes_of, sample, samples};
pub(crate) use itself::itself;
pub(crate) use noted::Noted;
pub(crate) use one::OneBlock;
