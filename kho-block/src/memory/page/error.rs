//! Errors of lending pages.

use thiserror::Error;

use crate::addr::PhysAddr;
use crate::error::readable_debug;

/// The error returned when a page can't be added to a [`PageMemory`](crate::PageMemory), or be
/// split off other memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("can't use the page at {addr}: {kind}")]
#[non_exhaustive]
pub struct PageError {
    /// Address of the page at fault.
    pub addr: PhysAddr,
    /// Reason that the page could not be used.
    pub kind: PageErrorKind,
}

/// The reason that a page could not be used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum PageErrorKind {
    /// The address is null, which no block has.
    #[error("the address is null")]
    Null,
    /// The address is not a multiple of the block size.
    #[error("the address is not a multiple of the block size")]
    Misaligned,
    /// The page does not have the length of a block.
    #[error("the page has {len} bytes, which is not the block size")]
    Length {
        /// Length of the page in bytes.
        len: usize,
    },
    /// The page's bytes are not aligned to 16 in this process, as entries require.
    #[error("the bytes of the page are not aligned to 16 in this process")]
    BytesMisaligned,
    /// There already is a page at the address, or the address was given twice.
    #[error("the address is taken")]
    Duplicate,
    /// The page is not inside the memory that it should be split off.
    #[error("outside the memory")]
    Outside,
}

readable_debug!(PageError, PageErrorKind);
