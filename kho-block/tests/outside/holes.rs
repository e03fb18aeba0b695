//! Sparse files, which have less memory than their length.

use std::ptr;

use kho_block::{BlockSet, MemfdMemory, RestoreErrorKind, SetHead};
use kho_block::{PhysAddr, ReadMemory as _};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SeekFrom, ftruncate, seek};
use rustix::io::pwrite;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::common::OneBlock as _;
use crate::{BLOCK, Number, allocated, from_fd, memfd};

/// Returns a sparse file with a block of one number at `offset`, and the head of that set.
fn sparse(len: u64, offset: u64) -> (OwnedFd, SetHead<Number>) {
    let fd = memfd(MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, len).unwrap();
    let block = [0, 1, 7_u64].map(u64::to_ne_bytes).concat();
    assert_eq!(pwrite(&fd, &block, offset), Ok(block.len()));
    (fd, SetHead::new(PhysAddr::new(offset)))
}

#[test]
fn opening_a_sparse_file_allocates_nothing() {
    for (len, offset) in [(1 << 30, 512 << 20), (1 << 40, (1 << 40) - BLOCK as u64)] {
        let (fd, head) = sparse(len, offset);
        let position = seek(&fd, SeekFrom::Start(123)).unwrap();
        let view = fd.try_clone().unwrap();
        let memory = from_fd::<BLOCK>(fd).unwrap();
        let usage = memory.usage();
        assert_eq!((usage.free, usage.owned, usage.preserved), (0, 0, 1));
        assert_eq!(usage.unbacked as u64, len / BLOCK as u64 - 2);
        assert_eq!(BlockSet::restore(&memory, head).unwrap()[0].value, 7);
        let hole = SetHead::<Number>::new(PhysAddr::new(BLOCK as u64));
        let error = BlockSet::restore(&memory, hole).unwrap_err();
        assert_eq!(error.kind, RestoreErrorKind::NotPreserved);
        assert!(memory.read(hole.addr(), &mut [0; 8]).is_err());
        assert_eq!(allocated(&view), BLOCK as u64);
        assert_eq!(seek(&view, SeekFrom::Current(0)), Ok(position));
    }
}

/// Blocks in holes get memory and are allocated before the file grows.
#[test]
fn holes_are_filled_before_the_file_grows() {
    let (fd, head) = sparse(1 << 20, 512 << 10);
    let view = fd.try_clone().unwrap();
    let memory = from_fd::<BLOCK>(fd).unwrap();
    let kept = BlockSet::restore(&memory, head).unwrap();
    let mut set = BlockSet::<Number, _>::new_in(&memory);
    for blocks in [1, 100, 254] {
        set.try_reserve(blocks * 510).unwrap();
        let usage = memory.usage();
        assert_eq!(usage.owned, blocks + 1);
        let backed = (usage.owned + usage.free) * BLOCK;
        assert!(allocated(&view) >= backed as u64, "{usage:?}");
    }
    assert_eq!(memory.usage().unbacked, 0);
    assert_eq!(rustix::fs::fstat(&view).unwrap().st_size, 1 << 20);
    set.try_reserve(255 * 510).unwrap();
    assert!(rustix::fs::fstat(&view).unwrap().st_size > 1 << 20);
    assert_eq!(kept[0].value, 7);
}

/// A block of 64 KiB with a single page is preserved, and gets its other pages when it is claimed.
#[test]
fn blocks_with_holes() {
    const LARGE: usize = 64 << 10;
    let (fd, _) = sparse(64 << 20, LARGE as u64);
    let at = |block: u64| PhysAddr::new(block * LARGE as u64);
    for block in 2..500 {
        assert_eq!(pwrite(&fd, b"x", at(block).get() + 5000), Ok(1));
    }
    let view = fd.try_clone().unwrap();
    let memory = from_fd::<LARGE>(fd).unwrap();
    let usage = memory.usage();
    assert_eq!((usage.preserved, usage.free, usage.unbacked), (499, 0, 524));
    let before = allocated(&view);
    let pages = LARGE as u64 - BLOCK as u64;

    let set = BlockSet::restore(&memory, SetHead::<Number>::new(at(1))).unwrap();
    assert_eq!((set[0].value, allocated(&view)), (7, before + pages));
    let head = set.hand_over();
    drop(BlockSet::restore(&memory, head).unwrap());
    assert_eq!(allocated(&view), before + pages);
    let mut byte = [0];
    memory.read(PhysAddr::new(at(2).get() + 5000), &mut byte).unwrap();
    assert_eq!((byte, allocated(&view)), ([b'x'], before + 2 * pages));

    // A free block is zeroed and gets memory when it is allocated.
    assert_eq!(memory.free_preserved(), 498);
    let usage = memory.usage();
    assert_eq!((usage.preserved, usage.free, usage.unbacked), (0, 2, 1021));
    let mut set = BlockSet::<Number, MemfdMemory<LARGE>>::new_in(memory);
    set.set_block_limit(usize::MAX);
    set.try_reserve(8190 * 1023).unwrap();
    assert_eq!(allocated(&view), (64 << 20) - LARGE as u64);
    let memory = set.memory();
    let block = memory.allocate_one().unwrap();
    // SAFETY: the block was just allocated (G1).
    let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), LARGE) };
    assert!(bytes.iter().all(|byte| *byte == 0));
}

/// G3: blocks are zero, even if somebody wrote after the end of the file, as a mapping can up to
/// the end of the last page.
#[test]
fn bytes_after_the_end() {
    const SMALL: usize = 32;
    let fd = memfd(MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, (BLOCK + SMALL) as u64).unwrap();
    let (prot, len) = (ProtFlags::READ | ProtFlags::WRITE, 2 * BLOCK);
    // SAFETY: without a fixed address the kernel maps where nothing else is.
    let map = unsafe { mmap(ptr::null_mut(), len, prot, MapFlags::SHARED, &fd, 0) }.unwrap();
    // SAFETY: the range is mapped for writing, to the end of the file's last page.
    unsafe { map.cast::<u8>().write_bytes(0xaa, len) };
    // SAFETY: this unmaps what was mapped above, which nothing points into.
    unsafe { munmap(map, len) }.unwrap();

    let memory = from_fd::<SMALL>(fd).unwrap();
    for _ in 0..3 * BLOCK / SMALL {
        let block = memory.allocate_one().unwrap();
        // SAFETY: the block was just allocated (G1).
        assert_eq!(unsafe { block.cast::<[u8; SMALL]>().read() }, [0; SMALL]);
    }
}
