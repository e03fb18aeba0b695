//! Mappings that a child of `fork` does not inherit.
//!
//! A child that inherited a mapping of a file would own the blocks in it as its parent does, and
//! each block would have two owners (I2, I4). So these mappings are not inherited
//! (`MADV_DONTFORK`). That leaves two gaps, which handlers of `pthread_atfork` close:
//!
//! - Another thread may fork between `mmap` and `madvise`. So a fork waits while mappings change.
//! - The child has a hole where the mapping was. If other memory were mapped there, inherited
//!   pointers would lead to it. So before anything else runs in the child, it fills the hole with
//!   pages that can't be accessed.
//!
//! The handlers run in `fork`, but not in the system call `clone`. Only unsafe code can make that
//! call, and it has to account for this.
//!
//! # References
//!
//! madvise(2), fork(2), pthread_atfork(3).

use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem::ManuallyDrop;
use core::ptr;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread_local;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// The address of a mapping and its length in bytes.
pub(super) type Place = (usize, usize);

/// The mappings of this process that are not inherited. A fork waits for the lock.
static PLACES: Mutex<Vec<Place>> = Mutex::new(Vec::new());

thread_local! {
    /// The lock, while this thread forks. It has no destructor, so it still exists while the
    /// destructors of other thread-local values run, which may fork.
    static HELD: RefCell<ManuallyDrop<Option<MutexGuard<'static, Vec<Place>>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Calls `change` while no thread can fork.
///
/// `change` adds to the list what it has mapped, and removes what it is about to unmap.
pub(super) fn exclude<R>(change: impl FnOnce(&mut Vec<Place>) -> R) -> R {
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(|| {
        // SAFETY: the handlers are functions of this program. They only lock, unlock and map, which
        // handlers may do.
        let result = unsafe { libc::pthread_atfork(Some(before), Some(after), Some(in_child)) };
        assert_eq!(result, 0, "out of memory for the handlers of a fork");
    });
    change(&mut lock())
}

fn lock() -> MutexGuard<'static, Vec<Place>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn before() {
    HELD.with_borrow_mut(|held| **held = Some(lock()));
}

extern "C" fn after() {
    HELD.with_borrow_mut(|held| drop(held.take()));
}

extern "C" fn in_child() {
    HELD.with_borrow_mut(|held| {
        for &(start, len) in held.iter().flat_map(|places| places.iter()) {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
            let start = ptr::with_exposed_provenance_mut(start);
            // SAFETY: nothing was there when the child began, and this replaces no other mapping.
            let filled = unsafe { mmap_anonymous(start, len, ProtFlags::empty(), flags) };
            // Kernels before 4.17 take the address as a hint.
            if filled != Ok(start) {
                // A pointer into the hole could later lead to other memory.
                std::process::abort();
            }
        }
        // Children of this process inherit what fills the holes.
        if let Some(places) = held.as_mut() {
            places.clear();
        }
        drop(held.take());
    });
}
