//! Typed linked blocks for Linux Kexec HandOver.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod abi;
mod addr;
mod chain;
mod entry;
mod error;
#[cfg(feature = "alloc")]
mod foreign;
#[cfg(feature = "alloc")]
mod index;
#[allow(unsafe_code)]
mod memory;
#[cfg(feature = "alloc")]
#[allow(unsafe_code)]
mod raw;
#[cfg(feature = "alloc")]
mod reader;
#[cfg(feature = "alloc")]
mod set;
#[cfg(feature = "alloc")]
mod view;
#[cfg(feature = "alloc")]
mod writer;

pub use bytemuck;

pub use addr::{PhysAddr, SetHead};
pub use chain::{Chain, Link};
pub use entry::{Entry, EntryLayout, Field, FieldKind, FieldType};
pub use error::{
    AllocError, AllocErrorKind, ClaimError, ClaimErrorKind, PushError, PushErrorKind, ReadError,
    ReadErrorKind, ReserveError, ReserveErrorKind, RestoreError, RestoreErrorKind,
};
#[cfg(feature = "alloc")]
pub use foreign::{ForeignReader, ForeignSet};
#[cfg(feature = "derive")]
pub use kho_block_derive::Entry;
#[cfg(feature = "testing")]
pub use memory::FaultyMemory;
#[cfg(feature = "alloc")]
pub use memory::{
    BlockMemory, HeapMemory, ImageError, ImageMemory, ReadMemory, StableMemory, Usage,
};
#[cfg(all(feature = "memfd", target_os = "linux"))]
pub use memory::{MemfdError, MemfdMemory, SealError, SealedMemfd};
#[cfg(feature = "alloc")]
pub use raw::{ChunksMut, Entries};
#[cfg(feature = "alloc")]
pub use reader::{Chunks, Reader};
#[cfg(feature = "alloc")]
pub use set::{BlockSet, IterMut};
#[cfg(feature = "alloc")]
pub use view::SetView;
#[cfg(feature = "alloc")]
pub use writer::Writer;
