//! Growing: what is said to be there is there, and what can't be is named.

use std::time::Duration;

use kho_block::{AllocErrorKind, BlockMemory as _, BlockSet, MemfdMemory, ReserveErrorKind};
use rustix::fs::{SealFlags, fcntl_add_seals};

use crate::{BLOCK, Number, allocated, child, from_fd, handed_over};

/// H5, whatever the kernel said of huge pages.
#[test]
fn what_is_reserved_is_allocated() {
    let memory = MemfdMemory::new("grows").unwrap();
    let mut set = BlockSet::<Number, _>::new_in(&memory);
    for blocks in [10, 500, 5000] {
        set.try_reserve(blocks * 510).unwrap();
    }
    let usage = memory.usage();
    assert_eq!(usage.unbacked, 0);
    drop(set);
    let bytes = (usage.owned + usage.free + 1) * BLOCK;
    assert!(allocated(memory.into_fd()) >= bytes as u64);
}

#[test]
fn a_seal_against_growing_is_named() {
    let (memory, head) = handed_over(1);
    let fd = memory.into_fd();
    fcntl_add_seals(&fd, SealFlags::GROW).unwrap();
    let memory = from_fd::<BLOCK>(fd).unwrap();
    memory.free_preserved();
    let mut set = BlockSet::<Number, _>::new_in(&memory);
    let error = set.try_reserve(1 << 20).unwrap_err();
    assert_eq!(error.kind, ReserveErrorKind::Sealed);
    while set.push(Number { value: 0 }).is_ok() {}
    assert_eq!(memory.allocate().unwrap_err().kind, AllocErrorKind::Sealed);
    let _ = head;
}

#[test]
fn signals_lose_nothing() {
    child::passes("growth::child_signals_lose_nothing");
}

/// A signal interrupts `fallocate`, again and again.
#[test]
#[ignore = "run in a process of its own"]
fn child_signals_lose_nothing() {
    extern "C" fn nothing(_: libc::c_int) {}
    let every = libc::timeval { tv_sec: 0, tv_usec: 200 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: a handler that does nothing may run at any time.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    // SAFETY: the pointers are to a value of this function's, and null.
    let started =
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(started, 0);
    for _ in 0..20 {
        let memory = MemfdMemory::<BLOCK>::with_max_len("signals", 1 << 30).unwrap();
        let mut set = BlockSet::<Number, _>::new_in(&memory);
        set.set_block_limit(usize::MAX);
        set.try_reserve(510 * 5000).unwrap();
        set.push(Number { value: 3 }).unwrap();
        let head = set.hand_over();
        let memory = from_fd::<BLOCK>(memory.into_fd()).unwrap();
        assert_eq!(BlockSet::restore(&memory, head).unwrap()[0].value, 3);
        std::thread::sleep(Duration::from_micros(100));
    }
}
