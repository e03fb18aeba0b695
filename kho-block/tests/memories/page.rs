//! `PageMemory`: the order of its pages, their states, and which pages it refuses.
#![allow(clippy::cast_possible_truncation)]

use kho_block::bytemuck::{self, Pod, Zeroable};
use kho_block::{
    AllocErrorKind, BlockSet, ClaimErrorKind, Entry, PageErrorKind, PageMemory, PhysAddr,
    ReadErrorKind, ReadMemory, ReserveErrorKind, split_pages,
};

use crate::common::OneBlock as _;
use crate::{claims, owner, owning, reading, threads};

#[repr(C, align(4096))]
#[derive(Clone, Copy)]
struct Page([u8; 4096]);

/// An entry of which 63 fit in a block.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
struct File([u64; 8]);

const PER_BLOCK: u64 = 63;
const ADDRS: [u64; 4] = [0x9000, 0x2000, 0x7000, 0x3000];

fn file(token: u64) -> File {
    File([token; 8])
}

fn at(addr: u64) -> PhysAddr {
    PhysAddr::new(addr)
}

fn pages() -> [Page; 4] {
    [Page([0xee; 4096]); 4]
}

fn memory(pages: &mut [Page; 4]) -> PageMemory<'_> {
    let memory = PageMemory::new();
    for (addr, page) in ADDRS.iter().zip(pages) {
        memory.add_free(at(*addr), &mut page.0).unwrap();
    }
    memory
}

/// Returns the number of pages that are free, owned and preserved.
fn usage(memory: &PageMemory<'_>) -> [usize; 3] {
    let usage = memory.usage();
    assert_eq!(usage.unbacked, 0);
    [usage.free, usage.owned, usage.preserved]
}

