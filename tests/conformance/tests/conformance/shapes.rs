//! Chains with short blocks. Both sides read them forward, but only kho-block backward.

use kho_block::bytemuck::bytes_of;
use kho_block::{BlockSet, Entry, ForeignSet, PhysAddr, SetHead};
use kho_linux_c::{Arena, CSet, PAGE};

use crate::cases::{Random, run};
use crate::entries::{Bytes, Wide, Words, sample, with_entry};
use crate::plan::page;

fn case<T: Entry + PartialEq>(arena: &mut Arena, random: &mut Random) {
    arena.reset();
    let arena = &*arena;
    let fit = (PAGE - 16) / size_of::<T>();
    let most = if size_of::<T>() < 16 { 2 } else { 6 };
    let counts: Vec<usize> = (0..1 + random.below(most)).map(|_| 1 + random.below(fit)).collect();
    // Entry `slot` of block `number`, also if it is past the count.
    let entry = |number: usize, slot: usize| sample::<T>((number as u64) << 16 | slot as u64);
    let mut head = PhysAddr::NULL;
    for (number, count) in counts.iter().enumerate().rev() {
        // All slots are written, so that a read past the count shows.
        let mut page = page::<T>(number as u64, head, fit as u64);
        page[8..16].copy_from_slice(&(*count as u64).to_ne_bytes());
        head = arena.preserve(&page);
    }
    let head = SetHead::<T>::new(head);
    let all: Vec<T> = counts
        .iter()
        .enumerate()
        .flat_map(|(number, count)| (0..*count).map(move |slot| entry(number, slot)))
        .collect();

    let foreign = ForeignSet::restore(arena, head).unwrap();
    assert!(foreign.iter().map(Result::unwrap).eq(all.iter().copied()));
    let mut c = CSet::restore(arena, size_of::<T>(), head.addr()).unwrap();
    assert!(all.iter().all(|entry| c.read() == Some(bytes_of(entry))));
    assert!(c.read().is_none());

    // Backward, C goes by the count of the last block and takes all others for full.
    let last = counts.len() - 1;
    for (number, count) in counts.iter().enumerate().rev() {
        let slots = if number == last { *count } else { fit };
        for slot in (0..slots).rev() {
            assert!(c.prev() == Some(bytes_of(&entry(number, slot))));
        }
    }
    assert!(c.prev().is_none());

    let again = c.hand_over();
    assert_eq!(again, head.addr());
    let mut set = BlockSet::restore(arena, head).unwrap();
    assert!(set.iter().copied().eq(all.iter().copied()));
    assert!(set.iter().rev().copied().eq(all.iter().rev().copied()));

    // C reads the chain after kho-block has appended to it and cut it.
    if set.capacity() > set.len() {
        set.writer().push_within_capacity(sample(77)).unwrap();
    }
    set.truncate(random.below(set.len()) + 1);
    let expected: Vec<T> = set.iter().copied().collect();
    let mut c = CSet::restore(arena, size_of::<T>(), set.hand_over().addr()).unwrap();
    assert!(expected.iter().all(|entry| c.read() == Some(bytes_of(entry))));
    assert!(c.read().is_none());
}

#[test]
fn short_blocks() {
    let mut arena = Arena::new(64);
    run("short blocks", 15, |random| {
        with_entry!(random.below(1000), case(&mut arena, random));
    });
}
