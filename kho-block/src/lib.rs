//! Typed state that survives a live update of Linux (Kexec HandOver), for virtual machine monitors
//! and other programs, in blocks that are byte-compatible with those of the kernel's `kho_block.c`.
//!
//! ```
//! use bytemuck::{Pod, Zeroable};
//! use kho_block::{BlockSet, Entry, HeapMemory};
//!
//! #[derive(Clone, Copy, Pod, Zeroable, Entry)]
//! #[repr(C)]
//! #[entry(name = "memory-slot", version = 1)]
//! struct MemorySlot { guest: u64, host: u64, len: u64, flags: u64 }
//!
//! let memory = HeapMemory::new(); // for tests; `MemfdMemory` crosses `exec` and a live update
//! let mut set = BlockSet::new_in(&memory);
//! set.try_reserve(1000)?; // while the guest runs: may fail, but then changes nothing
//!
//! let mut writer = set.writer(); // while it is stopped: never allocates
//! for number in 0..1000 {
//!     let slot = MemorySlot { guest: number << 30, host: 0, len: 1 << 30, flags: 0 };
//!     writer.push_within_capacity(slot)?;
//! }
//! drop(writer); // publishes the last block
//! let head = set.hand_over(); // 8 bytes of plain data; the blocks stay in the memory
//!
//! let set = BlockSet::restore(&memory, head)?; // the successor: every block is checked
//! assert_eq!(set[999].guest, 999 << 30);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `Pod` and `Zeroable` come from bytemuck: run `cargo add bytemuck --features derive`, or point
//! its derive macros to the copy in this crate with `#[bytemuck(crate = "kho_block::bytemuck")]`.
//!
//! A [`SetHead`] can also be a field of an entry, which nests one set in another.
//!
//! # Which type to read a chain with
//!
//! | memory | type | access |
//! |---|---|---|
//! | [`BlockMemory`]: the heap, a private memfd | [`BlockSet`] | reads, writes, grows, hands over |
//! | [`StableMemory`]: a sealed memfd, a dump | [`SetView`] | reads in place, shared by threads |
//! | [`ReadMemory`]: a live guest, any file | [`ForeignSet`] | reads copies of entries |
//! | [`ReadMemory`], without an allocator | [`ChainWalk`] | checks one block after another |
//!
//! It is safe to restore any bytes. The result is a set, or a [`RestoreError`] that names the block
//! and the reason. After an error no block is claimed.
//!
//! # How it works
//!
//! Linux can start a new kernel and preserve chosen pages. State crosses in *linked blocks*:
//! preserved pages, each with a header of 16 bytes and an array of entries of one type, chained by
//! physical address. The address of the first block, the *head*, leads to the whole set.
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
//! At every instant the chain at the head is valid and holds a prefix of what was pushed: entries
//! are written before the count that covers them, and a block before the link to it. The head of an
//! empty set is null. It is set when the first block is published, and null again once the last
//! entry is removed. Reserved blocks that hold no entries are not linked, since the kernel refuses
//! a chain with an empty block. A [`Writer`] publishes when it is dropped, even while a panic
//! unwinds.
//!
//! # Features
//!
//! - `std` (default): memories are `Send` and `Sync`, and `HeapMemory` asks for huge pages.
//! - `derive` (default): [`derive(Entry)`](macro@Entry).
//! - `alloc`: sets and views, which keep a table of blocks. Without it the crate has the memory
//!   traits, the layout of entries, [`ChainWalk`] and [`SliceMemory`].
//! - `memfd`: `MemfdMemory` and `SealedMemfd`, on Linux.
//! - `rayon`: [`par_iter`](Entries::par_iter), [`par_extend`](Writer::par_extend) and others, which
//!   read and write a set on several threads.
//! - `testing`: `FaultyMemory`, which runs out of blocks on request.
//!
//! # References
//!
//! Linux: [`Documentation/core-api/kho`](https://docs.kernel.org/core-api/kho/index.html),
//! `include/linux/kho/abi/block.h`, `kernel/liveupdate/kho_block.c`.
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
