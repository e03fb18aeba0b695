//! Content of preserved files. Each page names its file and its place in it.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};

/// Size in bytes of a page in the guest.
pub const PAGE_SIZE: usize = 4096;

/// Returns the content of page `index` of file `file`.
#[must_use]
pub fn page(file: u64, index: usize) -> Vec<u8> {
    let mut text = format!("page {index} of file {file}\n").into_bytes();
    text.resize(PAGE_SIZE, b'.');
    text
}

/// Creates file `file`: a memfd of `pages` pages.
///
/// # Errors
/// Returns an error if it can't be created or written.
pub fn create(file: u64, pages: usize) -> rustix::io::Result<OwnedFd> {
    let fd = memfd_create(format!("file-{file}"), MemfdFlags::CLOEXEC)?;
    ftruncate(&fd, (pages * PAGE_SIZE) as u64)?;
    for index in 0..pages {
        // A short write is noticed when the page is checked.
        pwrite(&fd, &page(file, index), (index * PAGE_SIZE) as u64)?;
    }
    Ok(fd)
}

/// Checks that a descriptor is of file `file`, by its first page.
///
/// # Errors
/// Returns an error if the page has other content, which is in the text.
pub fn check(fd: impl AsFd, file: u64) -> Result<(), String> {
    let mut bytes = [0; PAGE_SIZE];
    let len = pread(fd, &mut bytes, 0).map_err(|error| error.to_string())?;
    if bytes[..len] == *page(file, 0) {
        return Ok(());
    }
    let found = String::from_utf8_lossy(&bytes[..len]);
    Err(format!("not file {file} but {:?}", found.lines().next().unwrap_or_default()))
}
