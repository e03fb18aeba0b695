//! Parallel reading and writing beyond the model: iterators that lie about their length, panics at
//! every entry, pools of several sizes, nested sets.

#[path = "../common/mod.rs"]
mod common;
mod lying;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{
    BlockSet, Chunks, ChunksMut, DumpMemory, Entry, HeapMemory, Iter, ParChunks, ParChunksMut,
    ParIter, SetHead, SetView,
};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use common::{Decoded, decode, preserve_chain};

/// Size of a block in bytes, small so that few entries fill many.
const BLOCK: usize = 128;
/// Number of entries of 16 bytes that fit in a block.
const PER_BLOCK: usize = 7;

type Memory = HeapMemory<BLOCK>;
type Set<'m> = BlockSet<Item, &'m Memory>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
struct Item {
    id: u64,
    head: SetHead<Item>,
}

impl Item {
    fn new(id: usize) -> Self {
        Self { id: id as u64, head: SetHead::default() }
    }
}

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// Lengths at the edges of blocks.
fn lengths() -> impl Iterator<Item = usize> {
    [0, 1, 2, 5]
        .into_iter()
        .chain((1..5).flat_map(|blocks| (blocks * PER_BLOCK - 1)..=(blocks * PER_BLOCK + 1)))
}

/// Returns a set with `len` entries, numbered from 0.
fn numbered(memory: &Memory, len: usize) -> Set<'_> {
    let mut set = BlockSet::new_in(memory);
    let mut writer = set.writer();
    (0..len).for_each(|id| writer.push(Item::new(id)).unwrap());
    drop(writer);
    set
}

/// Checks that a set has `len` entries, numbered from 0, in blocks that are full except the last.
#[track_caller]
fn check(set: &Set<'_>, len: usize) {
    assert_eq!(set.len(), len);
    assert!(set.iter().copied().eq((0..len).map(Item::new)));
    assert_eq!(set.block_count(), len.div_ceil(PER_BLOCK));
    assert!(set.is_uniform());
}

/// Decodes the set that was handed over, without the library.
fn handed_over(memory: &Memory, set: Set<'_>) -> Decoded {
    let head = set.hand_over();
    decode(head.addr().get(), BLOCK, size_of::<Item>(), |addr, buf| {
        kho_block::ReadMemory::read(memory, kho_block::PhysAddr::new(addr), buf).unwrap();
    })
}

#[test]
fn every_length_on_pools_of_several_sizes() {
    for threads in [1, 2, 8] {
        let pool = pool(threads);
        for before in lengths() {
            for count in lengths().chain([100, 1000]) {
                let memory = Memory::new_with_block_size();
                let mut set = numbered(&memory, before);
                let ids = before..before + count;
                pool.install(|| set.par_extend(ids.into_par_iter().map(Item::new))).unwrap();
                check(&set, before + count);
                set.push(Item::new(before + count)).unwrap();
                check(&set, before + count + 1);
                let sum = pool.install(|| set.par_iter().map(|item| item.id).sum::<u64>());
                assert_eq!(sum, (0..=(before + count) as u64).sum());

                let other = Memory::new_with_block_size();
                let expected = handed_over(&other, numbered(&other, before + count + 1));
                let found = handed_over(&memory, set);
                assert_eq!(found.bytes(), expected.bytes());
                assert_eq!(found.counts(size_of::<Item>()), expected.counts(size_of::<Item>()));
            }
        }
    }
}

#[test]
fn a_chain_with_short_blocks_keeps_its_shape() {
    let pool = pool(4);
    for counts in [&[1, 1, 1][..], &[3, 7, 1, 2], &[1, 7, 7, 7], &[7, 1, 7, 1], &[2, 7]] {
        for count in lengths() {
            let before: usize = counts.iter().sum();
            let memory = Memory::new_with_block_size();
            let items: Vec<_> = (0..before).map(Item::new).collect();
            let head = preserve_chain(&memory, counts, &items);
            let mut set = BlockSet::restore(&memory, head).unwrap();
            let ids = before..before + count;
            pool.install(|| set.par_extend(ids.into_par_iter().map(Item::new))).unwrap();
            let all = || (0..before + count).map(Item::new);
            assert!(set.iter().copied().eq(all()));
            for most in 1..20 {
                let read: Vec<Item> =
                    pool.install(|| set.par_iter().with_max_len(most).copied().collect());
                assert!(read.into_iter().eq(all()));
            }
            let chunks: Vec<_> = set.par_chunks().map(<[Item]>::len).collect();
            let mut expected = counts.to_vec();
            let in_last = count.min(PER_BLOCK - counts.last().unwrap());
            *expected.last_mut().unwrap() += in_last;
            let behind = count - in_last;
            expected.extend(vec![PER_BLOCK; behind / PER_BLOCK]);
            expected.extend((behind % PER_BLOCK > 0).then_some(behind % PER_BLOCK));
            assert_eq!(chunks, expected);
            assert_eq!(handed_over(&memory, set).counts(size_of::<Item>()), expected);
        }
    }
}

/// A panic at any entry leaves the set as it was, and usable.
#[test]
fn a_panic_at_every_entry() {
    let pool = pool(2);
    for before in [0, 1, PER_BLOCK - 1, PER_BLOCK, PER_BLOCK + 1] {
        for at in 0..3 * PER_BLOCK + 1 {
            let memory = Memory::new_with_block_size();
            let mut set = numbered(&memory, before);
            let head = set.head();
            let all = before..before + 3 * PER_BLOCK + 1;
            let result = catch_unwind(AssertUnwindSafe(|| {
                let items = all.clone().into_par_iter().with_max_len(2).map(|id| {
                    if id == before + at {
                        resume_unwind(Box::new(id));
                    }
                    Item::new(id)
                });
                pool.install(|| set.par_extend(items))
            }));
            assert_eq!(result.unwrap_err().downcast_ref(), Some(&(before + at)));
            check(&set, before);
            assert_eq!(set.head(), head);
            let capacity = set.capacity();
            set.par_extend(all.into_par_iter().map(Item::new)).unwrap();
            check(&set, before + 3 * PER_BLOCK + 1);
            assert_eq!(set.capacity(), capacity, "the blocks that were reserved are used");
        }
    }
}

