//! `MemfdMemory` and `SealedMemfd`: their files' lengths and seals.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use kho_block::{
    AllocErrorKind, BlockMemory, MemfdError, MemfdMemory, PhysAddr, ReadMemory, SealedMemfd,
    StableMemory,
};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, ftruncate, memfd_create,
};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::common::OneBlock as _;
use crate::owner::{Owner, pattern};
use crate::reading::bytes_are_given;

const BLOCK: usize = 4096;

/// Returns a memfd of zeros with these seals.
fn memfd(len: usize, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("kho-block-conformance", flags).unwrap();
    ftruncate(&fd, len as u64).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

fn from_fd<const B: usize>(fd: OwnedFd) -> Result<MemfdMemory<B>, MemfdError> {
    // SAFETY: nobody else writes the file. If the tests map it, they do not write.
    unsafe { MemfdMemory::from_fd(fd) }.map_err(|error| error.error)
}

/// Allocates until the memory is full. Returns the addresses, and the reason of the failure.
fn exhaust<const B: usize>(memory: &MemfdMemory<B>) -> (Vec<u64>, AllocErrorKind) {
    let mut owners = Vec::new();
    loop {
        match memory.allocate_one() {
            Ok(block) => owners.push(Owner::new(memory, block)),
            Err(error) => return (owners.iter().map(|o| o.addr().get()).collect(), error.kind),
        }
    }
}

#[test]
fn the_largest_size_is_kept() {
    fn check<const B: usize>() {
        for (max_len, blocks) in
            [(0, 0), (1, 0), (B, 0), (2 * B - 1, 0), (2 * B, 1), (3 * B + 1, 2), (100 * B, 99)]
        {
            let memory = MemfdMemory::<B>::with_max_len("full", max_len).unwrap();
            // Twice, since freed blocks are allocated again.
            for _ in 0..2 {
                let (addrs, kind) = exhaust(&memory);
                assert_eq!(kind, AllocErrorKind::Full);
                // The first block of the file is never given out.
                assert_eq!(addrs, (1..=blocks).map(|n| n * B as u64).collect::<Vec<_>>());
            }
        }
    }
    check::<4096>();
    check::<16384>();
    check::<65536>();
}

/// A file has small pages first and huge pages later. The first huge page replaces small ones that
/// are in use, and the file ends with a part of a huge page.
#[test]
fn what_is_written_stays_as_the_file_grows() {
    const BLOCKS: usize = 1600;
    let memory = MemfdMemory::<BLOCK>::with_max_len("grows", (BLOCKS + 1) * BLOCK).unwrap();
    let allocate_and_fill = |seed| {
        let mut owner = Owner::allocate(&memory);
        assert!(owner.is_zero());
        owner.fill(seed);
        owner
    };
    let owners: Vec<_> = (0..BLOCKS).map(allocate_and_fill).collect();
    assert!(memory.allocate_one().is_err_and(|error| error.kind == AllocErrorKind::Full));
    for (seed, owner) in owners.iter().enumerate() {
        assert!(owner.has(seed), "block {seed}");
    }
}

/// Many blocks are allocated at once, or as many as there are. None is allocated twice.
#[test]
fn allocates_many_at_once() {
    let memory = MemfdMemory::<BLOCK>::with_max_len("many", 1000 * BLOCK).unwrap();
    let mut owners = Vec::new();
    memory.allocate(600, |block| owners.push(Owner::new(&memory, block))).unwrap();
    let error = memory.allocate(600, |block| owners.push(Owner::new(&memory, block)));
    assert_eq!(error.unwrap_err().kind, AllocErrorKind::Full);
    let addrs: Vec<_> = owners.iter().map(|owner| owner.addr().get()).collect();
    assert_eq!(addrs, (1..1000).map(|n| n * BLOCK as u64).collect::<Vec<_>>());
}

/// Returns whether this system makes huge pages of a file's pages on request: Linux 6.1, unless
/// configured not to.
fn collapses() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    (numbers.next(), numbers.next()) >= (Some(6), Some(1))
        && setting.is_ok_and(|setting| !setting.contains("[deny]"))
}

