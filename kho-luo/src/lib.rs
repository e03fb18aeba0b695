//! State and files that survive a kernel update, through Linux's Live Update Orchestrator (LUO).
//!
//! A live update starts a new kernel by kexec while chosen memory keeps its contents. LUO, new in
//! Linux 6.19, lets user space take part. A process creates a named *session* at `/dev/liveupdate`
//! and preserves files in it under *tokens*. After the update, its successor retrieves the session
//! by its name and the files by their tokens, and finishes the session. If the session is closed
//! before the update, nothing is handed over.
//!
//! ```text
//!  old kernel                                        new kernel
//!  LiveUpdate::open()                                LiveUpdate::open()
//!  └─ create_session("vm1") ─► Session               └─ retrieve_session("vm1") ─► Session
//!     ├─ preserve_fd(&fd, token)        kexec           ├─ retrieve_fd(token) ─► OwnedFd
//!     └─ seal_and_preserve_memfd(       ────────►         ├─ retrieve_sealed_memfd(token)
//!            memory, head, token)                       │    ─► (SealedMemfd, SetHead)
//!                                                       └─ finish()
//! ```
//!
//! # The state of a process
//!
//! A process preserves its own state as sets of typed entries in a memfd: see [`kho_block`]. One
//! call preserves the memfd and one retrieves it, each together with the head of a set
//! ([`MemfdHead`]).
//!
//! ```no_run
//! use kho_block::{BlockSet, Entry, MemfdMemory, SetView};
//! # use kho_block::bytemuck::{Pod, Zeroable};
//! use kho_luo::LiveUpdate;
//!
//! #[derive(Clone, Copy, Pod, Zeroable, Entry)]
//! #[repr(C)]
//! #[entry(name = "memory-slot", version = 1)]
//! struct MemorySlot {
//!     guest: u64,
//!     len: u64,
//! }
//!
//! // Before the update.
//! let memory = MemfdMemory::new("vm1")?;
//! let mut slots = BlockSet::new_in(&memory);
//! slots.push(MemorySlot { guest: 0, len: 0x8000_0000 })?;
//! let head = slots.hand_over();
//! let session = LiveUpdate::open()?.create_session("vm1")?;
//! session.seal_and_preserve_memfd(memory, head, 1)?; // Keep the session open until the update.
//!
//! // After it.
//! let session = LiveUpdate::open()?.retrieve_session("vm1")?;
//! let (memory, head) = session.retrieve_sealed_memfd::<MemorySlot, 4096>(1)?;
//! let slots = SetView::restore(&memory, head)?;
//! assert_eq!(slots[0].len, 0x8000_0000);
//! session.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A successor that has to change the state retrieves a memfd that was preserved
//! [unsealed](Session::preserve_memfd).
//!
//! # The state that LUO hands over
//!
//! The kernel hands over sessions and files as linked blocks. [`LuoState`] reads and verifies them
//! in any [`ReadMemory`](kho_block::ReadMemory), such as a dump or the memory of a guest. It finds
//! them through [KHO's device tree](KhoTree), for which it can [search](LuoState::find).
//!
//! Whatever the bytes are, the result is a [`LuoState`] or a [`StateError`] that names the block,
//! session or file; [`LuoState::inspect`] returns both. Faults are ordered by how badly the new
//! kernel reacts to them ([`Severity`]). State that is valid but may be fatal gives a [`Warning`].
//! KHO's [`PreservedMap`] tells which pages the new kernel keeps.
//!
//! [`write_sessions`] writes such blocks, into pages of your choice if the memory is a
//! [`PageMemory`](kho_block::PageMemory). The structures are in [`abi`].
//!
//! # Supported kernels
//!
//! The structures are those of Linux 7.2, version `luo-v5` under `kho-v4`. Another version is
//! refused with an error that names it. The requests to the kernel are those of
//! `linux/liveupdate.h` since Linux 6.19.
//!
//! The kernel has to be built with `CONFIG_KEXEC_HANDOVER` and `CONFIG_LIVEUPDATE` (and
//! `CONFIG_LIVEUPDATE_MEMFD` for memfds), and booted with `kho=on liveupdate=on`. Otherwise
//! [`LiveUpdate::open`] returns an error that says so. KHO requires a 64-bit machine, and so does
//! this crate.
//!
//! # Unsafe code
//!
//! Two modules contain unsafe code: the one that makes the requests to the kernel, and the one with
//! [`Session::retrieve_memfd`], which is itself unsafe.
#![cfg_attr(docsrs, feature(doc_cfg))]

// Each module imports only from modules that are above it in this list.
//
//     report, name         how errors are shown; names in fields
//     abi                  the structures in memory
//     tree, preserved      KHO's device tree and map of preserved memory
//     error, warning       what can be wrong with LUO's state
//     severity, faults     how bad a fault is; the list of the worst
//     state                LUO's state as it was read
//     verify               reads it and checks it
//     find, read           searches for it; the functions of `LuoState`
//     write                writes it
//     live                 `/dev/liveupdate`: error, ioctl, session, then device and memfd

// The parser of device trees adds 32-bit lengths to offsets. That can't overflow a 64-bit `usize`.
#[cfg(not(target_pointer_width = "64"))]
compile_error!("kho-luo is for 64-bit machines, as Kexec HandOver is");

pub mod abi;
mod error;
mod faults;
mod find;
#[cfg(target_os = "linux")]
mod live;
mod name;
mod preserved;
mod read;
mod report;
mod severity;
mod state;
mod tree;
mod verify;
mod warning;
mod write;

pub use abi::{FlbHeader, LuoFile, LuoFlb, LuoRoot, LuoSession};
pub use error::{
    FileErrorKind, FlbErrorKind, RootErrorKind, SessionErrorKind, StateError, StatePart,
};
#[cfg(target_os = "linux")]
pub use live::{
    HeadError, LiveUpdate, LiveUpdateError, LiveUpdateErrorKind, LiveUpdateOperation, MemfdHead,
    PreserveMemfdError, PreserveMemfdErrorKind, RetrieveMemfdError, Session, SessionFromFdError,
    load_head, store_head,
};
pub use name::{
    COMPATIBLE_NAME_SIZE, CompatibleName, Name, NameError, SESSION_NAME_SIZE, SessionName,
};
pub use preserved::{
    Preserved, PreservedBlock, PreservedMap, PreservedMapError, PreservedMapErrorKind,
};
pub use severity::Severity;
pub use state::{FileState, FlbState, Inspection, LuoState, SessionState};
pub use tree::{KhoNode, KhoTree, KhoTreeError, KhoTreeErrorKind};
pub use warning::Warning;
pub use write::{WriteFlbsError, WriteSessionsError, write_flbs, write_sessions};

/// Compiles the README's example as a test.
#[cfg(all(doctest, target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