/// Entries that the writer pushed before and after, published or not, and a rollback.
#[test]
fn within_a_writer() {
    let memory = Memory::new_with_block_size();
    for first in lengths() {
        let mut set = BlockSet::new_in(&memory);
        let mut writer = set.writer();
        (0..first).for_each(|id| writer.push(Item::new(id)).unwrap());
        writer.par_extend((first..first + 10).into_par_iter().map(Item::new)).unwrap();
        assert_eq!(writer.pushed(), first + 10);
        (first + 10..first + 13).for_each(|id| writer.push(Item::new(id)).unwrap());
        drop(writer);
        check(&set, first + 13);

        let mut writer = set.writer();
        writer.push(Item::new(0)).unwrap();
        writer.par_extend((0..40).into_par_iter().map(Item::new)).unwrap();
        writer.rollback();
        check(&set, first + 13);
    }
    assert_eq!(memory.usage().owned, 0);
}

/// All or none: if blocks are missing, nothing changes.
#[test]
fn no_room() {
    let memory = Memory::new_with_block_size();
    let mut set = numbered(&memory, 10);
    set.set_block_limit(3);
    let error = set.par_extend((0..12).into_par_iter().map(Item::new)).unwrap_err();
    assert_eq!((error.position, set.capacity()), (3, 2 * PER_BLOCK));
    check(&set, 10);
    set.par_extend((10..21).into_par_iter().map(Item::new)).unwrap();
    check(&set, 21);
}

#[test]
fn in_place() {
    let memory = Memory::new_with_block_size();
    for len in lengths() {
        let mut set = numbered(&memory, len);
        set.par_chunks_mut().enumerate().with_max_len(1).for_each(|(block, chunk)| {
            assert!(chunk.len() == PER_BLOCK || block == len / PER_BLOCK);
            chunk.iter_mut().for_each(|item| item.id *= 2);
        });
        set.par_iter_mut().for_each(|item| item.id += 1);
        set.par_iter_mut().for_each(|item| item.id /= 2);
        check(&set, len);
        // From both ends.
        let chunks = set.par_chunks_mut().rev().map(|chunk| chunk.len()).collect::<Vec<_>>();
        assert!(chunks.iter().rev().copied().eq(set.chunks().map(<[Item]>::len)));
    }
}

/// Sets are written by parallel iterators within a parallel iterator that writes their heads.
#[test]
fn sets_within_sets() {
    let memory = Memory::new_with_block_size();
    for threads in [1, 2, 8] {
        let mut outer = BlockSet::new_in(&memory);
        let heads = (0..50_usize).into_par_iter().map(|n| {
            let mut inner = BlockSet::new_in(&memory);
            inner.par_extend((0..n).into_par_iter().map(Item::new)).unwrap();
            Item { id: n as u64, head: inner.hand_over() }
        });
        pool(threads).install(|| outer.par_extend(heads)).unwrap();
        assert_eq!(outer.len(), 50);
        pool(threads).install(|| {
            outer.par_iter().enumerate().for_each(|(n, item)| {
                assert_eq!(item.id, n as u64);
                check(&BlockSet::restore(&memory, item.head).unwrap(), n);
            });
        });
    }
    assert_eq!((memory.usage().owned, memory.usage().preserved), (0, 0));
}

/// Views are read in parallel, and so are sets whose memory stays on one thread.
#[test]
fn what_can_be_read() {
    let mut block = vec![0_u8; 4096];
    block[8..16].copy_from_slice(&3_u64.to_ne_bytes());
    let mut image = DumpMemory::new();
    image.insert(kho_block::PhysAddr::new(0x1000), block).unwrap();
    let head = SetHead::<Item>::new(kho_block::PhysAddr::new(0x1000));
    let view = SetView::restore(&image, head).unwrap();
    assert_eq!(view.par_iter().count(), 3);
    assert_eq!((&view).into_par_iter().count(), 3);
    assert_eq!(view.par_chunks().count(), 1);

    let mut set = BlockSet::new_in(Rc::new(Memory::new_with_block_size()));
    set.par_extend((0..20).into_par_iter().map(Item::new)).unwrap();
    set.par_iter_mut().for_each(|item| item.id += 1);
    assert_eq!((&set).into_par_iter().map(|item| item.id).sum::<u64>(), 210);
    let iter = set.par_iter();
    assert_eq!(
        format!("{:?} {:?}", iter.clone(), set.par_chunks().clone()),
        "ParIter { len: 20, .. } ParChunks { len: 3, .. }"
    );
}

/// Which types are `Send` and `Sync`. The test is that this compiles.
#[test]
fn send_and_sync() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    type OneThread = Rc<Memory>;
    send::<ParIter<'_, Item, OneThread>>();
    sync::<ParIter<'_, Item, OneThread>>();
    send::<ParChunks<'_, Item, OneThread>>();
    send::<ParChunksMut<'_, Item, OneThread>>();
    send::<ChunksMut<'_, Item, OneThread>>();
    send::<Chunks<'_, Item, OneThread>>();
    send::<Iter<'_, Item, OneThread>>();
}