#[test]
fn absurdly_many_at_once_fill_the_file() {
    let memory = MemfdMemory::<BLOCK>::with_max_len("absurd", 100 * BLOCK).unwrap();
    let mut owners = Vec::new();
    let error = memory.allocate(usize::MAX, |block| owners.push(Owner::new(&memory, block)));
    assert_eq!(error.unwrap_err().kind, AllocErrorKind::Full);
    assert_eq!(owners.len(), 99);
}

#[test]
fn a_large_file_has_huge_pages() {
    if !collapses() {
        println!("skipped: this system makes no huge pages for a memfd");
        return;
    }
    let memory = MemfdMemory::<BLOCK>::new("huge").unwrap();
    let mut owners = Vec::new();
    // These are 4 huge pages with the first block of the file.
    memory.allocate(2047, |block| owners.push(Owner::new(&memory, block))).unwrap();
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mapping = smaps.split_once("/memfd:huge").expect("the file is mapped").1;
    let huge = mapping.split_once("ShmemPmdMapped:").expect("smaps has the line").1;
    let huge: usize = huge.split_whitespace().next().unwrap().parse().unwrap();
    // If the system is short of huge pages, it may refuse some.
    assert!((2048..=8192).contains(&huge), "{huge} kB in huge pages");
}

#[test]
fn the_first_block_stays_zero() {
    let memory = MemfdMemory::new("first").unwrap();
    let mut owner = Owner::allocate(&memory);
    owner.fill(9);
    assert_eq!(owner.hand_over(), PhysAddr::new(BLOCK as u64));
    let file = File::from(memory.into_fd());
    let mut bytes = vec![1; 2 * BLOCK];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes[..BLOCK].iter().all(|byte| *byte == 0));
    assert!(bytes[BLOCK..] == pattern(9, BLOCK));
}

#[test]
fn a_file_is_opened_again() {
    let memory = MemfdMemory::<16384>::with_max_len("again", 1 << 20).unwrap();
    let mut owner = Owner::allocate(&memory);
    owner.fill(5);
    let addr = owner.hand_over();
    let blocks = memory.usage().free + 1;

    let memory = from_fd::<16384>(memory.into_fd()).unwrap();
    let usage = memory.usage();
    assert_eq!((usage.free, usage.owned, usage.preserved), (0, 0, blocks));
    assert!(Owner::claim(&memory, addr).unwrap().has(5));
    assert_eq!(memory.free_preserved(), blocks - 1);
    // All blocks are free again, and the file can grow.
    let owners: Vec<_> = (0..blocks + 1).map(|_| Owner::allocate(&memory)).collect();
    assert!(owners.iter().all(Owner::is_zero));
    assert_eq!(owners[0].addr(), addr);
}

#[test]
fn files_that_cannot_be_owned_are_refused() {
    for seal in [SealFlags::WRITE, SealFlags::FUTURE_WRITE] {
        let error = from_fd::<BLOCK>(memfd(4 * BLOCK, seal)).unwrap_err();
        assert_eq!(error, MemfdError::Sealed);
    }
    for len in [0, 1, BLOCK - 1, BLOCK + 1, 2 * BLOCK + 512] {
        let error = from_fd::<BLOCK>(memfd(len, SealFlags::empty())).unwrap_err();
        assert_eq!(error, MemfdError::Length { len: len as u64 });
    }
    let error = from_fd::<65536>(memfd(BLOCK, SealFlags::empty())).unwrap_err();
    assert_eq!(error, MemfdError::Length { len: BLOCK as u64 });
    // One block is enough, though it is never given out.
    assert_eq!(from_fd::<BLOCK>(memfd(BLOCK, SealFlags::empty())).unwrap().usage().preserved, 0);
}

#[test]
fn an_owned_file_can_not_shrink() {
    let made = MemfdMemory::new("shrink").unwrap().into_fd();
    // No seal can be added to these, and none needs to be.
    let final_seals = SealFlags::SHRINK | SealFlags::SEAL;
    assert_eq!(from_fd::<BLOCK>(memfd(2 * BLOCK, final_seals)).unwrap().usage().unbacked, 1);

    let opened = from_fd::<BLOCK>(memfd(2 * BLOCK, SealFlags::GROW)).unwrap().into_fd();
    for fd in [made, opened] {
        assert!(fcntl_get_seals(&fd).unwrap().contains(SealFlags::SHRINK));
        assert_eq!(ftruncate(&fd, 0), Err(Errno::PERM));
    }
}

