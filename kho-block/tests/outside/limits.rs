//! Limits of the process: address space, locked memory, file size.

use kho_block::{BlockSet, MemfdError, MemfdMemory, ReserveErrorKind, SealedMemfd};
use rustix::fs::{MemfdFlags, ftruncate};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{BLOCK, Number, child, from_fd, handed_over, memfd};

fn limit(resource: Resource, value: u64) {
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }).unwrap();
}

/// Writes a set, claims it, and views it.
fn works() {
    let (memory, head) = handed_over(1000);
    let memory = from_fd::<BLOCK>(memory.into_fd()).unwrap();
    let set = BlockSet::restore(&memory, head).unwrap();
    assert_eq!(set.len(), 1000);
    let head = set.hand_over();
    let sealed = memory.seal().unwrap();
    assert_eq!(kho_block::SetView::restore(&sealed, head).unwrap().len(), 1000);
}

#[test]
fn address_space() {
    child::passes("limits::child_address_space");
}

#[test]
#[ignore = "run in a process of its own"]
fn child_address_space() {
    if pages_mapped() > 1 << 28 {
        println!("skipped: the address sanitizer itself needs more address space");
        return;
    }
    for gib in [32, 8, 1] {
        limit(Resource::As, gib << 30);
        works();
        let most = MemfdMemory::new("most").unwrap().max_len() as u64;
        assert!(most >= 64 << 20 && most <= gib << 30, "{most}");
    }
    // A file can grow even if it takes much of the address space.
    let fd = memfd(MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, 256 << 20).unwrap();
    assert_eq!(from_fd::<BLOCK>(fd).unwrap().max_len(), 512 << 20);
    // A requested length is either reserved or named in the error.
    let len = 64 << 30;
    let before = pages_mapped();
    let error = MemfdMemory::<BLOCK>::with_max_len("much", len).unwrap_err();
    assert_eq!(error, MemfdError::AddressSpace { len });
    let (memory, _) = handed_over(1);
    // SAFETY: nobody else has the file.
    let error = unsafe { MemfdMemory::<BLOCK>::from_fd_with_max_len(memory.into_fd(), len) };
    let error = error.unwrap_err();
    assert_eq!(error.error, MemfdError::AddressSpace { len });
    // SAFETY: as before.
    let memory = unsafe { MemfdMemory::<BLOCK>::from_fd_with_max_len(error.fd, 32 << 20) }.unwrap();
    assert_eq!(memory.max_len(), 32 << 20);
    // A file that is longer than the limit comes back as it was.
    let fd = memfd(MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, len as u64).unwrap();
    let error = from_fd::<BLOCK>(fd).unwrap_err();
    assert_eq!(error.error, MemfdError::AddressSpace { len });
    let error = SealedMemfd::<BLOCK>::seal(error.fd).unwrap_err();
    assert_eq!(error.error, MemfdError::AddressSpace { len });
    drop(memory);
    assert_eq!(pages_mapped(), before, "a failure left something mapped");
}

/// Returns the number of mapped pages.
fn pages_mapped() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn locked_memory() {
    child::passes("limits::child_locked_memory");
}

#[test]
#[ignore = "run in a process of its own"]
fn child_locked_memory() {
    let hard = getrlimit(Resource::Memlock).maximum.unwrap_or(u64::MAX);
    limit(Resource::Memlock, hard.min(16 << 20));
    // Root may lock any memory, so this thread changes to another user.
    if rustix::process::getuid().is_root() {
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
    }
    mlockall(MlockAllFlags::FUTURE).unwrap();
    works();
    assert_eq!(MemfdMemory::new("most").unwrap().max_len(), 64 << 30);
}

#[test]
fn size_of_a_file() {
    child::passes("limits::child_size_of_a_file");
}

#[test]
#[ignore = "run in a process of its own"]
fn child_size_of_a_file() {
    // A file that grew past the limit would end this process by SIGXFSZ.
    limit(Resource::Fsize, 1 << 20);
    let memory = MemfdMemory::new("limited").unwrap();
    let mut set = BlockSet::<Number, _>::new_in(&memory);
    set.try_reserve(200 << 7).unwrap();
    set.try_reserve(900 << 7).unwrap();
    let error = set.try_reserve(3 << 17).unwrap_err();
    assert_eq!(error.kind, ReserveErrorKind::FileSizeLimit);
    // The file has grown to the limit. Its first block is never given out.
    let usage = memory.usage();
    assert_eq!(usage.free + usage.owned, (1 << 20) / BLOCK - 1);
    drop(set);
    limit(Resource::Fsize, BLOCK as u64 - 1);
    let error = MemfdMemory::new("none").unwrap_err();
    assert_eq!(error, MemfdError::FileSizeLimit { len: BLOCK as u64 });
}
