//! Facts about the C code beyond the format, one to a test. docs/kernel.md lists them by these
//! names. If one fails, the kernel has changed.

use kho_block::bytemuck::bytes_of;
use kho_block::{BlockSet, PhysAddr, RestoreErrorKind, SetHead};
use kho_linux_c::{Arena, CSet, PAGE, Refusal};

use crate::entries::{Words, sample};

type Item = Words<4>;

const SIZE: usize = 32;
const FIT: u64 = ((PAGE - 16) / SIZE) as u64;
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;

/// Returns a C set with `count` entries.
fn written(arena: &Arena, entries: u64) -> CSet<'_> {
    let mut c = CSet::new(arena, SIZE);
    c.grow(entries).unwrap();
    c.rewind();
    for seed in 0..entries {
        assert!(c.write(bytes_of(&sample::<Item>(seed))));
    }
    c
}

/// A restored C set refuses to grow, even if no block has to be added. Ours grows.
#[test]
fn restored_set_does_not_grow() {
    let arena = Arena::new(8);
    let head = written(&arena, 5).hand_over();
    let mut c = CSet::restore(&arena, SIZE, head).unwrap();
    assert_eq!(c.grow(0), Err(EINVAL));
    assert_eq!(c.grow(FIT + 1), Err(EINVAL));
    assert_eq!(arena.events().warnings, 2);
    let head = SetHead::<Item>::new(c.hand_over());
    let mut set = BlockSet::restore(&arena, head).unwrap();
    set.writer().extend_from_slice(&[sample(9); FIT as usize]).unwrap();
    assert_eq!((set.len(), set.block_count()), (5 + FIT as usize, 2));
}

/// A C set that was restored from a null head, or whose restore failed, also refuses to grow.
#[test]
fn no_set_grows_after_a_restore() {
    let arena = Arena::new(8);
    let mut c = CSet::new(&arena, SIZE);
    c.restore_into(PhysAddr::NULL).unwrap();
    assert!(c.is_empty());
    assert_eq!(c.grow(1), Err(EINVAL));
    let empty = arena.preserve(&[]);
    let mut c = CSet::new(&arena, SIZE);
    assert_eq!(c.restore_into(empty), Err(Refusal::Errno(EINVAL)));
    assert!(c.is_empty());
    assert_eq!(c.grow(1), Err(EINVAL));
}

/// Restoring into a C set with blocks appends to them and forgets their head. Later it frees them
/// as if they had been restored, which the kernel warns about.
#[test]
fn restore_into_a_set_with_blocks() {
    let arena = Arena::new(8);
    let head = written(&arena, 5).hand_over();
    let mut c = written(&arena, 3);
    let old_head = c.head();
    c.restore_into(head).unwrap();
    assert_eq!((c.block_count(), c.head()), (2, head));
    let mut entries = 0;
    while c.read().is_some() {
        entries += 1;
    }
    assert_eq!(entries, 8);
    // SAFETY: nobody has a reference into the page.
    let page = unsafe { arena.page(old_head) };
    assert_eq!(page[..8], head.get().to_ne_bytes());
    c.destroy();
    assert_eq!((arena.events().bad_frees, arena.usage().freed, arena.usage().c), (1, 1, 1));
}

/// If C runs out of memory during a restore, it frees every block: the data is lost.
#[test]
fn no_memory_while_restoring() {
    for objects in 0..3 {
        let arena = Arena::new(8);
        let head = written(&arena, 2 * FIT + 1).hand_over();
        arena.limit_objects(objects);
        let refusal = CSet::restore(&arena, SIZE, head).map(drop);
        assert_eq!(refusal, Err(Refusal::Errno(ENOMEM)));
        assert_eq!((arena.usage().freed, arena.usage().preserved), (3, 0));
        assert_eq!((arena.events().objects, arena.events().bad_frees), (0, 0));
    }
}

/// C allocates 10,001 pages before it refuses an entry that does not fit. Here such a type does not
/// compile.
#[test]
fn entry_that_does_not_fit() {
    if PAGE > 4096 {
        return; // 10,001 large pages
    }
    let arena = Arena::new(10_008);
    let mut c = CSet::new(&arena, PAGE - 15);
    assert_eq!(c.grow(1), Err(ENOSPC));
    assert_eq!((arena.usage().c, arena.usage().freed), (0, 10_001));
    assert!(!c.rewrite());
}

