//! Checks of a file before it is mapped, and calls that change its length and its memory.
//!
//! H4: a descriptor from outside is mapped only after its kind, length and seals are known to fit.
//!
//! # References
//!
//! memfd_create(2), fcntl(2), fstatfs(2), fallocate(2), lseek(2), getrlimit(2). Linux:
//! `mm/memfd.c`, `mm/shmem.c`.

use core::ops::Range;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    FallocateFlags, MemfdFlags, OFlags, SealFlags, SeekFrom, fallocate, fcntl_add_seals,
    fcntl_get_seals, fcntl_getfl, fstat, fstatfs, memfd_create, seek,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Resource, getrlimit};

use super::error::MemfdError;
use crate::memory::page_size::page_size;

/// Magic number of tmpfs in the result of fstatfs(2): Linux, `include/uapi/linux/magic.h`.
const TMPFS_MAGIC: u32 = 0x0102_1994;
const HUGETLBFS_MAGIC: u32 = 0x9584_58f6;

/// The access that a descriptor must have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadWrite,
}

/// Creates a memfd that can be sealed. The name appears in `/proc`.
pub(super) fn create(name: &str) -> Result<OwnedFd, MemfdError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let create = |flags| retry_on_intr(|| memfd_create(name, flags));
    // Linux 7.2 hands over a memfd's seals but not its mode, and a memfd that is sealed against
    // execution comes out sealed against writing. So use that seal only if the system requires it
    // (sysctl vm.memfd_noexec). Kernels before 6.3 know neither flag.
    create(flags | MemfdFlags::EXEC)
        .or_else(|error| match error {
            Errno::ACCESS => create(flags | MemfdFlags::NOEXEC_SEAL),
            Errno::INVAL => create(flags),
            error => Err(error),
        })
        .map_err(MemfdError::system("memfd_create"))
}

/// Checks that a descriptor refers to a memfd on tmpfs and has the given access. Returns the file's
/// seals.
///
/// The result stays true: a file's kind and a descriptor's access do not change, and seals are
/// never removed.
pub(super) fn check(fd: BorrowedFd<'_>, access: Access) -> Result<SealFlags, MemfdError> {
    let flags = retry_on_intr(|| fcntl_getfl(fd)).map_err(MemfdError::system("fcntl"))?;
    if flags.contains(OFlags::PATH) {
        return Err(MemfdError::PathOnly);
    }
    let stat = retry_on_intr(|| fstatfs(fd)).map_err(MemfdError::system("fstatfs"))?;
    // The field's type depends on the architecture. Magic numbers have 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    match stat.f_type as u32 {
        TMPFS_MAGIC => {}
        HUGETLBFS_MAGIC => return Err(MemfdError::HugeTlb),
        _ => return Err(MemfdError::NotMemfd),
    }
    let seals = retry_on_intr(|| fcntl_get_seals(fd)).map_err(|errno| match errno {
        // A directory, or something else on tmpfs that is not a file.
        Errno::INVAL => MemfdError::NotMemfd,
        errno => MemfdError::system("fcntl")(errno),
    })?;
    match flags & OFlags::RWMODE {
        OFlags::WRONLY => Err(MemfdError::WriteOnly),
        OFlags::RDONLY if access == Access::ReadWrite => Err(MemfdError::ReadOnly),
        _ => Ok(seals),
    }
}

/// Adds the wanted seals that the file lacks.
pub(super) fn add_seals(
    fd: BorrowedFd<'_>,
    seals: SealFlags,
    wanted: SealFlags,
) -> Result<(), MemfdError> {
    if seals.contains(wanted) {
        return Ok(());
    }
    // If the seals are final, none can be added, not even one that the file has.
    if seals.contains(SealFlags::SEAL) {
        return Err(MemfdError::NotSealable);
    }
    retry_on_intr(|| fcntl_add_seals(fd, wanted)).map_err(|errno| match errno {
        Errno::BUSY => MemfdError::InUse,
        errno => MemfdError::system("fcntl")(errno),
    })
}

/// Returns the file's length in bytes.
pub(super) fn len(fd: BorrowedFd<'_>) -> Result<u64, MemfdError> {
    let stat = retry_on_intr(|| fstat(fd)).map_err(MemfdError::system("fstat"))?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

/// Returns the length in bytes to which this process may grow a file.
///
/// The kernel sends SIGXFSZ to a process that grows a file further, so check first: getrlimit(2).
pub(super) fn len_limit() -> u64 {
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// Allocates memory for a range of the file, which grows if the range passes its end.
///
/// If it fails, part of the range may have memory. H5: only the success of this call proves that
/// the memory is there.
pub(super) fn allocate(fd: impl AsFd, bytes: Range<u64>) -> Result<(), Errno> {
    in_steps(bytes, |start, len| fallocate(&fd, FallocateFlags::empty(), start, len))
}

/// Passes the range to `allocate` in steps, which become smaller while signals interrupt them.
fn in_steps(
    bytes: Range<u64>,
    mut allocate: impl FnMut(u64, u64) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let (mut start, mut step) = (bytes.start, bytes.end - bytes.start);
    while start < bytes.end {
        step = step.min(bytes.end - start);
        match allocate(start, step) {
            Ok(()) => start += step,
            // A signal undoes the step. A smaller one may complete between two signals.
            Err(Errno::INTR) => step = (step / 2).max(page_size() as u64),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Passes each range of the first `len` bytes that has memory to `visit`, in order.
///
/// The file's position stays where it was.
pub(super) fn for_each_backed(
    fd: BorrowedFd<'_>,
    len: usize,
    mut visit: impl FnMut(Range<usize>),
) -> Result<(), MemfdError> {
    let at = |from| match retry_on_intr(|| seek(fd, from)) {
        Ok(offset) => Ok(Some(offset)),
        // There is no more data before the end of the file.
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(MemfdError::system("lseek")(errno)),
    };
    let within = |offset| usize::try_from(offset).map_or(len, |offset| offset.min(len));
    let position = at(SeekFrom::Current(0))?.unwrap_or(0);
    let mut end = 0;
    while let Some(start) = at(SeekFrom::Data(end as u64))? {
        end = at(SeekFrom::Hole(start))?.map_or(len, within);
        let start = within(start);
        if start >= end {
            break;
        }
        visit(start..end);
    }
    at(SeekFrom::Start(position)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On Linux 6.1 a signal interrupts fallocate(2), which returns EINTR. On later kernels it does
    /// not.
    #[test]
    fn signals_make_steps_smaller() {
        let page = page_size() as u64;
        let mut allocated = page;
        let interrupted = |start, len| {
            assert_eq!(start, allocated);
            if len > 3 * page {
                return Err(Errno::INTR);
            }
            allocated += len;
            Ok(())
        };
        assert_eq!(in_steps(page..100 * page, interrupted), Ok(()));
        assert_eq!(allocated, 100 * page);
        // The smallest step is tried again. Another error ends it.
        let mut answers = [Errno::INTR, Errno::INTR, Errno::NOSPC].into_iter();
        let answer = |_, _| answers.next().map_or(Ok(()), Err);
        assert_eq!(in_steps(0..page, answer), Err(Errno::NOSPC));
    }
}
