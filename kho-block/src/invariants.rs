//! The invariants that comments in this crate cite by number.
//!
//! These are the invariants of the format, as `docs/format.md` of the project has them. A test
//! compares the two texts.
//!
//! - **I1** Every linked block holds 1 to *count per block* published entries, and their bytes are
//!   initialised.
//! - **I2** A chain has no cycle and no more blocks than the limit, and no block is in two sets:
//!   exactly one set owns it.
//! - **I3** At every instant the chain from the head is valid. Entries are written before the count
//!   that covers them, and a block is filled in before the link that reaches it, by release stores.
//!   So a writer that stops at any instant, as in a crash, leaves a prefix of what was pushed. A
//!   reader that walks along the chain while the writer truncates it and writes again may see a
//!   mixture of two states.
//! - **I4** `&T` is handed out only for memory that nobody else can change: memory that this
//!   process alone owns, or that the kernel has sealed.
//! - **I5** Bytes from outside become a value only through a type for which every bit pattern is
//!   valid.
//! - **H4** A descriptor from outside is mapped only after its kind, length and seals are known to
//!   fit.
//! - **H5** The success of an advisory call proves nothing. Memory that must be there is allocated
//!   by a call whose success promises it.
//!
//! The other invariants are stated at the type or trait they belong to:
//!
//! | numbers | of | about |
//! |---|---|---|
//! | G1 to G6 | [`BlockMemory`](crate::BlockMemory) | what a memory guarantees |
//! | E1 to E3 | `raw::BlockTable` | which blocks a table has, and who may change them |
//! | A1, A2 | `raw::Appender` | which slots it may write |
//! | P1 | `raw::Slots` | which slots a thread has |
