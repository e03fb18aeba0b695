//! Splitting memory in one piece into pages.

use alloc::vec::Vec;
use core::mem;

use super::error::{PageError, PageErrorKind};
use crate::abi::assert_block_size;
use crate::addr::PhysAddr;

/// Splits pages off a slice of memory, such as a guest's, to lend them to a
/// [`PageMemory`](crate::PageMemory).
///
/// `base` is the address of the first byte of `ram`. Returns the pages at `addrs`, in that order.
///
/// # Errors
/// Returns an error if a page is not inside `ram`, if its address is not a multiple of the block
/// size, or if an address is given twice.
///
/// ```
/// use kho_block::{PageMemory, PhysAddr, bytemuck, split_pages};
///
/// let mut ram = vec![0_u128; 4 * 4096 / 16]; // aligned to 16
/// let ram = bytemuck::cast_slice_mut(&mut ram);
/// let memory = PageMemory::new();
/// let addrs = [0x3000, 0x1000].map(PhysAddr::new);
/// for (addr, page) in split_pages::<4096>(ram, PhysAddr::NULL, &addrs)? {
///     memory.add_free(addr, page)?;
/// }
/// assert_eq!(memory.usage().free, 2);
/// # Ok::<(), kho_block::PageError>(())
/// ```
pub fn split_pages<'a, const BLOCK_SIZE: usize>(
    ram: &'a mut [u8],
    base: PhysAddr,
    addrs: &[PhysAddr],
) -> Result<Vec<(PhysAddr, &'a mut [u8])>, PageError> {
    const { assert_block_size(BLOCK_SIZE) };
    let mut order: Vec<usize> = (0..addrs.len()).collect();
    order.sort_unstable_by_key(|index| addrs[*index]);
    let mut pages: Vec<Option<&'a mut [u8]>> = Vec::new();
    pages.resize_with(addrs.len(), || None);

    let mut rest = ram;
    let mut rest_addr = base.get();
    let mut before = None;
    for index in order {
        let addr = addrs[index];
        let error = |kind| PageError { addr, kind };
        if before.replace(addr) == Some(addr) {
            return Err(error(PageErrorKind::Duplicate));
        }
        if !addr.is_aligned_to(BLOCK_SIZE) {
            return Err(error(PageErrorKind::Misaligned));
        }
        // Two different multiples of the block size are at least a block apart.
        let outside = || error(PageErrorKind::Outside);
        let skip = addr.get().checked_sub(rest_addr).ok_or_else(outside)?;
        let skip = usize::try_from(skip).map_err(|_| outside())?;
        let (_, at) = mem::take(&mut rest).split_at_mut_checked(skip).ok_or_else(outside)?;
        let (page, after) = at.split_at_mut_checked(BLOCK_SIZE).ok_or_else(outside)?;
        pages[index] = Some(page);
        rest = after;
        rest_addr = addr.get().saturating_add(BLOCK_SIZE as u64);
    }
    Ok(addrs.iter().copied().zip(pages.into_iter().flatten()).collect())
}
