//! Functions that `c/host.c` and `c/checked.c` call. They act on the arena that the thread has entered.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::arena::Arena;

thread_local! {
    static ENTERED: Cell<*const Arena> = const { Cell::new(ptr::null()) };
}

/// Runs `f`, in which C code runs on this arena.
pub(crate) fn enter<R>(arena: &Arena, f: impl FnOnce() -> R) -> R {
    struct Leave(*const Arena);
    impl Drop for Leave {
        fn drop(&mut self) {
            ENTERED.set(self.0);
        }
    }
    let _leave = Leave(ENTERED.replace(arena));
    f()
}

fn with<R>(f: impl FnOnce(&Arena) -> R) -> R {
    let arena = NonNull::new(ENTERED.get().cast_mut()).expect("C runs on a machine");
    // SAFETY: not null, so set by `enter`, which borrows the arena until it unsets it.
    f(unsafe { arena.as_ref() })
}

fn pointer(page: *const u8) -> NonNull<u8> {
    NonNull::new(page.cast_mut()).expect("C passes no null here")
}

fn or_null(page: Option<NonNull<u8>>) -> *mut u8 {
    page.map_or(ptr::null_mut(), NonNull::as_ptr)
}

// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
extern "C" fn host_page_alloc() -> *mut u8 {
    or_null(with(Arena::c_allocate))
}

// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
extern "C" fn host_page_free(page: *const u8, restored: bool) {
    with(|arena| arena.c_free(pointer(page), restored));
}

// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
extern "C" fn host_phys_of(page: *const u8) -> u64 {
    with(|arena| arena.phys(pointer(page)))
}

// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
extern "C" fn host_virt_of(address: u64) -> *mut u8 {
    or_null(with(|arena| arena.virt(address)))
}

// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
extern "C" fn host_object_alloc() -> bool {
    with(Arena::c_object)
}

// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
extern "C" fn host_object_free() {
    with(|arena| arena.event(|events| events.objects -= 1));
}

// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
extern "C" fn host_warned() {
    with(|arena| arena.event(|events| events.warnings += 1));
}

// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
extern "C" fn host_logged() {
    with(|arena| arena.event(|events| events.messages += 1));
}
