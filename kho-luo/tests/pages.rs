//! Pages that the caller chooses: their order, their states, and what is written in them.
#![allow(clippy::cast_possible_truncation)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use kho_block::{
    BlockSet, PhysAddr, ReadErrorKind, ReadMemory, ReserveErrorKind, RestoreErrorKind, SetHead,
};
use kho_luo::{CompatibleName, LuoFile, PageCounts, PageErrorKind, PageMemory, pages_of};

#[repr(C, align(4096))]
#[derive(Clone, Copy)]
struct Page([u8; 4096]);

const ADDRS: [u64; 4] = [0x9000, 0x2000, 0x7000, 0x3000];

fn pages() -> [Page; 4] {
    [Page([0xee; 4096]); 4]
}

fn memory(pages: &mut [Page; 4]) -> PageMemory<'_> {
    let memory = PageMemory::new();
    for (addr, page) in ADDRS.iter().zip(pages) {
        memory.add_free(PhysAddr::new(*addr), &mut page.0).unwrap();
    }
    memory
}

fn file(token: u64) -> LuoFile {
    LuoFile::new(CompatibleName::new("memfd-v2").unwrap(), 0x1000, token)
}

fn counts(memory: &PageMemory<'_>) -> [usize; 3] {
    let PageCounts { free, owned, preserved, .. } = memory.counts();
    [free, owned, preserved]
}

#[test]
fn pages_come_in_the_order_they_were_added() {
    let mut pages = pages();
    let memory = memory(&mut pages);
    let mut set = BlockSet::new_in(&memory);
    for token in 0..63 * 3 + 1 {
        set.push(file(token)).unwrap();
    }
    let blocks: Vec<u64> = set.blocks().map(|addr| addr.get()).collect();
    assert_eq!(blocks, ADDRS);
    assert_eq!(counts(&memory), [0, 4, 0]);
    // Full, and unchanged.
    let error = set.try_reserve(63).unwrap_err();
    assert_eq!((error.position, error.kind), (4, ReserveErrorKind::Full));
    set.truncate(63 * 2);
    set.shrink_to_fit();
    assert_eq!(counts(&memory), [2, 2, 0]);
    let head = set.hand_over();
    assert_eq!(counts(&memory), [2, 0, 2]);
    assert_eq!(head.addr().get(), 0x9000);
    // Claimed and written on.
    let mut set = BlockSet::restore(&memory, head).unwrap();
    set.push(file(1000)).unwrap();
    assert_eq!(set.len(), 63 * 2 + 1);
    let tokens: u64 = set.iter().map(|file| file.token).sum();
    assert_eq!(tokens, (0..126).sum::<u64>() + 1000);
    let third = set.blocks().nth(2).unwrap();
    let _ = set.hand_over();
    drop(memory);
    // The caller has the bytes: a block is zero behind what was written.
    let index = ADDRS.iter().position(|addr| *addr == third.get()).unwrap();
    assert_eq!(pages[index].0[8..16], 1_u64.to_ne_bytes());
    assert!(pages[index].0[16 + 64..].iter().all(|byte| *byte == 0));
}

#[test]
fn pages_that_hold_something_are_claimed_once() {
    let mut pages = pages();
    let head = {
        let memory = memory(&mut pages);
        let mut set = BlockSet::new_in(&memory);
        set.push(file(7)).unwrap();
        set.hand_over()
    };
    let memory = PageMemory::new();
    memory.add_preserved(PhysAddr::new(0x9000), &mut pages[0].0).unwrap();
    let set = BlockSet::restore(&memory, head).unwrap();
    assert_eq!(set[0].token, 7);
    let restore = |addr| {
        let head = SetHead::<LuoFile>::new(PhysAddr::new(addr));
        let error = BlockSet::restore(&memory, head).unwrap_err();
        assert_eq!(error.addr, head.addr());
        error.kind
    };
    assert_eq!(restore(0x9000), RestoreErrorKind::Owned);
    assert_eq!(restore(0x9008), RestoreErrorKind::Misaligned);
    assert_eq!(restore(0xa000), RestoreErrorKind::Outside);
    drop(set);
    assert_eq!(restore(0x9000), RestoreErrorKind::NotPreserved);
}

