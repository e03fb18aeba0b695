//! Sets and chains around the limit of 10,000 blocks.

use kho_block::bytemuck::bytes_of;
use kho_block::{
    BlockSet, Entry, ForeignSet, PhysAddr, ReserveErrorKind, RestoreErrorKind, SetHead,
};
use kho_linux_c::{Arena, CSet, PAGE, Refusal};

use crate::entries::{Bytes, Words, sample};

const LIMIT: usize = 10_000;

/// Whether a test of the limit takes too much memory: 20,000 large pages. The limit is the same
/// there.
fn too_much_memory() -> bool {
    PAGE > 4096
}

const ENOSPC: i32 = 28;
const EINVAL: i32 = 22;

/// Growing by one block too many changes nothing. kho-block refuses at once, C after it has
/// allocated 10,001 pages.
fn over_the_limit<T: Entry>() {
    let fit = BlockSet::<T, &Arena>::COUNT_PER_BLOCK;
    let mut arena = Arena::new(LIMIT + 8);
    for total in [fit * LIMIT + 1, usize::MAX] {
        arena.reset();
        let mut c = CSet::new(&arena, size_of::<T>());
        let mut rust = BlockSet::<T, _>::new_in(&arena);
        let error = rust.try_reserve(total).unwrap_err();
        assert_eq!(error.kind, ReserveErrorKind::TooLong { limit: LIMIT });
        assert_eq!((rust.capacity(), arena.usage().rust), (0, 0));
        assert_eq!(c.grow(total as u64), Err(ENOSPC));
        assert_eq!((c.block_count(), c.head()), (0, PhysAddr::NULL));
        assert_eq!((arena.usage().c, arena.usage().freed), (0, LIMIT + 1));
    }
}

fn at_the_limit<T: Entry + PartialEq>() {
    let fit = BlockSet::<T, &Arena>::COUNT_PER_BLOCK;
    let arena = Arena::new(2 * LIMIT + 8);
    let total = fit * LIMIT;
    let mut c = CSet::new(&arena, size_of::<T>());
    let mut rust = BlockSet::<T, _>::new_in(&arena);
    c.grow(total as u64).unwrap();
    rust.try_reserve(total).unwrap();
    assert_eq!((c.block_count(), rust.capacity()), (LIMIT, total));
    c.rewind();
    let entries: Vec<T> = (0..total as u64).map(sample).collect();
    for entry in &entries {
        assert!(c.write(bytes_of(entry)));
    }
    rust.writer().extend_from_slice(&entries).unwrap();
    // It is full to the last slot.
    assert!(!c.write(bytes_of(&entries[0])));
    assert!(rust.push(entries[0]).is_err());
    assert_eq!(c.grow(total as u64 + 1), Err(ENOSPC));
    assert_eq!((c.block_count(), rust.capacity()), (LIMIT, total));

    let blocks: Vec<_> = rust.blocks().zip(c.blocks()).collect();
    let (from_c, from_rust) = (SetHead::<T>::new(c.hand_over()), rust.hand_over());
    for (ours, theirs) in blocks {
        // SAFETY: both sets were handed over.
        let ours = unsafe { arena.page(ours) };
        // SAFETY: as before.
        let theirs = unsafe { arena.page(theirs) };
        assert!(ours[8..] == theirs[8..]);
    }
    let rust = BlockSet::restore(&arena, from_c).unwrap();
    let mut c = CSet::restore(&arena, size_of::<T>(), from_rust.addr()).unwrap();
    assert_eq!((rust.block_count(), c.block_count()), (LIMIT, LIMIT));
    assert!(rust.iter().copied().eq(entries.iter().copied()));
    assert!(entries.iter().all(|entry| c.read() == Some(bytes_of(entry))));
    assert!(c.read().is_none());
    c.destroy();
    drop(rust);
    assert_eq!((arena.usage().c, arena.usage().rust, arena.usage().preserved), (0, 0, 0));
    assert_eq!((arena.events().bad_frees, arena.events().objects), (0, 0));
}

#[test]
fn ten_thousand_blocks_of_one_entry() {
    if too_much_memory() {
        return;
    }
    at_the_limit::<Bytes<4080>>();
    over_the_limit::<Bytes<4080>>();
}