#[test]
fn a_file_that_may_change_is_not_viewed() {
    let partly = [
        SealFlags::empty(),
        SealFlags::WRITE,
        SealFlags::SHRINK,
        SealFlags::GROW,
        SealFlags::SEAL,
        SealFlags::WRITE | SealFlags::GROW,
        SealFlags::FUTURE_WRITE | SealFlags::SHRINK,
        SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    ];
    for seals in partly {
        let error = SealedMemfd::open(memfd(BLOCK, seals)).unwrap_err();
        assert_eq!(error.error, MemfdError::NotSealed, "{seals:?}");
    }
    let enough = SealFlags::WRITE | SealFlags::SHRINK;
    for seals in [enough, enough | SealFlags::GROW, enough | SealFlags::FUTURE_WRITE] {
        SealedMemfd::open(memfd(BLOCK, seals)).unwrap();
    }
}

#[test]
fn a_sealed_file_lends_its_bytes() {
    let memory = MemfdMemory::<16384>::with_max_len("sealed", 1 << 20).unwrap();
    let addrs: Vec<_> = (0..3)
        .map(|seed| {
            let mut owner = Owner::allocate(&memory);
            owner.fill(seed);
            owner.hand_over()
        })
        .collect();
    let sealed = memory.seal().unwrap();
    let bytes = sealed.as_bytes().to_vec();
    for (seed, addr) in addrs.iter().enumerate() {
        assert!(sealed.lend(*addr, 16384).unwrap() == pattern(seed, 16384));
    }
    let seals = fcntl_get_seals(&sealed).unwrap();
    assert!(
        seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
    );
    assert_eq!(rustix::io::pwrite(&sealed, b"!", 0), Err(Errno::PERM));
    bytes_are_given(&sealed, 0, &bytes);
    bytes_are_given(&&sealed, 0, &bytes);
    let sealed = Rc::new(sealed);
    bytes_are_given(&sealed, 0, &bytes);
    let fd = Rc::into_inner(sealed).unwrap().into_fd();
    let sealed = Arc::new(SealedMemfd::<16384>::open_with_block_size(fd).unwrap());
    bytes_are_given(&sealed, 0, &bytes);
    assert_eq!(<SealedMemfd<16384> as ReadMemory>::BLOCK_SIZE, 16384);
}

#[test]
fn an_empty_file_has_no_bytes() {
    let sealed = SealedMemfd::open(memfd(0, SealFlags::WRITE | SealFlags::SHRINK)).unwrap();
    assert_eq!(sealed.as_bytes(), []);
    assert!(sealed.read(PhysAddr::NULL, &mut []).is_ok());
    assert!(sealed.read(PhysAddr::NULL, &mut [0]).is_err());
    assert!(sealed.lend(PhysAddr::new(BLOCK as u64), 0).is_err());
}

#[test]
fn a_file_that_others_write_is_given_back() {
    let fd = memfd(3 * BLOCK, SealFlags::empty());
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: without a fixed address the kernel maps where nothing else is.
    let map = unsafe { mmap(ptr::null_mut(), BLOCK, prot, flags, fd.as_fd(), 0) }.unwrap();
    rustix::io::pwrite(&fd, b"!", BLOCK as u64).unwrap();
    let memory = from_fd::<BLOCK>(fd).unwrap();
    let mut owner = Owner::claim(&memory, PhysAddr::new(BLOCK as u64)).unwrap();
    owner.fill(2);
    owner.hand_over();

    let failed = memory.seal().unwrap_err();
    assert_eq!(failed.error, MemfdError::InUse);
    assert!(!fcntl_get_seals(&failed.fd).unwrap().contains(SealFlags::WRITE));

    // SAFETY: this unmaps what was mapped above, which nothing points into.
    unsafe { munmap(map, BLOCK) }.unwrap();
    let sealed = from_fd::<BLOCK>(failed.fd).unwrap().seal().unwrap();
    assert!(sealed.lend(PhysAddr::new(BLOCK as u64), BLOCK).unwrap() == pattern(2, BLOCK));
}