/// A memory with enough pages for the checks of the guarantees.
#[test]
fn guarantees() {
    fn check(check: impl Fn(&PageMemory<'_>)) {
        let mut pages = vec![Page([0xee; 4096]); 201];
        let memory = PageMemory::new();
        for (number, page) in pages.iter_mut().enumerate() {
            memory.add_free(at((number as u64 + 1) * 4096), &mut page.0).unwrap();
        }
        check(&memory);
    }
    check(|memory| owning::g1_pointers_are_valid(memory));
    check(|memory| owning::g1_moving_moves_no_block(memory));
    check(|memory| owning::g2_blocks_are_exclusive(memory));
    check(|memory| owning::g4_addresses_are_unique(memory));
    check(|memory| owning::g6_pointers_share_blocks(memory, &memory));
    check(|memory| claims::claims_take_all_or_none(memory));
    check(|memory| reading::only_preserved_blocks_are_read(memory));
    check(|memory| threads::failing_restores_are_never_seen(memory));
}

#[test]
fn pages_come_in_the_order_they_were_added() {
    let mut pages = pages();
    let memory = memory(&mut pages);
    let mut set = BlockSet::new_in(&memory);
    for token in 0..PER_BLOCK * 3 + 1 {
        set.push(file(token)).unwrap();
    }
    let blocks: Vec<u64> = set.blocks().map(|addr| addr.get()).collect();
    assert_eq!(blocks, ADDRS);
    assert_eq!(usage(&memory), [0, 4, 0]);
    // The memory is full, and the set stays as it is.
    let error = set.try_reserve(PER_BLOCK as usize).unwrap_err();
    assert_eq!((error.position, error.kind), (4, ReserveErrorKind::Full));
    assert_eq!(memory.allocate_one().unwrap_err().kind, AllocErrorKind::Full);
    set.truncate(PER_BLOCK as usize * 2);
    set.shrink_to_fit();
    assert_eq!(usage(&memory), [2, 2, 0]);
    let head = set.hand_over();
    assert_eq!(usage(&memory), [2, 0, 2]);
    assert_eq!(head.addr().get(), 0x9000);
    // A successor claims the set and goes on. Blocks were freed last one first: 0x3000, then
    // 0x7000.
    let mut set = BlockSet::restore(&memory, head).unwrap();
    set.push(file(1000)).unwrap();
    assert_eq!(set.blocks().last(), Some(at(0x3000)));
    drop(set);
    assert_eq!(usage(&memory), [4, 0, 0]);
}

#[test]
fn pages_are_zeroed_and_given_back_as_they_were_written() {
    let mut pages = pages();
    let memory = memory(&mut pages);
    let mut owner = owner::Owner::allocate(&memory);
    assert!(owner.is_zero());
    owner.fill(3);
    owner.hand_over();
    drop(memory);
    assert!(pages[0].0 == *owner::pattern(3, 4096));
    assert!(pages[1].0 == [0xee; 4096], "a page that nobody asked for was changed");
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
    memory.add_preserved(at(0x9000), &mut pages[0].0).unwrap();
    let set = BlockSet::restore(&memory, head).unwrap();
    assert_eq!(set[0].0, [7; 8]);
    let claim = |addr| memory.claim_one(at(addr)).unwrap_err().kind;
    assert_eq!(claim(0x9000), ClaimErrorKind::Owned);
    assert_eq!(claim(0x9008), ClaimErrorKind::Misaligned);
    assert_eq!(claim(0xa000), ClaimErrorKind::Outside);
    drop(set);
    assert_eq!(claim(0x9000), ClaimErrorKind::NotPreserved);
    let error = BlockSet::restore(&memory, head).unwrap_err();
    assert_eq!(error.addr, at(0x9000));
}

#[test]
fn reads_go_across_preserved_pages_only() {
    let mut pages = pages();
    let [a, b, c, d] = &mut pages;
    a.0.fill(1);
    b.0.fill(2);
    let memory = PageMemory::new();
    memory.add_preserved(at(0x1000), &mut a.0).unwrap();
    memory.add_preserved(at(0x2000), &mut b.0).unwrap();
    memory.add_free(at(0x3000), &mut c.0).unwrap();
    let last = u64::MAX - 0xfff;
    memory.add_preserved(at(last), &mut d.0).unwrap();
    let read = |addr, len| {
        let mut buf = vec![0; len];
        memory.read(at(addr), &mut buf).map(|()| buf).map_err(|error| error.kind)
    };
    assert_eq!(read(0x1fff, 2), Ok(vec![1, 2]));
    assert_eq!(read(0x1000, 0x2000).unwrap().len(), 0x2000);
    assert_eq!(read(0x2fff, 2), Err(ReadErrorKind::NotPreserved));
    assert_eq!(read(0xfff, 2), Err(ReadErrorKind::Outside));
    assert_eq!(read(0x5000, 0), Ok(vec![]));
    assert_eq!(read(last, 4096).unwrap().len(), 4096);
    assert_eq!(read(last, 4097), Err(ReadErrorKind::Outside));

    // Searches go from one preserved page to the next.
    let next = |addr| memory.next_readable(at(addr)).map(PhysAddr::get);
    assert_eq!(next(0), Some(0x1000));
    assert_eq!(next(0x2fff), Some(0x2fff));
    assert_eq!(next(0x3000), Some(last));
    assert_eq!(next(u64::MAX), Some(u64::MAX));
}

#[test]
fn what_can_not_be_a_page_is_refused() {
    let mut pages = pages();
    let [a, b, c, _] = &mut pages;
    let memory = PageMemory::new();
    let add = |addr, page| memory.add_free(at(addr), page).map_err(|error| error.kind);
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
    assert_eq!(usage(&memory), [1, 0, 0]);
}

#[test]
fn pages_are_split_off_the_memory_of_a_guest() {
    let mut ram = vec![0_u128; 4 * 256];
    let flat: &mut [u8] = bytemuck::cast_slice_mut(&mut ram);
    for (number, page) in flat.chunks_mut(4096).enumerate() {
        page.fill(number as u8);
    }
    let base = at(0x10_0000);
    let addr = |page: u64| at(0x10_0000 + page * 4096);
    let pages = split_pages::<4096>(flat, base, &[addr(3), addr(0), addr(2)]).unwrap();
    let seen: Vec<(PhysAddr, u8)> = pages.iter().map(|(addr, page)| (*addr, page[0])).collect();
    assert_eq!(seen, [(addr(3), 3), (addr(0), 0), (addr(2), 2)]);
    let refused = |ram: &mut [u8], addrs: &[PhysAddr]| {
        let error = split_pages::<4096>(ram, base, addrs).unwrap_err();
        (error.addr, error.kind)
    };
    assert_eq!(refused(flat, &[addr(1), addr(1)]), (addr(1), PageErrorKind::Duplicate));
    assert_eq!(refused(flat, &[addr(4)]), (addr(4), PageErrorKind::Outside));
    let before = at(0xf_f000);
    assert_eq!(refused(flat, &[before]), (before, PageErrorKind::Outside));
    let half = at(0x10_0800);
    assert_eq!(refused(flat, &[half]), (half, PageErrorKind::Misaligned));
    assert_eq!(refused(&mut flat[..5000], &[addr(1)]), (addr(1), PageErrorKind::Outside));
    let last = at(u64::MAX - 0xfff);
    assert_eq!(refused(flat, &[last]), (last, PageErrorKind::Outside));
}
