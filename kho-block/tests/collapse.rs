//! A kernel that reports success for a huge page that it did not make.
//!
//! Linux 7.2 does so for a range that is smaller than its huge pages, which have 32 MiB if pages
//! have 16 KiB. This program replaces the call to the kernel.

#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // replaces a function of the C library

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, MemfdMemory, SetHead};
use rustix::fs::fstat;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
struct Number {
    value: u64,
}

type Hook = Box<dyn FnMut() + Send>;

/// Called while the file grows.
static WHILE_GROWING: Mutex<Option<Hook>> = Mutex::new(None);

/// Replaces madvise(2). The library calls it by this name for `MADV_COLLAPSE` only.
#[unsafe(no_mangle)]
extern "C" fn madvise(_: *mut libc::c_void, _: usize, advice: libc::c_int) -> libc::c_int {
    assert_eq!(advice, 25);
    if let Some(hook) = WHILE_GROWING.lock().unwrap().as_mut() {
        hook();
    }
    0
}

#[test]
fn success_of_advice_is_no_proof() {
    let memory = MemfdMemory::new("collapse").unwrap();
    let mut set = BlockSet::<Number, _>::new_in(&memory);
    set.try_reserve(510 * 9000).unwrap();
    drop(set);
    let usage = memory.usage();
    let bytes = (usage.free + usage.unbacked) * 4096;
    let allocated = fstat(memory.into_fd()).unwrap().st_blocks * 512;
    assert!(allocated as u64 >= bytes as u64, "{allocated} of {bytes} bytes are there");
}

/// The kernel may take long to find memory. A restore in the meantime does not wait for it.
#[test]
fn nobody_waits_for_a_memory_that_grows() {
    let memory = Arc::new(MemfdMemory::new("grows").unwrap());
    let mut small = BlockSet::<Number, _>::new_in(memory.clone());
    small.push(Number { value: 1 }).unwrap();
    let head = small.hand_over();

    let (asked, asks) = channel::<SetHead<Number>>();
    let (answers, answered) = channel();
    let restoring = memory.clone();
    let worker = thread::spawn(move || {
        for head in asks {
            let restored = BlockSet::restore(restoring.clone(), head).map(BlockSet::hand_over);
            answers.send(restored == Ok(head)).unwrap();
        }
    });
    let grown = Arc::new(Mutex::new(0));
    let count = grown.clone();
    *WHILE_GROWING.lock().unwrap() = Some(Box::new(move || {
        asked.send(head).unwrap();
        // Long enough on any machine for a thread that does not wait for this one.
        assert_eq!(answered.recv_timeout(Duration::from_secs(60)), Ok(true));
        *count.lock().unwrap() += 1;
    }));
    let mut set = BlockSet::<Number, _>::new_in(memory);
    set.try_reserve(510 * 5000).unwrap();
    *WHILE_GROWING.lock().unwrap() = None;
    worker.join().unwrap();
    if std::fs::exists("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").unwrap() {
        assert!(*grown.lock().unwrap() > 2, "the file did not grow");
    } else {
        println!("skipped: without huge pages the library never calls madvise");
    }
}
