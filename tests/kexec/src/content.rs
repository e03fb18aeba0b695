//! What is in the files that are preserved: each page says which file it is of.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};

/// Size of a page of the guest.
pub const PAGE_SIZE: usize = 4096;

/// The page `index` of the file with this number.
#[must_use]
pub fn page(file: u64, index: usize) -> Vec<u8> {
    let mut text = format!("page {index} of file {file}\n").into_bytes();
    text.resize(PAGE_SIZE, b'.');
    text
}

/// A memfd of so many pages.
///
/// # Errors
/// It could not be made or written.
pub fn create(file: u64, pages: usize) -> rustix::io::Result<OwnedFd> {
    let fd = memfd_create(format!("file-{file}"), MemfdFlags::CLOEXEC)?;
    ftruncate(&fd, (pages * PAGE_SIZE) as u64)?;
    for index in 0..pages {
        // A page is written whole, or the one that checks it will find out.
        pwrite(&fd, &page(file, index), (index * PAGE_SIZE) as u64)?;
    }
    Ok(fd)
}

/// Whether the file starts with its first page.
///
/// # Errors
/// What it starts with instead.
pub fn check(fd: impl AsFd, file: u64) -> Result<(), String> {
    let mut bytes = [0; PAGE_SIZE];
    let len = pread(fd, &mut bytes, 0).map_err(|error| error.to_string())?;
    if bytes[..len] == *page(file, 0) {
        return Ok(());
    }
    let found = String::from_utf8_lossy(&bytes[..len]);
    Err(format!("not file {file} but {:?}", found.lines().next().unwrap_or_default()))
}