/// C links blocks when a set grows. Until they are written, every restore refuses the chain, and C
/// frees it. Ours never has an empty block.
#[test]
fn grown_and_not_written() {
    let arena = Arena::new(16);
    let mut c = written(&arena, FIT);
    c.grow(FIT).unwrap();
    assert_eq!(c.block_count(), 1, "the capacity suffices");
    c.grow(FIT + 1).unwrap();
    let head = c.hand_over();
    let error = BlockSet::<Item, _>::restore(&arena, SetHead::new(head)).map(drop).unwrap_err();
    assert_eq!((error.kind, error.position), (RestoreErrorKind::NoEntries, 1));
    assert_eq!(CSet::restore(&arena, SIZE, head).map(drop), Err(Refusal::Errno(EINVAL)));
    assert_eq!(arena.usage().freed, 2);

    let mut set = BlockSet::new_in(&arena);
    set.writer().extend_from_slice(&[sample::<Item>(1); FIT as usize]).unwrap();
    set.try_reserve(4 * FIT as usize).unwrap();
    let head = set.hand_over();
    assert_eq!(CSet::restore(&arena, SIZE, head.addr()).unwrap().block_count(), 1);
}

/// C's iterator returns the first slot of an empty block as an entry. It does not stop after it,
/// nor at the end of the page.
#[test]
fn reading_into_an_empty_block() {
    let arena = Arena::new(8);
    let mut c = written(&arena, FIT);
    c.grow(FIT + 1).unwrap();
    c.rewind();
    for seed in 0..FIT {
        assert!(c.read() == Some(bytes_of(&sample::<Item>(seed))));
    }
    for _ in 0..FIT {
        assert!(c.read() == Some(&[0; SIZE]), "nobody wrote this");
    }
    assert!(c.read().is_some(), "past the end of the page");
}

/// C counts an entry before it is written. Ours counts it after.
#[test]
fn count_comes_first() {
    let arena = Arena::new(8);
    let mut c = written(&arena, 1);
    assert!(c.rewrite());
    let head = SetHead::<Item>::new(c.hand_over());
    let set = BlockSet::restore(&arena, head).unwrap();
    assert_eq!(bytes_of(&set[1]), [0; SIZE]);
    let mut set = BlockSet::restore(&arena, set.hand_over()).unwrap();
    let mut writer = set.writer();
    writer.push_within_capacity(sample(2)).unwrap();
    std::mem::forget(writer);
    assert_eq!(set.len(), 2);
}

/// A C iterator that was made before the first block was added never sees a block.
#[test]
fn iterator_of_an_empty_set() {
    let arena = Arena::new(8);
    let mut c = CSet::new(&arena, SIZE);
    c.grow(1).unwrap();
    assert!(!c.write(bytes_of(&sample::<Item>(0))));
    c.rewind();
    assert!(c.write(bytes_of(&sample::<Item>(0))));
}

/// Clearing a C set zeroes its blocks and keeps the head. Ours then has no head and keeps other
/// bytes.
#[test]
fn cleared() {
    let arena = Arena::new(8);
    let mut c = written(&arena, 5);
    let mut set = BlockSet::new_in(&arena);
    set.writer().extend_from_slice(&[sample::<Item>(1); 5]).unwrap();
    let heads = (c.head(), set.head().addr());
    c.clear();
    set.clear();
    assert_eq!((c.head(), set.head().addr()), (heads.0, PhysAddr::NULL));
    // SAFETY: nobody has a reference into the page.
    let theirs = unsafe { arena.page(heads.0) };
    assert!(theirs.iter().all(|byte| *byte == 0));
    // SAFETY: nobody has a reference into the page.
    let ours = unsafe { arena.page(heads.1) };
    assert!(ours[..16].iter().all(|byte| *byte == 0));
    assert!(ours[16..48].iter().all(|byte| *byte != 0));
}

/// Shrinking a C set lowers no count, so the last block keeps removed entries.
#[test]
fn shrink_keeps_counts() {
    let arena = Arena::new(8);
    let mut c = written(&arena, 10);
    c.shrink(4);
    let set = BlockSet::restore(&arena, SetHead::<Item>::new(c.hand_over())).unwrap();
    assert_eq!(set.len(), 10);
}

/// A C set that can't grow is left as it was, whichever allocation fails.
#[test]
fn rollback() {
    for fail_at in 0..5 {
        let arena = Arena::new(32);
        let mut c = written(&arena, FIT);
        let before = (c.blocks(), arena.usage().c, arena.events().objects);
        for objects in [false, true] {
            if objects {
                arena.limit_pages(usize::MAX);
                arena.limit_objects(fail_at);
            } else {
                arena.limit_pages(fail_at);
            }
            assert_eq!(c.grow(6 * FIT), Err(ENOMEM));
            assert_eq!((c.blocks(), arena.usage().c, arena.events().objects), before);
            // SAFETY: nobody has a reference into the page.
            let page = unsafe { arena.page(c.head()) };
            assert_eq!(page[..8], [0; 8]);
        }
        arena.limit_objects(usize::MAX);
        let mut set = BlockSet::new_in(&arena);
        set.writer().extend_from_slice(&[sample::<Item>(1); FIT as usize]).unwrap();
        arena.limit_pages(fail_at);
        let error = set.try_reserve(5 * FIT as usize).unwrap_err();
        assert_eq!((error.position, set.capacity()), (1 + fail_at, FIT as usize));
        assert_eq!(arena.usage().rust, 1);
    }
}
