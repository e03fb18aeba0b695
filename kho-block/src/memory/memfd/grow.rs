//! Where the blocks of a memfd get their memory.
//!
//! H5: success of an advisory call is no proof. What a block has was allocated by `fallocate`, also where
//! `MADV_COLLAPSE` said before that it made a huge page: it says so where it did nothing, too.

use rustix::fs::ftruncate;
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{Advice, madvise};

use super::{Blocks, MemfdMemory, file};
use crate::error::AllocErrorKind;
use crate::memory::ledger::State;
use crate::memory::page_size::huge_page_size;

const SMALLEST_STEP: usize = 64 << 10;

/// How much the file grows by at a time where there are no huge pages.
const LARGEST_STEP: usize = 2 << 20;

/// A file that gets longer than this part of a huge page takes a whole one: 256 KiB of 2 MiB.
const HUGE_FROM: usize = 8;

/// Linux 6.1, `uapi/asm-generic/mman-common.h`; the same on every architecture.
const MADV_COLLAPSE: libc::c_int = 25;

impl<const BLOCK_SIZE: usize> MemfdMemory<BLOCK_SIZE> {
    /// Adds free blocks, at least one, where there are none. `blocks` is locked for an instant only: the
    /// kernel takes its time to find memory.
    pub(super) fn grow(&self, wanted: usize) -> Result<(), AllocErrorKind> {
        self.growth.with(|()| {
            let (is_done, len) =
                self.blocks.with(|blocks| (blocks.ledger.has_free(), blocks.ledger.len()));
            if is_done || self.fill_hole(wanted)? {
                return Ok(());
            }
            self.lengthen((len + 1) * BLOCK_SIZE, wanted)
        })
    }

    /// Allocates the memory of unbacked blocks that follow one another. Returns whether there were any.
    fn fill_hole(&self, wanted: usize) -> Result<bool, AllocErrorKind> {
        let most = wanted.clamp(SMALLEST_STEP / BLOCK_SIZE, LARGEST_STEP / BLOCK_SIZE).max(1);
        let Some(run) = self.blocks.with(|blocks| blocks.ledger.find_unbacked(most)) else {
            return Ok(false);
        };
        let offset = |number: usize| ((number + 1) * BLOCK_SIZE) as u64;
        file::allocate(&self.fd, offset(run.start)..offset(run.end)).map_err(why_not)?;
        self.blocks.with(|blocks| {
            run.for_each(|number| blocks.ledger.change(number, State::Unbacked, State::Free));
        });
        Ok(true)
    }

    /// Adds blocks behind the first `len` bytes: `wanted` of them or as many as there are, whichever is
    /// more, while that makes a small file; then those up to the end of a huge page. Or fewer if there
    /// is no such space.
    fn lengthen(&self, len: usize, wanted: usize) -> Result<(), AllocErrorKind> {
        let limit = usize::try_from(file::len_limit()).unwrap_or(usize::MAX);
        let room = self.map.len().min(limit).saturating_sub(len) / BLOCK_SIZE * BLOCK_SIZE;
        let unit = huge_page_size().unwrap_or(LARGEST_STEP).max(BLOCK_SIZE);
        let mut step = wanted.saturating_mul(BLOCK_SIZE).max(len).max(SMALLEST_STEP);
        if len.saturating_add(step) > unit / HUGE_FROM {
            step = unit - len % unit;
        }
        step = step.min(room);
        if step == 0 {
            let is_full = self.map.len() - len < BLOCK_SIZE;
            return Err(if is_full { AllocErrorKind::Full } else { AllocErrorKind::FileSizeLimit });
        }
        self.blocks.with(|blocks| blocks.ledger.reserve(step / BLOCK_SIZE))?;

        let has_huge_page = self.collapse(len + step);
        while let Err(errno) = file::allocate(&self.fd, len as u64..(len + step) as u64) {
            if step == BLOCK_SIZE || !matches!(errno, Errno::NOMEM | Errno::NOSPC) {
                return Err(why_not(errno));
            }
            step = (step / 2).next_multiple_of(BLOCK_SIZE);
        }
        if !has_huge_page {
            // SAFETY: the range is inside the mapping and the file; populating changes no byte. Only
            // speed depends on the answer.
            let _ = unsafe {
                madvise(self.map.at(len).as_ptr().cast(), step, Advice::LinuxPopulateWrite)
            };
        }
        self.map.dump(len..len + step);
        self.blocks.with(|blocks| blocks.ledger.grow(step / BLOCK_SIZE))
    }

    /// Lets the file grow to `end` and asks for a huge page of what is before it. `false` if the end is
    /// not that of a huge page, or if none is to be had.
    fn collapse(&self, end: usize) -> bool {
        let Some(size) = huge_page_size() else { return false };
        if end % size != 0 || BLOCK_SIZE > size {
            return false;
        }
        let start = end - size;
        // A huge page is made of small ones, of which there must be one at least.
        let one = file::allocate(&self.fd, start as u64..(start + BLOCK_SIZE) as u64);
        if one.and_then(|()| retry_on_intr(|| ftruncate(&self.fd, end as u64))).is_err() {
            return false;
        }
        // SAFETY: the range is inside the mapping and the file; collapsing changes no byte.
        unsafe { libc::madvise(self.map.at(start).as_ptr().cast(), size, MADV_COLLAPSE) == 0 }
    }

    /// Allocates what is missing of a block that a hole of the file is in.
    pub(super) fn complete(&self, blocks: &mut Blocks, number: usize) -> Result<(), Errno> {
        if blocks.partial.contains(&number) {
            let start = ((number + 1) * BLOCK_SIZE) as u64;
            file::allocate(&self.fd, start..start + BLOCK_SIZE as u64)?;
            blocks.partial.remove(&number);
        }
        Ok(())
    }
}

/// What it means that memory could not be allocated.
fn why_not(errno: Errno) -> AllocErrorKind {
    match errno {
        Errno::PERM => AllocErrorKind::Sealed,
        Errno::FBIG => AllocErrorKind::FileSizeLimit,
        _ => AllocErrorKind::OutOfMemory,
    }
}
