//! Applies any sequence of operations to a set, from any valid chain. The set, and the set that its
//! successor restores, must equal a `Vec` to which the same was done.
#![no_main]

use std::iter;

use kho_block::{BlockMemory, BlockSet, FaultyMemory, ForeignSet, HeapMemory, PhysAddr, SetHead};
use kho_block_fuzz::{BLOCK, Input, Item, PER_BLOCK};
use libfuzzer_sys::fuzz_target;

type Memory = FaultyMemory<HeapMemory<BLOCK>>;
type Set<'m> = BlockSet<Item, &'m Memory>;

/// Preserves a chain whose blocks have these counts.
fn craft(memory: &Memory, counts: &[usize]) -> (SetHead<Item>, Vec<Item>) {
    let mut items = Vec::new();
    let mut next = 0;
    for (number, count) in counts.iter().enumerate().rev() {
        let mut allocated = None;
        memory.allocate(1, |block| allocated = Some(block)).unwrap();
        let block = allocated.unwrap();
        let entry = |index| Item::new((number * PER_BLOCK + index) as u64);
        let entries: [Item; PER_BLOCK] = std::array::from_fn(entry);
        let header = [next, *count as u64];
        // SAFETY: the block is owned by this function and starts with two words.
        unsafe { block.cast().write(header) };
        // SAFETY: a block is larger than its header.
        let first = unsafe { block.add(16) };
        // SAFETY: the block has room for these entries after the header.
        unsafe { first.cast().write(entries) };
        items.splice(..0, entries[..*count].iter().copied());
        next = memory.addr_of(block).get();
        // SAFETY: allocated above and not used again.
        unsafe { memory.hand_over(iter::once(block)) };
    }
    (SetHead::new(PhysAddr::new(next)), items)
}

fn step(input: &mut Input<'_>, set: &mut Set<'_>, model: &mut Vec<Item>, next_id: &mut u64) {
    let mut fresh = |count: usize| -> Vec<Item> {
        let first = *next_id;
        *next_id += count as u64;
        (first..*next_id).map(Item::new).collect()
    };
    match input.below(12) {
        0 => {
            for item in fresh(input.below(20)) {
                match set.push(item) {
                    Ok(()) => model.push(item),
                    Err(error) => assert_eq!(error.entry, item),
                }
            }
        }
        1 => {
            let items = fresh(input.below(40));
            if set.writer().extend_from_slice(&items).is_ok() {
                model.extend(items);
            }
        }
        2 => {
            let mut writer = set.writer();
            for item in fresh(input.below(20)) {
                if input.byte() < 30 {
                    writer.publish();
                }
                if writer.push_within_capacity(item).is_ok() {
                    model.push(item);
                }
            }
        }
        3 => {
            let mut writer = set.writer();
            for item in fresh(input.below(30)) {
                let _ = writer.push(item);
            }
            writer.rollback();
        }
        4 => {
            let items = fresh(input.below(30));
            let fail = input.byte() < 128;
            let result = set.transaction(|writer| {
                for item in &items {
                    writer.push(*item).map_err(drop)?;
                }
                if fail { Err(()) } else { Ok(()) }
            });
            if result.is_ok() {
                model.extend(items);
            }
        }
        5 => {
            let len = input.below(model.len() + 2);
            set.truncate(len);
            model.truncate(len);
        }
        6 => assert_eq!(set.pop(), model.pop()),
        7 => {
            let mask = input.word();
            let keep = |item: &Item| mask >> (item.check >> 58) & 1 == 1;
            set.retain(keep);
            model.retain(keep);
        }
        8 => drop(set.try_reserve(input.below(60))),
        9 => set.shrink_to_fit(),
        10 => {
            let at = input.below(model.len() + 1);
            if let Some(item) = set.get_mut(at) {
                item.id ^= 1;
                model[at].id ^= 1;
            }
            assert!(set.iter_mut().map(|item| *item).eq(model.iter().copied()));
        }
        _ => set.memory().fail_after(match input.byte() {
            0..128 => usize::MAX,
            count => usize::from(count % 8),
        }),
    }
}

fn compare(input: &mut Input<'_>, set: &Set<'_>, model: &[Item]) {
    assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
    assert!(set.capacity() >= set.len());
    let at = input.below(model.len() + 2);
    assert_eq!(set.get(at), model.get(at));
    let mut iter = set.iter();
    // The kept part of the model is `start..end`.
    let (mut start, mut end) = (0, model.len());
    for _ in 0..5 {
        let n = input.below(30);
        match input.below(5) {
            0 => {
                assert_eq!(iter.next(), model[start..end].first());
                start = (start + 1).min(end);
            }
            1 => {
                assert_eq!(iter.next_back(), model[start..end].last());
                end = end.saturating_sub(1).max(start);
            }
            2 => {
                assert_eq!(iter.nth(n), model[start..end].get(n));
                start = (start + n + 1).min(end);
            }
            3 => {
                assert_eq!(iter.nth_back(n), model[start..end].iter().nth_back(n));
                end = end.saturating_sub(n + 1).max(start);
            }
            _ => {
                let mut cursor = set.reader();
                cursor.seek(at + n);
                let position = model.len().min(at + n);
                assert_eq!(cursor.position(), position);
                assert_eq!(cursor.next(), model.get(position));
                cursor.seek(position);
                assert_eq!(cursor.prev(), model[..position].last());
                let range = position.saturating_sub(n)..position;
                assert!(set.slices(range.clone()).flatten().eq(&model[range]));
            }
        }
        assert_eq!(iter.len(), end - start);
        assert!(iter.clone().eq(&model[start..end]));
    }
    assert!(set.iter().rev().eq(model.iter().rev()));
    assert!(set.chunks().flatten().eq(model));
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let memory = Memory::new(HeapMemory::new_with_block_size());
    let counts: Vec<_> = (0..input.below(6)).map(|_| 1 + input.below(PER_BLOCK)).collect();
    let (head, mut model) = craft(&memory, &counts);
    let mut set = BlockSet::restore(&memory, head).unwrap();
    let mut next_id = 1000;
    while !input.is_empty() {
        step(&mut input, &mut set, &mut model, &mut next_id);
        compare(&mut input, &set, &model);
        if input.byte() < 20 {
            let head = set.hand_over();
            let usage = memory.inner().usage();
            assert_eq!(usage.owned, 0);
            let foreign = ForeignSet::restore(&memory, head).unwrap();
            assert!(foreign.iter().map(Result::unwrap).eq(model.iter().copied()));
            assert_eq!(usage.preserved, foreign.blocks().len());
            set = BlockSet::restore(&memory, head).unwrap();
        }
    }
    drop(set);
    let usage = memory.inner().usage();
    assert_eq!((usage.owned, usage.preserved), (0, 0));
});
