//! `DumpMemory`: pieces in any order, which do not overlap.

use std::rc::Rc;
use std::sync::Arc;

use kho_block::{DumpError, DumpMemory, PhysAddr, ReadMemory, StableMemory};

use crate::reading::bytes_are_given;

fn at(addr: u64) -> PhysAddr {
    PhysAddr::new(addr)
}

fn numbered(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// A page that differs between addresses.
fn page_of(addr: PhysAddr) -> Vec<u8> {
    vec![addr.get().to_le_bytes()[1]; 0x1000]
}

#[test]
fn gives_its_bytes() {
    let bytes = numbered(10_000);
    let mut dump = DumpMemory::<4096>::new_with_block_size();
    dump.insert(at(0x1234), &bytes[..]).unwrap();
    bytes_are_given(&dump, 0x1234, &bytes);
    bytes_are_given(&&dump, 0x1234, &bytes);
    bytes_are_given(&Rc::new(dump.clone()), 0x1234, &bytes);
    bytes_are_given(&Arc::new(dump), 0x1234, &bytes);

    let mut owned = DumpMemory::<65536>::new_with_block_size();
    owned.insert(at(0), bytes.clone()).unwrap();
    bytes_are_given(&owned, 0, &bytes);
    assert_eq!(<DumpMemory<'_, 65536> as ReadMemory>::BLOCK_SIZE, 65536);
}

#[test]
fn pieces_are_sorted() {
    let mut dump = DumpMemory::new();
    for addr in [0x5000, 0x1000, 0x9000, 0x3000, 0x7000] {
        dump.insert(at(addr), page_of(at(addr))).unwrap();
    }
    let starts: Vec<_> = dump.pieces().map(|(addr, _)| addr.get()).collect();
    assert_eq!(starts, [0x1000, 0x3000, 0x5000, 0x7000, 0x9000]);
    for (addr, bytes) in dump.pieces() {
        assert_eq!(bytes, page_of(addr));
        assert_eq!(dump.lend(addr, 0x1000).unwrap(), bytes);
    }
    for gap in [0, 0xfff, 0x2000, 0x8fff, 0xa000, u64::MAX] {
        assert!(dump.read(at(gap), &mut [0]).is_err(), "at {gap:#x}");
        assert!(dump.lend(at(gap), 1).is_err(), "at {gap:#x}");
    }
}

#[test]
fn overlaps_are_refused() {
    let mut dump = DumpMemory::new();
    dump.insert(at(0x1000), vec![1; 0x1000]).unwrap();
    dump.insert(at(0x4000), vec![2; 0x1000]).unwrap();
    let overlapping: [(u64, usize); 9] = [
        (0x1000, 0x1000), // the same
        (0x1000, 1),
        (0x1fff, 1),
        (0x1800, 0x10),   // inside
        (0x800, 0x801),   // over the start
        (0x1fff, 0x1000), // over the end
        (0x800, 0x2000),  // around
        (0x2000, 0x2001), // between, too long
        (0, 0x10000),     // around all
    ];
    for (addr, len) in overlapping {
        let error = dump.insert(at(addr), vec![3; len]).unwrap_err();
        assert_eq!(error, DumpError::Overlap { addr: at(addr) });
    }
    assert_eq!(dump.pieces().len(), 2);
    // Pieces that touch their neighbours.
    dump.insert(at(0x2000), vec![4; 0x2000]).unwrap();
    dump.insert(at(0xfff), vec![5; 1]).unwrap();
    dump.insert(at(0x5000), vec![6; 1]).unwrap();
    assert_eq!(dump.pieces().len(), 5);
}

#[test]
fn pieces_end_with_the_address_space() {
    let mut dump = DumpMemory::new();
    for (addr, len) in [(u64::MAX, 2), (u64::MAX - 15, 17), (u64::MAX - 15, 0x1000)] {
        let error = dump.insert(at(addr), vec![0; len]).unwrap_err();
        assert_eq!(error, DumpError::PastEnd { addr: at(addr) });
    }
    dump.insert(at(u64::MAX - 15), vec![7; 16]).unwrap();
    let mut bytes = [0; 16];
    dump.read(at(u64::MAX - 15), &mut bytes).unwrap();
    assert_eq!(bytes, [7; 16]);
    assert_eq!(dump.lend(at(u64::MAX), 1).unwrap(), [7]);
    assert!(dump.lend(at(u64::MAX), 2).is_err());
    assert!(dump.read(at(u64::MAX), &mut [0; 2]).is_err());
    dump.insert(at(0), vec![8]).unwrap();
    assert!(dump.read(at(u64::MAX), &mut [0; 2]).is_err(), "the address wrapped around");
}

#[test]
fn reads_cross_pieces_and_loans_do_not() {
    let bytes = numbered(0x3000);
    let mut dump = DumpMemory::new();
    dump.insert(at(0x2000), &bytes[0x1000..0x1001]).unwrap();
    dump.insert(at(0x1000), &bytes[..0x1000]).unwrap();
    dump.insert(at(0x2001), &bytes[0x1001..]).unwrap();
    let mut copy = vec![0; 0x3000];
    dump.read(at(0x1000), &mut copy).unwrap();
    assert!(copy == bytes);
    let mut copy = [0; 4];
    dump.read(at(0x1ffe), &mut copy).unwrap();
    assert_eq!(copy, bytes[0xffe..0x1002]);
    assert!(dump.lend(at(0x1ffe), 4).is_err());
    assert!(dump.lend(at(0x1ffe), 2).is_ok());
    assert!(dump.read(at(0x1001), &mut vec![0; 0x3000]).is_err());
}

#[test]
fn an_empty_piece_is_ignored() {
    let mut dump = DumpMemory::new();
    dump.insert(at(0x1000), &[][..]).unwrap();
    dump.insert(at(u64::MAX), Vec::new()).unwrap();
    assert_eq!(dump.pieces().len(), 0);
    dump.insert(at(0x1000), vec![1; 16]).unwrap();
    dump.insert(at(0x1008), Vec::new()).unwrap();
    assert_eq!(dump.pieces().len(), 1);
    assert!(dump.read(at(0xdead), &mut []).is_ok());
}

/// `Debug` prints the number of bytes, and not the bytes.
#[test]
fn debug_is_short() {
    let mut dump = DumpMemory::new();
    dump.insert(at(0x1000), vec![1; 0x1000]).unwrap();
    dump.insert(at(0x5000), vec![2; 0x10_0000]).unwrap();
    let text = format!("{dump:?}");
    assert_eq!(text, format!("DumpMemory {{ pieces: 2, len: {} }}", 0x10_1000));
    let slice = kho_block::SliceMemory::new(at(0x1000), &[7; 10_000]);
    assert_eq!(format!("{slice:?}"), "SliceMemory { base: PhysAddr(0x1000), len: 10000 }");
}