#[test]
fn ten_thousand_blocks_of_four() {
    if too_much_memory() {
        return;
    }
    at_the_limit::<Bytes<1020>>();
    over_the_limit::<Bytes<1020>>();
}

/// Returns the blocks and the head of a chain of `len` blocks. The last one leads back by `back`
/// blocks, unless that is 0.
fn chain(arena: &Arena, len: usize, back: usize) -> SetHead<Words<4>> {
    let blocks: Vec<_> = (0..len).map(|_| arena.preserve(&[])).collect();
    for (number, block) in blocks.iter().enumerate() {
        let next = match number + 1 {
            next if next < len => blocks[next].get(),
            _ if back == 0 => 0,
            next => blocks[next - back].get(),
        };
        arena.write(*block, bytes_of(&[next, 1]));
    }
    SetHead::new(blocks[0])
}

#[test]
fn long_chains() {
    if too_much_memory() {
        return;
    }
    let mut arena = Arena::new(2 * LIMIT + 8);
    // C's search for cycles goes over at most 20,000 blocks. It takes a longer chain for a cycle,
    // and leaks it.
    let cases = [
        (LIMIT - 1, Ok(LIMIT - 1)),
        (LIMIT, Ok(LIMIT)),
        (LIMIT + 1, Err((ENOSPC, LIMIT + 1))),
        (2 * LIMIT - 1, Err((ENOSPC, 2 * LIMIT - 1))),
        (2 * LIMIT, Err((ENOSPC, 2 * LIMIT))),
        (2 * LIMIT + 1, Err((EINVAL, 0))),
        (2 * LIMIT + 7, Err((EINVAL, 0))),
    ];
    for (len, expected) in cases {
        arena.reset();
        let head = chain(&arena, len, 0);
        let foreign = ForeignSet::restore(&arena, head).map(|set| set.len());
        let set = BlockSet::restore(&arena, head);
        let kind = RestoreErrorKind::TooLong { limit: LIMIT };
        match (set, expected) {
            (Ok(set), Ok(len)) => {
                assert_eq!((set.len(), foreign), (len, Ok(len)));
                assert!(set.hand_over() == head);
            }
            (Err(error), Err(_)) => {
                assert_eq!((error.kind, error.position), (kind, LIMIT));
                assert_eq!(foreign, Err(error));
            }
            (ours, _) => panic!("{len}: {:?}", ours.map(drop)),
        }
        assert_eq!(arena.usage().preserved, len, "we leave everything where it is");
        match (CSet::restore(&arena, 32, head.addr()), expected) {
            (Ok(set), Ok(len)) => assert_eq!(set.block_count(), len),
            (Err(refusal), Err((errno, freed))) => {
                assert_eq!(refusal, Refusal::Errno(errno));
                assert_eq!((arena.usage().freed, arena.events().bad_frees), (freed, 0), "{len}");
            }
            (theirs, _) => panic!("{len}: {:?}", theirs.map(drop)),
        }
    }
}

#[test]
fn long_cycles() {
    if too_much_memory() {
        return;
    }
    let mut arena = Arena::new(2 * LIMIT + 8);
    let lens = [1, 2, 3, 4999, 5000, 9999, LIMIT, LIMIT + 1, 19_999, 20_000, 20_001, 20_008];
    for len in lens {
        for back in [1, 2, len / 2, len - 1, len] {
            if back == 0 {
                continue;
            }
            arena.reset();
            let head = chain(&arena, len, back.min(len));
            let error = BlockSet::restore(&arena, head).map(drop).unwrap_err();
            if len < LIMIT {
                let expected = (RestoreErrorKind::Cycle, len);
                assert_eq!((error.kind, error.position), expected);
            } else {
                let kinds = [RestoreErrorKind::Cycle, RestoreErrorKind::TooLong { limit: LIMIT }];
                assert!(kinds.contains(&error.kind) && error.position == LIMIT);
            }
            let refusal = CSet::restore(&arena, 32, head.addr()).map(drop);
            assert_eq!(refusal, Err(Refusal::Errno(EINVAL)));
            assert_eq!((arena.usage().preserved, arena.usage().freed), (len, 0));
        }
    }
}
