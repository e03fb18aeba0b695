//! The Linux Live Update Orchestrator (LUO): files, and state in memfds, that survive a kernel
//! update; and what the kernel hands over, read, verified and written.
//!
//! A live update starts a new kernel by kexec while chosen memory keeps its content. LUO (Linux 6.19)
//! is how user space takes part: a process creates a named *session* at `/dev/liveupdate` and
//! preserves files in it under *tokens*; after the update its successor retrieves the session by name
//! and the files by token, then finishes the session. A session that is closed before the update is
//! undone.
//!
//! ```text
//!  old kernel                                        new kernel
//!  LiveUpdate::open()                                LiveUpdate::open()
//!  └─ create_session("vm1") ─► Session               └─ retrieve_session("vm1") ─► Session
//!     ├─ preserve(&fd, token)           kexec           ├─ retrieve(token) ─► OwnedFd
//!     └─ preserve_sealed(memory,      ─────────►        ├─ retrieve_sealed(token)
//!                        head, token)                   │    ─► (SealedMemfd, SetHead)
//!                                                       └─ finish()
//! ```
//!
//! # State of your own
//!
//! A process's own state crosses as typed entries in a memfd: sets of [`kho_block`]. One call
//! preserves the memory, one retrieves it, and the head of the set crosses with it ([`MemfdHead`]).
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
//! session.preserve_sealed(memory, head, 1)?; // and keep the session open until the update
//!
//! // After it.
//! let session = LiveUpdate::open()?.retrieve_session("vm1")?;
//! let (memory, head) = session.retrieve_sealed::<MemorySlot, 4096>(1)?;
//! let slots = SetView::restore(&memory, head)?;
//! assert_eq!(slots[0].len, 0x8000_0000);
//! session.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What was preserved [unsealed](Session::preserve_memory) is claimed and written on instead.
//!
//! # What the kernel hands over
//!
//! The kernel writes sessions and files as linked blocks. [`LuoState`] reads them from any
//! [`ReadMemory`](kho_block::ReadMemory), such as a dump, a capture, or the memory of a guest: it
//! finds them through [KHO's device tree](KhoTree), which it [finds](LuoState::find) by itself in an
//! image, and verifies all of it. Whatever the bytes, the answer is a [`LuoState`] or a [`StateError`]
//! that names the block, session or file; [`LuoState::inspect`] gives both. What is wrong comes worst
//! first, by what the next kernel makes of it ([`Severity`]); what may be right and fatal is a
//! [`Warning`]. Pages that the next kernel does not keep are told by KHO's [`PreservedMap`].
//!
//! [`write_sessions`] writes such blocks, into pages of your choice with [`PageMemory`]. The
//! structures are in [`abi`].
//!
//! # Which kernels
//!
//! The structures are those of Linux 7.2, version `luo-v5` under `kho-v4`; another version is refused
//! and named. The calls are those of `linux/liveupdate.h` since Linux 6.19. The kernel has to be built
//! with `CONFIG_KEXEC_HANDOVER` and `CONFIG_LIVEUPDATE` (`CONFIG_LIVEUPDATE_MEMFD` for memfds) and
//! booted with `kho=on liveupdate=on`; without, [`LiveUpdate::open`] says so. KHO is for 64-bit
//! machines, and so is this crate.
//!
//! # Unsafe code
//!
//! It is in three modules: the calls to the kernel, the pages of [`PageMemory`], and
//! [`Session::retrieve_memory`], which is unsafe itself.
#![cfg_attr(docsrs, feature(doc_cfg))]

// The device tree's parser adds 32-bit lengths to offsets, which is total where a `usize` has more.
#[cfg(not(target_pointer_width = "64"))]
compile_error!("kho-luo is for 64-bit machines, as Kexec HandOver is");

pub mod abi;
mod error;
mod faults;
mod find;
#[cfg(target_os = "linux")]
mod live;
mod name;
mod pages;
mod preserved;
mod severity;
mod state;
mod tree;
mod walk;
mod warning;
mod write;

pub use abi::{FlbHeader, LuoFile, LuoFlb, LuoRoot, LuoSession};
pub use error::{FileErrorKind, FlbErrorKind, Part, RootErrorKind, SessionErrorKind, StateError};
#[cfg(target_os = "linux")]
pub use live::{
    CallError, CreateError, FinishError, GetNameError, HeadError, LiveUpdate, MemfdHead,
    NotASession, OpenError, PreserveError, PreserveMemoryError, PreserveMemoryErrorKind,
    RetrieveError, RetrieveMemoryError, RetrieveSessionError, Session, load_head, store_head,
};
pub use name::{COMPATIBLE_SIZE, Compatible, Name, NameError, SESSION_NAME_SIZE, SessionName};
pub use pages::{PageCounts, PageError, PageErrorKind, PageMemory, pages_of};
pub use preserved::{MapError, MapErrorKind, Preserved, PreservedBlock, PreservedMap};
pub use severity::Severity;
pub use state::{FileState, FlbState, LuoState, SessionState};
pub use tree::{KhoNode, KhoTree, TreeError, TreeErrorKind};
pub use warning::Warning;
pub use write::{FlbWriteError, WriteError, write_flbs, write_sessions};

/// The README's example, as a test.
#[cfg(all(doctest, target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
