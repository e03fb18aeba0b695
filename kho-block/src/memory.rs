//! The memories that hold blocks, and the traits they implement.
//!
//! | trait | what it promises | what is built on it |
//! |---|---|---|
//! | [`ReadMemory`] | bytes can be copied out | `ChainWalk`, `ForeignSet` |
//! | [`StableMemory`] | bytes can be borrowed | `SetView` |
//! | [`BlockMemory`] | blocks can be owned | `BlockSet` |
//!
//! Each module imports only from modules above it:
//!
//! ```text
//! read                     ReadMemory, StableMemory
//! claim, block             ClaimVisitor, BlockMemory
//! pointers                 references, Rc and Arc to memories
//! slice, dump              memories to read
//! lock, page_size          the lock of a memory; the sizes of the machine's pages
//! packed, ledger           numbers of two bits; the states of blocks
//! heap, memfd, page        memories whose blocks are owned
//! faulty                   wraps another memory
//! ```

mod block;
mod claim;
#[cfg(feature = "alloc")]
mod dump;
#[cfg(feature = "testing")]
mod faulty;
#[cfg(feature = "alloc")]
mod heap;
#[cfg(feature = "alloc")]
mod ledger;
#[cfg(feature = "alloc")]
mod lock;
#[cfg(all(feature = "memfd", target_os = "linux"))]
mod memfd;
#[cfg(feature = "alloc")]
mod packed;
#[cfg(feature = "alloc")]
mod page;
#[cfg(all(feature = "std", target_os = "linux", not(miri)))]
mod page_size;
mod pointers;
mod read;
mod slice;

pub use block::BlockMemory;
pub use claim::{ClaimVisitor, claim_each};
#[cfg(feature = "alloc")]
pub use dump::{DumpError, DumpMemory};
#[cfg(feature = "testing")]
pub use faulty::FaultyMemory;
#[cfg(feature = "alloc")]
pub use heap::HeapMemory;
#[cfg(feature = "alloc")]
pub use ledger::Usage;
#[cfg(all(feature = "memfd", target_os = "linux"))]
pub use memfd::{FromFdError, MemfdError, MemfdMemory, SealedMemfd};
#[cfg(feature = "alloc")]
pub use page::{PageError, PageErrorKind, PageMemory, split_pages};
pub use read::{ReadMemory, StableMemory};
pub use slice::SliceMemory;
