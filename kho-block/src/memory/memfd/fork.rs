//! What a fork does to mappings that it must not inherit.
//!
//! A child that inherits a mapping of a file owns what is in the file as its parent does: two owners of
//! each block (I2, I4). So such a mapping is not inherited (`MADV_DONTFORK`). That leaves two gaps, and
//! handlers of `pthread_atfork` close both:
//!
//! - between `mmap` and `madvise` another thread may fork: a fork waits while mappings change;
//! - where the mapping was, the child has a hole, and might get other memory there, which pointers that
//!   it inherited would then lead to: the child fills the hole with pages that can't be accessed,
//!   before anything else runs in it.
//!
//! `fork` runs handlers. A child that was made by the system call itself has to do without: `clone` is
//! called by unsafe code only, which can know about it.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem::ManuallyDrop;
use core::ptr;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread_local;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// A mapping that is not inherited: its address and its length in bytes.
pub(super) type Place = (usize, usize);

/// All such mappings of this process. A fork waits for the lock.
static PLACES: Mutex<Vec<Place>> = Mutex::new(Vec::new());

thread_local! {
    /// The lock, while this thread forks. Without a destructor, so that it is there for those of other
    /// values, which may fork.
    static HELD: RefCell<ManuallyDrop<Option<MutexGuard<'static, Vec<Place>>>>> =
        const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Changes mappings while nobody forks. `change` adds to the list what it has mapped, and takes from it
/// what it is about to unmap.
pub(super) fn exclude<R>(change: impl FnOnce(&mut Vec<Place>) -> R) -> R {
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(|| {
        // SAFETY: the handlers are functions of this program, and do what handlers may: they lock,
        // unlock and map.
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
            // SAFETY: nothing was there when the child began, and this maps over nothing else.
            let filled = unsafe { mmap_anonymous(start, len, ProtFlags::empty(), flags) };
            // Kernels before 4.17 take the address for a wish.
            if filled != Ok(start) {
                // Pointers into the hole could come to lead to something.
                std::process::abort();
            }
        }
        // Children of this one inherit what fills the holes.
        if let Some(places) = held.as_mut() {
            places.clear();
        }
        drop(held.take());
    });
}
