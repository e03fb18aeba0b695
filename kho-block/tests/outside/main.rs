//! Conditions outside the program: descriptors of all kinds, limits of the process, forks, sparse
//! files.

// The sizes need 64-bit addresses.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![allow(unsafe_code)] // the tests open descriptors as memories, and fork

mod child;
#[path = "../common/mod.rs"]
mod common;
mod descriptors;
mod fork;
mod growth;
mod holes;
mod limits;
mod mapping;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, FromFdError, MemfdMemory, SetHead};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, fstat, memfd_create};

const BLOCK: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
struct Number {
    value: u64,
}

/// Returns a memory in which a set of `count` numbers was handed over.
fn handed_over(count: u64) -> (MemfdMemory, SetHead<Number>) {
    let memory = MemfdMemory::new("kho-block-outside").unwrap();
    let mut set = BlockSet::new_in(&memory);
    (0..count).for_each(|value| set.push(Number { value }).unwrap());
    let head = set.hand_over();
    (memory, head)
}

/// Opens a file that nobody else writes, since each test has one of its own.
fn from_fd<const B: usize>(fd: OwnedFd) -> Result<MemfdMemory<B>, FromFdError> {
    // SAFETY: each test has its file to itself.
    unsafe { MemfdMemory::from_fd(fd) }
}

fn memfd(flags: MemfdFlags) -> rustix::io::Result<OwnedFd> {
    memfd_create("kho-block-outside", MemfdFlags::CLOEXEC | flags)
}

/// Returns the number of bytes of memory that a file has.
fn allocated(fd: impl AsFd) -> u64 {
    u64::try_from(fstat(fd).unwrap().st_blocks).unwrap() * 512
}
