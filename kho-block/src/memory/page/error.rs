//! Why a page can't be lent.

use thiserror::Error;

use crate::addr::PhysAddr;
use crate::error::readable_debug;

/// A page could not be added to a [`PageMemory`](crate::PageMemory), or split off other memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("can't use the page at {addr}: {kind}")]
#[non_exhaustive]
pub struct PageError {
    /// Address of the page.
    pub addr: PhysAddr,
    /// Why the page could not be used.
    pub kind: PageErrorKind,
}

/// Why a page could not be used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum PageErrorKind {
    /// The address is null, which no block can have.
    #[error("the address is null")]
    Null,
    /// The address is not a multiple of the block size.
    #[error("the address is not a multiple of the block size")]
    Misaligned,
    /// The page does not have the length of a block.
    #[error("its length of {len} bytes is not that of a block")]
    Length {
        /// Length of the page in bytes.
        len: usize,
    },
    /// The page's bytes are not aligned to 16 in this process, as entries need it.
    #[error("its bytes are not aligned to 16 in this process")]
    BytesMisaligned,
    /// There is a page at this address already, or the address was given twice.
    #[error("the address is taken")]
    Duplicate,
    /// The page is not inside the memory that it was to be split off.
    #[error("outside the memory")]
    Outside,
}

readable_debug!(PageError, PageErrorKind);
