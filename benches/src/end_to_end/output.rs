//! The file that the other formats write to.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// A memfd behind a buffer that stays in a core's cache.
///
/// Writing through it beats a mapping of the file, which faults at each page, and a buffer as long
/// as the file, which does so too.
pub struct Output(BufWriter<File>);

const BUFFER: usize = 256 << 10;

impl Output {
    /// Makes a file; with `len`, that much of it is allocated.
    ///
    /// # Errors
    /// If a system call fails or memory is short.
    pub fn new(len: Option<u64>) -> anyhow::Result<Self> {
        let fd = memfd_create("end-to-end", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .context("can't make a memfd")?;
        if let Some(len) = len {
            fallocate(&fd, FallocateFlags::KEEP_SIZE, 0, len)
                .context("can't allocate the memfd")?;
        }
        Ok(Self::to(fd))
    }

    /// Returns an output to a file that is empty.
    #[must_use]
    pub fn to(fd: OwnedFd) -> Self {
        Self(BufWriter::with_capacity(BUFFER, File::from(fd)))
    }

    /// Writes what is left in the buffer and seals the file.
    ///
    /// # Errors
    /// If a system call fails or memory is short.
    pub fn finish(self) -> anyhow::Result<OwnedFd> {
        let file = self.0.into_inner().context("can't write the memfd")?;
        seal(file.into())
    }
}

impl Write for Output {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Seals a file for the successor, which reads it in place.
pub(super) fn seal(fd: OwnedFd) -> anyhow::Result<OwnedFd> {
    let seals = SealFlags::WRITE | SealFlags::SHRINK;
    // The kernel refuses while it holds a page of the file, for example to move it. Try again.
    let mut result = Err(Errno::BUSY);
    for _ in 0..10 {
        result = fcntl_add_seals(&fd, seals);
        if result != Err(Errno::BUSY) {
            break;
        }
    }
    result.context("can't seal the memfd")?;
    Ok(fd)
}
