//! From live objects, by bytes in a memfd, to a successor that has read every entry: kho-block
//! beside the formats that one would use instead.
//!
//! In all of them the predecessor seals the file. The successor gets nothing but the descriptor,
//! maps the file as a `SealedMemfd`, checks what the format can check, and reads every field of
//! every entry into a [`Digest`]. Each format is used in the fastest sensible way, which its module
//! describes.
//!
//! One thing differs: kho-block's blocks are in huge pages, which its memory asks for. The files of
//! the others have the pages that a memfd has by default. [`Zerocopy<true>`] shows the difference.

mod bitcode;
mod entries;
mod format;
mod kho_block;
mod objects;
mod output;
mod rkyv;
mod serde;
#[cfg(test)]
mod tests;
mod zerocopy;

pub use bitcode::Bitcode;
pub use format::{Crossing, Format, cross};
pub use kho_block::KhoBlock;
pub use objects::{
    Digest, LiveProcess, Mapping, Object, OpenFile, Process, Session, processes, sessions,
};
pub use output::Output;
pub use rkyv::Rkyv;
pub use serde::{Postcard, SerdeJson};
pub use zerocopy::Zerocopy;
