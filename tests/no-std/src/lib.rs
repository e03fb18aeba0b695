//! Uses kho-block as a kernel would: without `std`, and without an allocator unless the feature
//! `alloc` is on. CI builds it with a panic handler of its own: if a dependency pulled `std`
//! in, there would be two, and the build would fail.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{ChainWalk, Entry, PhysAddr, RestoreError, SliceMemory};

/// An entry of 16 bytes.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[bytemuck(crate = "kho_block::bytemuck")]
pub struct MemoryRange {
    start: PhysAddr,
    len: u64,
}

/// Adds up the lengths in a chain of `MemoryRange`s in a dump, without an allocator.
///
/// # Errors
/// The chain is not valid.
pub fn total_len(dump: &[u8], base: PhysAddr, head: PhysAddr) -> Result<u64, RestoreError> {
    let memory = SliceMemory::<4096>::new_with_block_size(base, dump);
    let mut total = 0_u64;
    for link in ChainWalk::new(&memory, head, size_of::<MemoryRange>()) {
        let link = link?;
        for index in 0..link.count {
            if let Ok(range) = link.read_entry::<MemoryRange>(&memory, index) {
                total = total.saturating_add(range.len);
            }
        }
    }
    Ok(total)
}

/// Writes and hands over a set on the heap.
#[cfg(feature = "alloc")]
pub fn round_trip(ranges: &[MemoryRange]) -> Option<usize> {
    let memory = kho_block::HeapMemory::new();
    let mut set = kho_block::BlockSet::new_in(&memory);
    set.writer().extend_from_slice(ranges).ok()?;
    let head = set.hand_over();
    Some(kho_block::BlockSet::restore(&memory, head).ok()?.len())
}

/// Exports [`total_len`], so that it is linked into the library.
///
/// # Safety
/// `dump` points to `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kho_total_len(dump: *const u8, len: usize, head: u64) -> u64 {
    // SAFETY: the caller's promise.
    let dump = unsafe { core::slice::from_raw_parts(dump, len) };
    total_len(dump, PhysAddr::NULL, PhysAddr::new(head)).unwrap_or(0)
}

#[cfg(feature = "alloc")]
#[unsafe(no_mangle)]
extern "C" fn kho_round_trip() -> usize {
    round_trip(&[MemoryRange { start: PhysAddr::NULL, len: 1 }]).unwrap_or(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(feature = "alloc")]
mod allocator {
    use core::alloc::{GlobalAlloc, Layout};

    /// Never allocates: this library is built, not run.
    struct None;

    // SAFETY: it never gives memory out.
    unsafe impl GlobalAlloc for None {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            core::ptr::null_mut()
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    #[global_allocator]
    static ALLOCATOR: None = None;
}
