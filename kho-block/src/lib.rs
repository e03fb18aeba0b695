//! Typed linked blocks for Linux Kexec HandOver (KHO): state that survives a live update,
//! byte-compatible with the kernel's `kho_block`.
//!
//! Linux can start a new kernel while chosen pages keep their content. State crosses in *linked
//! blocks*: page-sized pieces of that memory, each a header of 16 bytes and an array of equal
//! entries, chained by physical address. Whoever holds the address of the first block, the *head*,
//! has the set.
//!
//! ```text
//!  head: SetHead<Session>
//!  │
//!  ▼ 0x69f000                                    ▼ 0xda9000
//!  ┌──────────┬───────┬───────┬─ ─ ─┬───────┐    ┌──────┬───────┬───────┬─────────────────┐
//!  │ next     │ count │ entry │     │ entry │ ┌─►│ next │ count │ entry │ not counted,    │
//!  │ 0xda9000 │ 51    │ 0     │     │ 50    │ │  │ 0    │ 1     │ 51    │ not part of set │
//!  └────┬─────┴───────┴───────┴─ ─ ─┴───────┘ │  └──────┴───────┴───────┴─────────────────┘
//!       └─────────────────────────────────────┘
//! ```
//!
//! # Writing, and handing over
//!
//! ```
//! use bytemuck::{Pod, Zeroable};
//! use kho_block::{BlockSet, Entry, HeapMemory, SetHead, text};
//!
//! #[derive(Clone, Copy, Pod, Zeroable, Entry)]
//! #[repr(C)]
//! #[entry(name = "file", version = 1)]
//! struct File {
//!     token: u64,
//!     offset: u64,
//! }
//!
//! #[derive(Clone, Copy, Pod, Zeroable, Entry)]
//! #[repr(C)]
//! #[entry(name = "session", version = 1)]
//! struct Session {
//!     #[entry(text)]
//!     name: [u8; 32],
//!     files: SetHead<File>, // sets nest
//! }
//!
//! let memory = HeapMemory::new();
//!
//! let mut files = BlockSet::new_in(&memory);
//! files.try_reserve(2)?; // before the freeze: may fail, and then changes nothing
//! let mut writer = files.writer();
//! writer.push_within_capacity(File { token: 7, offset: 0 })?; // during it: never allocates
//! writer.push_within_capacity(File { token: 8, offset: 512 })?;
//! drop(writer); // published
//!
//! let mut sessions = BlockSet::new_in(&memory);
//! sessions.push(Session { name: text::to_field("vm1")?, files: files.hand_over() })?;
//! let head: SetHead<Session> = sessions.hand_over(); // the blocks belong to the successor
//!
//! // The successor knows the head. The types follow from it.
//! let sessions = BlockSet::restore(&memory, head)?;
//! for session in &sessions {
//!     let files = BlockSet::restore(&memory, session.files)?;
//!     assert_eq!(files.iter().map(|file| file.token).sum::<u64>(), 15);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `Pod` and `Zeroable` are bytemuck's: `cargo add bytemuck --features derive`, or give its derive
//! macros the path with `#[bytemuck(crate = "kho_block::bytemuck")]`.
//!
//! # What a chain becomes
//!
//! | over a memory that is | restore as | and get |
//! |---|---|---|
//! | [`BlockMemory`]: the heap, a memfd of our own | [`BlockSet`] | blocks to own: read, write, grow, hand over again |
//! | [`StableMemory`]: a sealed memfd, an image | [`SetView`] | `&T` without a copy, shareable |
//! | [`ReadMemory`]: a live guest, anything | [`ForeignSet`] | entries by value |
//! | [`ReadMemory`], without an allocator | [`ChainWalk`] | the checked blocks, one by one |
//!
//! Restoring is total: a chain from outside, whatever its bytes, gives entries or an error that
//! names the block and the reason, [`RestoreError`]; nothing is claimed after an error.
//!
//! # What writing promises
//!
//! At every instant the chain at the head is valid, and a prefix of what was pushed: entries are
//! written before the count that covers them, a block before the link that reaches it. The head of a
//! set without entries is null; it changes when the first one comes or the last one goes. Blocks that
//! are reserved and hold nothing are not linked, since the kernel refuses an empty block and the
//! whole chain with it. A [`Writer`] that is dropped publishes, also while a panic unwinds.
//!
//! # Features
//!
//! - `std` (default): memories are `Send` and `Sync`; `HeapMemory` asks for huge pages.
//! - `derive` (default): [`derive(Entry)`](macro@Entry).
//! - `alloc`: everything that keeps a table of blocks. Without it there are the traits, the layout
//!   of entries, [`ChainWalk`] and [`SliceMemory`].
//! - `memfd`: `MemfdMemory` and `SealedMemfd`, on Linux.
//! - `rayon`: [`par_iter`](Entries::par_iter), [`par_extend`](Writer::par_extend) and their like, to
//!   read and write a set on several threads.
//! - `testing`: `FaultyMemory`, which runs out of blocks when told to.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(all(feature = "alloc", not(target_has_atomic = "64")))]
compile_error!("the feature `alloc` needs a target with atomic stores of 64 bits");

pub mod abi;
mod addr;
#[cfg(feature = "alloc")]
mod entries;
mod entry;
mod error;
#[cfg(feature = "alloc")]
mod foreign;
mod invariants;
#[allow(unsafe_code)]
mod memory;
#[cfg(feature = "rayon")]
mod parallel;
#[cfg(feature = "alloc")]
#[allow(unsafe_code)]
mod raw;
#[cfg(feature = "alloc")]
mod set;
#[cfg(feature = "alloc")]
mod starts;
pub mod text;
#[cfg(feature = "alloc")]
mod view;
mod walk;

pub use bytemuck;
#[cfg(feature = "derive")]
pub use kho_block_derive::Entry;

pub use addr::{PhysAddr, SetHead};
#[cfg(feature = "alloc")]
pub use entries::{Chunks, Entries, Iter, Reader, Slices};
#[doc(hidden)]
pub use entry::derive as __derive;
pub use entry::{Entry, EntryLayout, Field, FieldKind, FieldType};
pub use error::{
    AllocError, AllocErrorKind, ClaimError, ClaimErrorKind, PushError, PushErrorKind, ReadError,
    ReadErrorKind, ReserveError, ReserveErrorKind, RestoreError, RestoreErrorKind,
};
#[cfg(feature = "alloc")]
pub use foreign::{ForeignIter, ForeignSet};
#[cfg(feature = "testing")]
pub use memory::FaultyMemory;
pub use memory::{BlockMemory, ClaimVisitor, ReadMemory, SliceMemory, StableMemory, claim_each};
#[cfg(feature = "alloc")]
pub use memory::{
    DumpError, DumpMemory, HeapMemory, PageError, PageErrorKind, PageMemory, Usage, split_pages,
};
#[cfg(all(feature = "memfd", target_os = "linux"))]
pub use memory::{FromFdError, MemfdError, MemfdMemory, SealedMemfd};
#[cfg(feature = "rayon")]
pub use parallel::{ParChunks, ParChunksMut, ParIter};
#[cfg(feature = "alloc")]
pub use raw::ChunksMut;
#[cfg(feature = "alloc")]
pub use set::{BlockSet, IterMut, Writer};
#[cfg(feature = "alloc")]
pub use view::SetView;
pub use walk::{BlockInfo, ChainWalk};

/// The README's example, as a test.
#[cfg(all(doctest, feature = "derive", feature = "memfd"))]
#[doc = include_str!("../README.md")]
struct Readme;
