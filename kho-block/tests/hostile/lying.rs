//! Memories that lie: bad implementations of the traits that are safe to implement.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use kho_block::abi::DEFAULT_BLOCK_LIMIT;
use kho_block::bytemuck::{self, Pod, Zeroable};
use kho_block::{
    BlockSet, ChainWalk, Entry, ForeignSet, HeapMemory, PhysAddr, ReadError, ReadErrorKind,
    ReadMemory, RestoreErrorKind, SetHead, SetView, StableMemory,
};

use crate::plan::{FIT, Item};

const HEAD: SetHead<Item> = SetHead::new(PhysAddr::new(0x1000));

/// A memory that answers a read with a function of the read's number and address.
struct Liar<F> {
    asked: Cell<usize>,
    answer: F,
}

impl<F> Liar<F> {
    fn new(answer: F) -> Self {
        Self { asked: Cell::new(0), answer }
    }
}

impl<F: Fn(usize, PhysAddr, &mut [u8]) -> Result<(), ReadErrorKind>> ReadMemory for Liar<F> {
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let number = self.asked.replace(self.asked.get() + 1);
        (self.answer)(number, addr, buf).map_err(|kind| ReadError::new(addr, kind))
    }
}

fn header(next: u64, count: u64) -> [u8; 16] {
    bytemuck::cast([next, count])
}

/// Returns a header for a read of a header, and otherwise arbitrary bytes.
fn reply(buf: &mut [u8], next: u64, count: u64) {
    if buf.len() == 16 {
        buf.copy_from_slice(&header(next, count));
    } else {
        buf.fill(0xa5);
    }
}

#[test]
fn endless_chain_ends_at_the_limit() {
    let memory = Liar::new(|_, addr: PhysAddr, buf: &mut [u8]| {
        reply(buf, addr.get() + 4096, FIT);
        Ok(())
    });
    let error = ForeignSet::restore(&memory, HEAD).unwrap_err();
    let limit = DEFAULT_BLOCK_LIMIT;
    assert_eq!(error.kind, RestoreErrorKind::TooLong { limit });
    assert_eq!((error.position, error.addr.get()), (limit, 0x1000 * (limit as u64 + 1)));
    assert_eq!(memory.asked.get(), 2 * limit);
    assert_eq!(ChainWalk::new(&memory, HEAD.addr(), 32).count(), limit + 1);
}

/// The chain is valid when it is restored. Each read of an entry after that fails or lies.
#[test]
fn memory_that_changes_after_the_restore() {
    let broken = Cell::new(false);
    let memory = Liar::new(|_, addr: PhysAddr, buf: &mut [u8]| {
        if broken.get() {
            buf.fill(0xff);
            return Err(ReadErrorKind::NotPreserved);
        }
        reply(buf, if addr.get() < 0x5000 { addr.get() + 4096 } else { 0 }, 3);
        Ok(())
    });
    let set = ForeignSet::restore(&memory, HEAD).unwrap();
    assert_eq!((set.len(), set.blocks().len()), (15, 5));
    assert!(set.get(14).unwrap().is_ok());
    broken.set(true);
    assert!(set.get(15).is_none());
    let error = set.get(4).unwrap().unwrap_err();
    assert_eq!((error.kind, error.addr.get()), (ReadErrorKind::NotPreserved, 0x2000 + 16 + 32));
    assert_eq!(set.iter().filter(Result::is_err).count(), 15);
    assert_eq!(set.iter().rev().count(), 15);
}

