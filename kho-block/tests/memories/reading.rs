//! Checks of `read` and `lend`: which bytes they return, and which they refuse.

use kho_block::{BlockMemory, PhysAddr, ReadErrorKind, ReadMemory, StableMemory};

use crate::owner::{Owner, pattern};

/// Reads bytes. Checks that an error names the address that was asked for.
fn read(memory: &impl ReadMemory, addr: u64, len: usize) -> Result<Vec<u8>, ReadErrorKind> {
    let addr = PhysAddr::new(addr);
    let mut bytes = vec![0xee; len];
    memory.read(addr, &mut bytes).map_err(|error| {
        assert_eq!(error.addr, addr);
        error.kind
    })?;
    Ok(bytes)
}

/// Only preserved blocks are read.
pub(crate) fn only_preserved_blocks_are_read<M: BlockMemory>(memory: &M) {
    let size = M::BLOCK_SIZE;
    let mut owners: Vec<_> = (0..8).map(|_| Owner::allocate(memory)).collect();
    for (seed, owner) in owners.iter_mut().enumerate() {
        owner.fill(seed);
    }
    let addrs: Vec<_> = owners.iter().map(|owner| owner.addr().get()).collect();
    // The first extent of every memory has more than two blocks in a row.
    let pair = (0..7).find(|n| addrs[*n] + size as u64 == addrs[n + 1]);
    let Some(pair) = pair else {
        assert!(size >= 1 << 16, "no two blocks are neighbours");
        return;
    };
    let here = addrs[pair];
    let refused = Err(ReadErrorKind::NotPreserved);

    // Both are owned.
    assert_eq!(read(memory, here, 16), refused);
    assert_eq!(read(memory, here + size as u64 - 1, 2), refused);
    let second = owners.remove(pair + 1);
    let first = owners.remove(pair);
    // The first is preserved. No read goes on into the second.
    first.hand_over();
    assert_eq!(read(memory, here, size), Ok(pattern(pair, size)));
    assert_eq!(read(memory, here + 8, 24), Ok(pattern(pair, 24)));
    assert_eq!(read(memory, here + size as u64 - 8, 8), Ok(pattern(pair, 8)));
    assert_eq!(read(memory, here + size as u64 - 8, 9), refused);
    assert_eq!(read(memory, here, size + 1), refused);
    // Both are preserved.
    second.hand_over();
    let both = [pattern(pair, size), pattern(pair + 1, size)].concat();
    assert_eq!(read(memory, here, 2 * size), Ok(both.clone()));
    assert_eq!(read(memory, here + size as u64 - 8, 16), Ok(both[size - 8..][..16].to_vec()));
    // Only the second is preserved. The first is claimed, and then freed.
    let first = Owner::claim(memory, PhysAddr::new(here)).unwrap();
    for owner in [Some(first), None] {
        assert_eq!(read(memory, here, 1), refused);
        assert_eq!(read(memory, here + size as u64 - 1, 2), refused);
        assert_eq!(read(memory, here + size as u64, size), Ok(both[size..].to_vec()));
        drop(owner);
    }
    let second = Owner::claim(memory, PhysAddr::new(here + size as u64)).unwrap();
    drop(second);
    assert_eq!(read(memory, here + size as u64, size), refused);
}

/// Bytes that are in no block are outside.
pub(crate) fn nothing_is_read_outside<M: BlockMemory>(memory: &M) {
    let outside = Err(ReadErrorKind::Outside);
    assert_eq!(read(memory, 0, 1), outside);
    assert_eq!(read(memory, M::BLOCK_SIZE as u64, 1), outside); // it has no block yet
    let addr = Owner::allocate(memory).hand_over();
    assert!(read(memory, addr.get(), M::BLOCK_SIZE).is_ok());
    for addr in [0, 8, u64::MAX, u64::MAX - 15, 1 << 62] {
        assert_eq!(read(memory, addr, 16), outside, "at {addr:#x}");
    }
    assert!(read(memory, addr.get() - 1, 2).is_err());
    assert_eq!(read(memory, addr.get(), 1 << 24), outside);
    drop(Owner::claim(memory, addr).unwrap());
}

/// A stable memory copies and lends the bytes it has, and no others.
pub(crate) fn bytes_are_given<M: StableMemory>(memory: &M, start: u64, bytes: &[u8]) {
    let len = bytes.len();
    for (offset, count) in [(0, len), (0, 0), (0, 1), (1, len - 1), (len / 2, 7), (len - 1, 1)] {
        let addr = start + offset as u64;
        let expected = &bytes[offset..][..count];
        assert_eq!(read(memory, addr, count).as_deref(), Ok(expected));
        let lent = memory.lend(PhysAddr::new(addr), count).unwrap();
        assert_eq!(lent, expected);
        // The bytes are lent, not copied.
        assert_eq!(lent.as_ptr(), memory.lend(PhysAddr::new(addr), count).unwrap().as_ptr());
    }
    let end = start + len as u64;
    for (addr, count) in [(start, len + 1), (end - 1, 2), (end, 1), (end + 1, 1), (u64::MAX, 2)] {
        assert_eq!(read(memory, addr, count), Err(ReadErrorKind::Outside));
        let error = memory.lend(PhysAddr::new(addr), count).unwrap_err();
        assert_eq!((error.addr.get(), error.kind), (addr, ReadErrorKind::Outside));
    }
    assert!(memory.lend(PhysAddr::new(start), usize::MAX).is_err());
}
