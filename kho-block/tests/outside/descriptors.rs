//! H4: a descriptor that does not fit is refused before it is mapped, and is given back.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use kho_block::{FromFdError, MemfdError, MemfdMemory, SealedMemfd};
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{MemfdFlags, OFlags, SealFlags, fcntl_add_seals, ftruncate};

use crate::{BLOCK, from_fd, memfd};

const STABLE: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK);

/// Returns a memfd of one block with these seals.
fn sealed(seals: SealFlags) -> OwnedFd {
    let fd = memfd(MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, BLOCK as u64).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

/// Opens the file of a descriptor once more.
fn reopened(fd: &OwnedFd, options: &mut OpenOptions) -> OwnedFd {
    options.open(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap().into()
}

type Open = fn(OwnedFd) -> Result<(), FromFdError>;

/// The ways to open a descriptor as a memory.
const CLAIM: Open = |fd| from_fd::<BLOCK>(fd).map(drop);
const VIEW: Open = |fd| SealedMemfd::open(fd).map(drop);
const SEAL: Open = |fd| SealedMemfd::<BLOCK>::seal(fd).map(drop);

/// Returns the error of opening a descriptor, and checks that the descriptor came back.
#[track_caller]
fn refused(open: Open, fd: OwnedFd) -> MemfdError {
    let number = fd.as_raw_fd();
    let error = open(fd).expect_err("the descriptor was not refused");
    assert_eq!(error.fd.as_raw_fd(), number, "a different descriptor came back");
    error.error
}

#[test]
fn huge_pages_of_a_pool_are_refused() {
    // The check takes no page from the pool.
    let Ok(fd) = memfd(MemfdFlags::HUGETLB | MemfdFlags::ALLOW_SEALING) else {
        println!("skipped: this system has no hugetlbfs");
        return;
    };
    for (seals, opens) in
        [(SealFlags::empty(), &[CLAIM, SEAL][..]), (STABLE | SealFlags::GROW, &[VIEW, SEAL])]
    {
        fcntl_add_seals(&fd, seals).unwrap();
        for open in opens {
            assert_eq!(refused(*open, fd.try_clone().unwrap()), MemfdError::HugeTlb);
        }
    }
}

#[test]
fn files_that_are_not_memfds_are_refused() {
    for open in [CLAIM, VIEW, SEAL] {
        let file = File::open("/proc/self/status").unwrap();
        let directory = File::open("/").unwrap();
        let shared = File::open("/dev/shm").unwrap();
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
        let (pipe, _writer) = rustix::pipe::pipe().unwrap();
        for fd in [file.into(), directory.into(), shared.into(), null.into(), pipe] {
            assert_eq!(refused(open, fd), MemfdError::NotMemfd);
        }
    }
}

#[test]
fn wrong_access_is_named() {
    let (plain, stable) = (sealed(SealFlags::empty()), sealed(STABLE));
    let read_only = || OpenOptions::new().read(true).to_owned();
    let write_only = || OpenOptions::new().write(true).to_owned();
    let path_only = || read_only().custom_flags(OFlags::PATH.bits().cast_signed()).to_owned();
    assert_eq!(refused(CLAIM, reopened(&plain, &mut read_only())), MemfdError::ReadOnly);
    assert_eq!(refused(SEAL, reopened(&plain, &mut read_only())), MemfdError::ReadOnly);
    for open in [CLAIM, SEAL] {
        assert_eq!(refused(open, reopened(&plain, &mut write_only())), MemfdError::WriteOnly);
        assert_eq!(refused(open, reopened(&plain, &mut path_only())), MemfdError::PathOnly);
    }
    assert_eq!(refused(VIEW, reopened(&stable, &mut write_only())), MemfdError::WriteOnly);
    assert_eq!(refused(VIEW, reopened(&stable, &mut path_only())), MemfdError::PathOnly);
    VIEW(reopened(&stable, &mut read_only())).unwrap();
}

#[test]
fn seals_are_named() {
    // One that was created without permission to seal, and one whose seals are final.
    let never = memfd(MemfdFlags::empty()).unwrap();
    ftruncate(&never, BLOCK as u64).unwrap();
    for fd in [never, sealed(SealFlags::SEAL | SealFlags::GROW)] {
        assert_eq!(refused(CLAIM, fd.try_clone().unwrap()), MemfdError::NotSealable);
        assert_eq!(refused(SEAL, fd.try_clone().unwrap()), MemfdError::NotSealable);
        assert_eq!(refused(VIEW, fd), MemfdError::NotSealed);
    }
    assert_eq!(refused(CLAIM, sealed(STABLE)), MemfdError::Sealed);
    assert_eq!(refused(VIEW, sealed(SealFlags::WRITE)), MemfdError::NotSealed);
    // A file that is sealed for good opens, even if the descriptor is only open for reading.
    let done = sealed(STABLE | SealFlags::SEAL);
    SEAL(reopened(&done, OpenOptions::new().read(true))).unwrap();
    SEAL(done).unwrap();
}

#[test]
fn a_file_that_is_mapped_is_in_use() {
    let memory = MemfdMemory::<BLOCK>::with_max_len("kho-block-outside", BLOCK).unwrap();
    let fd = memory.into_fd();
    let other = fd.try_clone().unwrap();
    let memory = from_fd::<BLOCK>(fd).unwrap();
    assert_eq!(refused(SEAL, other.try_clone().unwrap()), MemfdError::InUse);
    drop(memory);
    SEAL(other).unwrap();
}

#[test]
fn a_length_that_does_not_fit_is_named() {
    for len in [0, 1, BLOCK as u64 + 1] {
        let fd = memfd(MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&fd, len).unwrap();
        assert_eq!(refused(CLAIM, fd), MemfdError::Length { len });
    }
    // A file of one hole, which is longer than the address space.
    let fd = memfd(MemfdFlags::ALLOW_SEALING).unwrap();
    let len = 1_usize << 62;
    ftruncate(&fd, len as u64).unwrap();
    let error = refused(CLAIM, fd.try_clone().unwrap());
    assert!(
        matches!(error, MemfdError::AddressSpace { .. } | MemfdError::OutOfMemory),
        "{error:?}"
    );
    assert_eq!(refused(SEAL, fd), MemfdError::AddressSpace { len });
}