#[test]
fn reads_go_across_preserved_pages_only() {
    let mut pages = pages();
    let [a, b, c, d] = &mut pages;
    a.0.fill(1);
    b.0.fill(2);
    let memory = PageMemory::new();
    memory.add_preserved(PhysAddr::new(0x1000), &mut a.0).unwrap();
    memory.add_preserved(PhysAddr::new(0x2000), &mut b.0).unwrap();
    memory.add_free(PhysAddr::new(0x3000), &mut c.0).unwrap();
    let last = PhysAddr::new(u64::MAX - 0xfff);
    memory.add_preserved(last, &mut d.0).unwrap();
    let read = |addr, len| {
        let mut buf = vec![0; len];
        memory.read(PhysAddr::new(addr), &mut buf).map(|()| buf).map_err(|error| error.kind)
    };
    assert_eq!(read(0x1fff, 2), Ok(vec![1, 2]));
    assert_eq!(read(0x1000, 0x2000).unwrap().len(), 0x2000);
    assert_eq!(read(0x2fff, 2), Err(ReadErrorKind::NotPreserved));
    assert_eq!(read(0xfff, 2), Err(ReadErrorKind::Outside));
    assert_eq!(read(0x5000, 0), Ok(vec![]));
    assert_eq!(read(last.get(), 4096).unwrap().len(), 4096);
    assert_eq!(read(last.get(), 4097), Err(ReadErrorKind::Outside));
}

#[test]
fn pages_that_are_none() {
    let mut pages = pages();
    let [a, b, c, _] = &mut pages;
    let memory = PageMemory::new();
    let add = |addr, page| memory.add_free(PhysAddr::new(addr), page).map_err(|error| error.kind);
    let (start, rest) = a.0.split_at_mut(2048);
    assert_eq!(add(0, &mut b.0), Err(PageErrorKind::Null));
    assert_eq!(add(0x1000, start), Err(PageErrorKind::Length { len: 2048 }));
    assert_eq!(add(0x1800, rest), Err(PageErrorKind::Misaligned));
    assert_eq!(add(0x1000, &mut c.0), Ok(()));
    let mut bytes = vec![0_u128; 257];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut bytes);
    let mut again = Page([0; 4096]);
    assert_eq!(add(0x2000, &mut bytes[8..][..4096]), Err(PageErrorKind::BytesMisaligned));
    assert_eq!(add(0x1000, &mut again.0), Err(PageErrorKind::Duplicate));
    assert_eq!(counts(&memory), [1, 0, 0]);
}

#[test]
fn pages_of_a_guest() {
    let mut ram = vec![0_u128; 4 * 256];
    let flat: &mut [u8] = bytemuck::cast_slice_mut(&mut ram);
    for (number, page) in flat.chunks_mut(4096).enumerate() {
        page.fill(number as u8);
    }
    let base = PhysAddr::new(0x10_0000);
    let addr = |page: u64| PhysAddr::new(0x10_0000 + page * 4096);
    let pages = pages_of::<4096>(flat, base, &[addr(3), addr(0), addr(2)]).unwrap();
    let seen: Vec<(PhysAddr, u8)> = pages.iter().map(|(addr, page)| (*addr, page[0])).collect();
    assert_eq!(seen, [(addr(3), 3), (addr(0), 0), (addr(2), 2)]);
    let refused = |ram: &mut [u8], addrs: &[PhysAddr]| {
        let error = pages_of::<4096>(ram, base, addrs).unwrap_err();
        (error.addr, error.kind)
    };
    assert_eq!(refused(flat, &[addr(1), addr(1)]), (addr(1), PageErrorKind::Duplicate));
    assert_eq!(refused(flat, &[addr(4)]), (addr(4), PageErrorKind::Outside));
    let before = PhysAddr::new(0xf_f000);
    assert_eq!(refused(flat, &[before]), (before, PageErrorKind::Outside));
    let half = PhysAddr::new(0x10_0800);
    assert_eq!(refused(flat, &[half]), (half, PageErrorKind::Misaligned));
    assert_eq!(refused(&mut flat[..5000], &[addr(1)]), (addr(1), PageErrorKind::Outside));
    let last = PhysAddr::new(u64::MAX - 0xfff);
    assert_eq!(refused(flat, &[last]), (last, PageErrorKind::Outside));
}

/// While one thread restores a chain in vain, another finds it as if nobody did.
#[test]
fn failing_restores_are_never_seen() {
    let mut pages = pages();
    let memory = memory(&mut pages);
    let mut set = BlockSet::new_in(&memory);
    (0..4 * 63).for_each(|token| set.push(file(token)).unwrap());
    let head = set.hand_over();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                BlockSet::restore_with_limit(&memory, head, 3).map(drop).unwrap_err();
            }
        });
        let restores = (0..5000).map(|_| BlockSet::restore(&memory, head).map(BlockSet::hand_over));
        let refused = restores.filter(|restored| *restored != Ok(head)).count();
        stop.store(true, Relaxed);
        assert_eq!(refused, 0);
    });
}
