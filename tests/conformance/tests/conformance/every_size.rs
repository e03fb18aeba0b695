//! Every size of entry.

use kho_block::abi::count_per_block;
use kho_block::{ChainWalk, PhysAddr, ReadMemory};
use kho_linux_c::{Arena, CSet, PAGE};

use crate::cases::say;
use crate::entries::fill;

/// Returns all sizes of entries. If pages have more than 4096 bytes it leaves out many large sizes.
fn sizes() -> impl Iterator<Item = usize> {
    let last = PAGE - 16;
    (1..=last).filter(move |size| *size <= 4080 || *size % 97 == 0 || *size == last)
}

/// kho-block finds what C writes, for each size.
#[test]
fn c_writes() {
    let mut arena = Arena::new(8);
    for size in sizes() {
        arena.reset();
        let mut c = CSet::new(&arena, size);
        let fit = count_per_block(PAGE, size);
        assert_eq!(c.count_per_block(), fit as u64, "{size}");
        c.grow(fit as u64 + 1).unwrap();
        c.rewind();
        let mut bytes = vec![0; size];
        for index in 0..=fit {
            fill(index as u64, &mut bytes);
            assert!(c.write(&bytes));
        }
        let head = c.hand_over();
        let links: Result<Vec<_>, _> = ChainWalk::new(&arena, head, size).collect();
        let links = links.unwrap();
        assert_eq!(links.iter().map(|link| link.count).collect::<Vec<_>>(), [fit, 1]);
        let mut found = vec![0; size];
        for index in 0..=fit {
            let at = links[index / fit].addr.get() + (16 + index % fit * size) as u64;
            arena.read(PhysAddr::new(at), &mut found).unwrap();
            fill(index as u64, &mut bytes);
            assert_eq!(found, bytes);
        }
        // Both refuse one more than fits.
        let over = (fit as u64 + 1).to_ne_bytes();
        arena.write(head.checked_add(8).unwrap(), &over);
        assert!(ChainWalk::new(&arena, head, size).next().unwrap().is_err());
        assert!(CSet::restore(&arena, size, head).is_err());
    }
    say(&format!("every size: {} sizes of 1 to {}", sizes().count(), PAGE - 16));
}

/// C finds what kho-block writes, for each size.
#[test]
fn c_reads() {
    let mut arena = Arena::new(8);
    for size in sizes() {
        arena.reset();
        let fit = count_per_block(PAGE, size);
        let mut page = vec![0; PAGE];
        for (index, slot) in page[16..].chunks_exact_mut(size).enumerate() {
            fill(index as u64, slot);
        }
        page[8..16].copy_from_slice(&(fit as u64).to_ne_bytes());
        let head = arena.preserve(&page);
        let mut c = CSet::restore(&arena, size, head).unwrap();
        for slot in page[16..].chunks_exact(size) {
            assert!(c.read() == Some(slot));
        }
        assert!(c.read().is_none());
        assert_eq!(arena.events().warnings, 0);
    }
}

/// If no entry fits, C warns and continues. Such a type does not compile here.
#[test]
fn too_large() {
    for size in [PAGE - 15, PAGE, PAGE + 1000] {
        let arena = Arena::new(1);
        assert_eq!(count_per_block(PAGE, size), 0);
        let c = CSet::new(&arena, size);
        assert_eq!((c.count_per_block(), arena.events().warnings), (0, 1));
    }
}