/// Pseudo-random headers, a different one for every read.
#[test]
fn another_answer_each_time() {
    for seed in 0..2000_u64 {
        let memory = Liar::new(|number: usize, _, buf: &mut [u8]| {
            let mut state = (seed << 32 | number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            state ^= state >> 29;
            state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            state ^= state >> 32;
            let next = (state % 9) * 4096 + if state % 97 == 0 { 8 } else { 0 };
            let count = if state % 89 == 0 { state } else { 1 + (state >> 8) % FIT };
            reply(buf, next, count);
            Ok(())
        });
        let limit = 200;
        let result = ForeignSet::restore_with_limit(&memory, HEAD, limit);
        assert!(memory.asked.get() <= 2 * limit);
        match result {
            Ok(set) => {
                let len = set.len();
                assert_eq!(set.iter().count(), len);
                assert!(set.get(len).is_none());
            }
            Err(error) => assert!(error.position <= limit),
        }
        memory.asked.set(0);
        let chain = ChainWalk::with_limit(&memory, HEAD.addr(), 32, limit);
        assert!(chain.count() <= limit + 1);
    }
}

#[test]
fn failing_at_any_read() {
    for kind in [ReadErrorKind::Outside, ReadErrorKind::NotPreserved, ReadErrorKind::Failed] {
        for last in 0..10 {
            let memory = Liar::new(|number, addr: PhysAddr, buf: &mut [u8]| {
                reply(buf, if addr.get() < 0x5000 { addr.get() + 4096 } else { 0 }, 3);
                if number < last { Ok(()) } else { Err(kind) }
            });
            let error = ForeignSet::restore(&memory, HEAD).unwrap_err();
            assert_eq!(error.kind, RestoreErrorKind::from(kind));
            // Two reads for each block: the header and the last entry.
            assert_eq!(
                (error.position, error.addr.get()),
                (last / 2, 0x1000 * (last as u64 / 2 + 1))
            );
            assert_eq!(memory.asked.get(), last + 1);
        }
    }
}

#[test]
fn panicking_reads_leave_the_walk_usable() {
    let memory = Liar::new(|number, addr: PhysAddr, buf: &mut [u8]| {
        assert!(number != 4, "the memory panics");
        reply(buf, if addr.get() < 0x5000 { addr.get() + 4096 } else { 0 }, 3);
        Ok(())
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| ForeignSet::restore(&memory, HEAD).is_ok()));
    assert!(panicked.is_err());
    assert_eq!(ForeignSet::restore(&memory, HEAD).unwrap().len(), 15);
}

/// Bytes that can be lent at any alignment.
#[repr(align(4096))]
struct Pages([u8; 4 * 4096]);

/// Lends what a function picks.
struct Lender<F> {
    pages: Box<Pages>,
    asked: Cell<usize>,
    pick: F,
}

impl<F> Lender<F> {
    /// Two pages, the first linked to the second, both full; a third like the second.
    fn new(pick: F) -> Self {
        let mut pages = Box::new(Pages([0; 4 * 4096]));
        pages.0[..16].copy_from_slice(&header(0x2000, FIT));
        pages.0[4096..][..16].copy_from_slice(&header(0, FIT));
        pages.0[8192..][..16].copy_from_slice(&header(0, FIT));
        Self { pages, asked: Cell::new(0), pick }
    }
}

impl<F> ReadMemory for Lender<F> {
    fn read(&self, addr: PhysAddr, _: &mut [u8]) -> Result<(), ReadError> {
        Err(ReadError::new(addr, ReadErrorKind::Failed))
    }
}

impl<F: Fn(usize, usize) -> Result<(usize, usize), ReadErrorKind>> StableMemory for Lender<F> {
    fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError> {
        assert_eq!(len, 4096);
        let number = self.asked.replace(self.asked.get() + 1);
        let usual = usize::try_from(addr.get()).unwrap() - 0x1000;
        let (start, len) = (self.pick)(number, usual).map_err(|kind| ReadError::new(addr, kind))?;
        Ok(&self.pages.0[start..][..len])
    }
}

#[test]
fn slices_of_other_lengths() {
    for len in [0, 1, 8, 15, 16, 17, 48, 4080, 4095, 4097, 8192] {
        for fails_at in 0..2 {
            let memory = Lender::new(|number, usual| {
                Ok((usual, if number == fails_at { len } else { 4096 }))
            });
            let error = SetView::restore(&memory, HEAD).map(drop).unwrap_err();
            assert_eq!((error.kind, error.position), (RestoreErrorKind::Failed, fails_at));
            assert_eq!(error.addr.get(), 0x1000 * (fails_at as u64 + 1));
        }
    }
}

/// Like `Item`, but of bytes only, and so aligned anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
struct Bytes([u8; 32]);

#[test]
fn slices_of_other_alignments() {
    for shift in 0..32 {
        // The page is moved by `shift`, with its header.
        let mut memory = Lender::new(|_, _| Ok((shift, 4096)));
        memory.pages.0.copy_within(4096..8192, shift);
        let view = SetView::restore(&memory, HEAD);
        if shift % align_of::<Item>() == 0 {
            assert_eq!(view.unwrap().len(), 127);
        } else {
            let error = view.map(drop).unwrap_err();
            assert_eq!((error.kind, error.position), (RestoreErrorKind::EntriesMisaligned, 0));
            assert_eq!(error.addr, HEAD.addr());
        }
        let view = SetView::restore(&memory, SetHead::<Bytes>::new(HEAD.addr())).unwrap();
        assert_eq!((view.len(), view.iter().count()), (127, 127));
        assert!(view.iter().rev().all(|bytes| bytes.0 == [0; 32]));
        assert_eq!(view.addr_of(1).unwrap().get(), 0x1000 + 16 + 32);
    }
}

/// One block is lent at every address. For reading that is harmless, and the walk ends.
#[test]
fn one_block_lent_everywhere() {
    let memory = Lender::new(|_, _| Ok((0, 4096)));
    let error = SetView::restore(&memory, HEAD).map(drop).unwrap_err();
    // 0x1000 → 0x2000 → 0x2000.
    assert_eq!((error.kind, error.position), (RestoreErrorKind::Cycle, 2));
    assert_eq!(error.addr.get(), 0x2000);

    let mut memory = Lender::new(|_, _| Ok((0, 4096)));
    memory.pages.0[..8].fill(0);
    let view = SetView::restore(&memory, HEAD).unwrap();
    assert_eq!(view.len(), 127);
    assert!(view.iter().eq(view.chunks().flatten()));
}

/// A different block each time.
#[test]
fn another_block_each_time() {
    let memory = Lender::new(|number, _| Ok((if number < 7 { 0 } else { 4096 }, 4096)));
    let result = SetView::restore_with_limit(&memory, HEAD, 5).map(drop);
    assert_eq!(result.unwrap_err().kind, RestoreErrorKind::Cycle);
    let result = SetView::restore_with_limit(&memory, HEAD, 5);
    assert!(result.is_err() || result.is_ok_and(|view| view.iter().count() == view.len()));
    assert!(memory.asked.get() <= 10);
}

#[test]
fn lending_that_fails_or_panics() {
    for kind in [ReadErrorKind::Outside, ReadErrorKind::NotPreserved, ReadErrorKind::Failed] {
        let memory =
            Lender::new(|number, usual| if number == 1 { Err(kind) } else { Ok((usual, 4096)) });
        let error = SetView::restore(&memory, HEAD).map(drop).unwrap_err();
        assert_eq!((error.kind, error.position), (RestoreErrorKind::from(kind), 1));
        assert_eq!(SetView::restore(&memory, HEAD).unwrap().len(), 254);
    }
    let memory = Lender::new(|number, usual| {
        assert!(number != 1, "the memory panics");
        Ok((usual, 4096))
    });
    let result = catch_unwind(AssertUnwindSafe(|| SetView::restore(&memory, HEAD).is_ok()));
    assert!(result.is_err());
    assert_eq!(SetView::restore(&memory, HEAD).unwrap().len(), 254);
}

/// Sets outlive the handle they were made with, move with their memory, and are dropped in any
/// order.
#[test]
fn drop_in_any_order() {
    let memory = Rc::new(HeapMemory::new());
    let fill = |set: &mut BlockSet<Item, Rc<HeapMemory>>, seed| {
        (0..300).for_each(|index| set.push(Item::new(seed, index)).unwrap());
    };
    let mut sets: Vec<_> = (0..6).map(|_| BlockSet::new_in(Rc::clone(&memory))).collect();
    for (seed, set) in sets.iter_mut().enumerate() {
        fill(set, seed);
    }
    let watch = Rc::downgrade(&memory);
    drop(memory);
    let head = sets.remove(3).hand_over();
    drop(sets.remove(0));
    for (set, seed) in sets.iter().zip([1, 2, 4, 5]) {
        assert!(set.iter().copied().eq((0..300).map(|index| Item::new(seed, index))));
    }
    let again = BlockSet::restore(watch.upgrade().unwrap(), head).unwrap();
    while let Some(set) = sets.pop() {
        drop(set);
        assert_eq!(again[299], Item::new(3, 299));
    }
    assert_eq!(watch.upgrade().unwrap().usage().owned, 3);
    drop(again);
    assert!(watch.upgrade().is_none());

    // A set that owns its memory, moved to another thread and into a box.
    let mut set = BlockSet::new_in(HeapMemory::new());
    (0..300).for_each(|index| set.push(Item::new(7, index)).unwrap());
    let set = Box::new(set);
    let set = std::thread::spawn(move || *set).join().unwrap();
    assert!(set.iter().copied().eq((0..300).map(|index| Item::new(7, index))));

    // A memory that is dropped with preserved blocks.
    let memory = Arc::new(HeapMemory::new());
    let mut set = BlockSet::new_in(Arc::clone(&memory));
    set.push(Item::new(8, 0)).unwrap();
    let head = set.hand_over();
    assert_eq!(memory.usage().preserved, 1);
    drop(memory);
    let error = BlockSet::restore(Arc::new(HeapMemory::new()), head).map(drop).unwrap_err();
    assert_eq!(error.kind, RestoreErrorKind::Outside);
}
