//! Damaged chains: the outcome on each side, and what happens to the pages.

use std::collections::BTreeMap;

use kho_block::bytemuck::{bytes_of, pod_read_unaligned};
use kho_block::{BlockSet, ChainWalk, Entry, ForeignSet, RestoreErrorKind, SetHead};
use kho_linux_c::{Arena, CSet, PAGE, Refusal, Usage};

use crate::cases::{Random, run, say};
use crate::entries::{Bytes, Words};
use crate::plan::{End, Plan, Space, To, follow};

/// Outcome of a restore by kho-block.
fn ours(result: Result<(), RestoreErrorKind>) -> &'static str {
    match result {
        Ok(()) => "restored",
        Err(RestoreErrorKind::Misaligned) => "Misaligned",
        Err(RestoreErrorKind::Outside) => "Outside",
        Err(RestoreErrorKind::NotPreserved) => "NotPreserved",
        Err(RestoreErrorKind::Owned) => "Owned",
        Err(RestoreErrorKind::Cycle) => "Cycle",
        Err(RestoreErrorKind::NoEntries) => "NoEntries",
        Err(RestoreErrorKind::TooManyEntries { .. }) => "TooManyEntries",
        Err(kind) => panic!("{kind:?}"),
    }
}

/// Outcome of a restore by the C code.
fn theirs(result: Result<(), Refusal>) -> &'static str {
    match result {
        Ok(()) => "restored",
        Err(Refusal::Errno(22)) => "EINVAL",
        Err(Refusal::Wild(_)) => "wild pointer",
        Err(Refusal::Errno(errno)) => panic!("errno {errno}"),
    }
}

/// Every pair of outcomes that may occur. docs/kernel.md explains what only kho-block refuses. It
/// restores nothing that C refuses.
const OUTCOMES: [(&str, &str); 14] = [
    ("Cycle", "EINVAL"),
    // C walks to the end of a chain before it looks at counts.
    ("Misaligned", "EINVAL"),
    ("Misaligned", "restored"),
    ("Misaligned", "wild pointer"),
    ("NoEntries", "EINVAL"),
    ("NoEntries", "wild pointer"),
    ("NotPreserved", "EINVAL"),
    ("NotPreserved", "restored"),
    ("NotPreserved", "wild pointer"),
    ("Outside", "wild pointer"),
    ("Owned", "restored"),
    ("TooManyEntries", "EINVAL"),
    ("TooManyEntries", "wild pointer"),
    ("restored", "restored"),
];

type Outcome = (&'static str, &'static str);

fn case<T: Entry + PartialEq>(arena: &mut Arena, random: &mut Random) -> Outcome {
    arena.reset();
    let plan = Plan::random(random, ((PAGE - 16) / size_of::<T>()) as u64);
    check::<T>(arena, &plan)
}

/// Restores a plan on both sides.
fn check<T: Entry + PartialEq>(arena: &Arena, plan: &Plan) -> Outcome {
    let space = Space::new::<T>(arena, plan);
    let head = SetHead::<T>::new(space.head);

    // kho-block comes first, since it changes nothing if it refuses.
    let other = BlockSet::<T, _>::restore(arena, SetHead::new(space.other[0])).unwrap();
    let before = (arena.usage(), arena.preserved());
    let expected = follow(arena, space.head);
    let foreign = ForeignSet::restore(arena, head).map(|set| set.len());
    let chain: Result<Vec<_>, _> = ChainWalk::new(arena, space.head, size_of::<T>()).collect();
    let restored = BlockSet::restore(arena, head);
    let ours_said = ours(restored.as_ref().map(|_| ()).map_err(|error| error.kind));
    let mut entries: Vec<T> = Vec::new();
    if let Ok(set) = restored {
        assert_eq!((foreign, expected.1), (Ok(set.len()), End::Null));
        let blocks: Vec<_> = set.blocks().collect();
        assert_eq!(chain.unwrap().len(), blocks.len());
        for block in blocks {
            let (_, page) = before.1.iter().find(|(addr, _)| *addr == block).unwrap();
            let count = u64::from_ne_bytes(*page[8..].first_chunk().unwrap()) as usize;
            let slots = page[16..].chunks_exact(size_of::<T>()).take(count);
            entries.extend(slots.map(pod_read_unaligned::<T>));
        }
        assert!(set.iter().copied().eq(entries.iter().copied()));
        assert!(set.hand_over() == head);
    } else {
        assert!(foreign.is_err() && chain.is_err());
    }
    assert!((arena.usage(), arena.preserved()) == before, "a restore left a trace");
    let other = other.hand_over();

    let mut other = CSet::restore(arena, size_of::<T>(), other.addr()).unwrap();
    let before = (arena.usage(), arena.events());
    let restored = CSet::restore(arena, size_of::<T>(), space.head);
    let theirs_said = theirs(restored.as_ref().map(|_| ()).map_err(|refusal| *refusal));
    let (usage, events) = (arena.usage(), arena.events());
    let (walked, end) = expected;
    match (restored, end) {
        (_, End::Unknown) => {}
        (Ok(mut set), End::Null) => {
            assert_eq!(set.blocks(), walked);
            if ours_said == "restored" {
                assert!(entries.iter().all(|entry| set.read() == Some(bytes_of(entry))));
                assert!(set.read().is_none());
                set.destroy();
                assert_eq!(arena.events(), before.1);
                assert_eq!(arena.usage().freed, before.0.freed + walked.len());
            }
        }
        (Err(Refusal::Wild(addr)), End::Outside(outside)) => {
            assert_eq!(addr, outside.get());
            assert_eq!(usage, before.0);
        }
        // Nothing is freed, and no set has the blocks any more.
        (Err(Refusal::Errno(_)), End::Cycle) => assert_eq!(usage, before.0),
        // Each block is freed, or the kernel warns that it is not C's to free.
        (Err(Refusal::Errno(_)), End::Null) => {
            let freed = usage.freed - before.0.freed + events.bad_frees - before.1.bad_frees;
            assert_eq!(freed, walked.len());
        }
        (restored, end) => panic!("{end:?}, C: {:?}", restored.map(drop)),
    }
    assert_eq!(
        events.objects,
        before.1.objects + if theirs_said == "restored" { walked.len() } else { 0 }
    );
    other.destroy();
    (ours_said, theirs_said)
}

#[test]
fn random_chains() {
    let mut arena = Arena::new(64);
    let mut seen: BTreeMap<Outcome, usize> = BTreeMap::new();
    let mut count = 0;
    run("hostile chains", 25, |random| {
        let outcome = match random.below(3) {
            0 => case::<Words<4>>(&mut arena, random),
            1 => case::<Bytes<80>>(&mut arena, random),
            _ => case::<Bytes<4080>>(&mut arena, random),
        };
        assert!(OUTCOMES.contains(&outcome), "{outcome:?}");
        *seen.entry(outcome).or_default() += 1;
        count += 1;
    });
    let lines: Vec<_> = seen
        .iter()
        .map(|((ours, theirs), times)| format!("  {times:6}  we: {ours}, C: {theirs}"))
        .collect();
    say(&lines.join("\n"));
    if count > 5000 {
        let missing: Vec<_> = OUTCOMES.iter().filter(|pair| !seen.contains_key(pair)).collect();
        assert!(missing.is_empty(), "never seen: {missing:?}");
    }
}

/// Number of `Words<4>` that fit in a block.
const FIT: u64 = ((PAGE - 16) / 32) as u64;

fn named(plan: &Plan) -> (Outcome, Usage, usize) {
    let arena = Arena::new(32);
    let outcome = check::<Words<4>>(&arena, plan);
    (outcome, arena.usage(), arena.events().bad_frees)
}

fn full(blocks: usize) -> Plan {
    Plan::valid(&vec![FIT; blocks])
}

/// C accepts any address as that of a block, and frees the page around it.
#[test]
fn misaligned_link() {
    let mut plan = full(2).next(0, To::Inside(1, 48));
    plan.inside.push((1, 48, 1));
    assert_eq!(named(&plan).0, ("Misaligned", "restored"));
    let plan = full(2).next(0, To::Inside(1, 8));
    let outcome = named(&plan).0;
    assert_eq!(outcome.0, "Misaligned");
    assert_ne!(outcome.1, "EINVAL");
}

#[test]
fn link_out_of_memory() {
    assert_eq!(named(&full(2).next(1, To::Hole(1))).0, ("Outside", "wild pointer"));
    let mut plan = full(1);
    plan.head = To::Hole(4);
    assert_eq!(named(&plan).0, ("Outside", "wild pointer"));
    // The search for cycles follows every link before any count is checked.
    let plan = full(2).count(0, 0).next(1, To::Hole(1));
    assert_eq!(named(&plan).0, ("NoEntries", "wild pointer"));
}

/// C accepts pages that are not preserved. A kernel warns when it frees them, and keeps them.
#[test]
fn link_to_a_free_page() {
    let (outcome, usage, bad_frees) = named(&full(2).next(1, To::Free));
    assert_eq!(outcome, ("NotPreserved", "restored"));
    assert_eq!((usage.stray, bad_frees), (1, 1));
}

/// C accepts a block of another set. The first set to be destroyed frees it; at the second, the
/// kernel warns.
#[test]
fn link_into_another_set() {
    let (outcome, usage, bad_frees) = named(&full(2).next(1, To::Other(1)));
    assert_eq!(outcome, ("Owned", "restored"));
    assert_eq!((usage.freed, usage.preserved, bad_frees), (4, 0, 1));
}

/// When C refuses a chain that leads into another set, it frees that set's blocks too.
#[test]
fn refused_with_a_link_into_another_set() {
    let (outcome, usage, bad_frees) = named(&full(2).count(0, 0).next(1, To::Other(0)));
    assert_eq!(outcome, ("NoEntries", "EINVAL"));
    assert_eq!((usage.freed, usage.preserved, bad_frees), (4, 0, 2));
}

#[test]
fn cycles_are_leaked() {
    for to in 0..4 {
        let (outcome, usage, _) = named(&full(4).next(3, To::Block(to)));
        assert_eq!(outcome, ("Cycle", "EINVAL"));
        // The other set's two blocks were freed once each, as they should be.
        assert_eq!((usage.freed, usage.preserved), (2, 4));
    }
}

#[test]
fn bad_counts_are_freed() {
    for (count, kind) in
        [(0, "NoEntries"), (FIT + 1, "TooManyEntries"), (u64::MAX, "TooManyEntries")]
    {
        for block in 0..4 {
            let (outcome, usage, bad_frees) = named(&full(4).count(block, count));
            assert_eq!(outcome, (kind, "EINVAL"));
            assert_eq!((usage.freed, usage.preserved, bad_frees), (6, 0, 0));
        }
    }
}

/// Both sides accept a chain that was cut short.
#[test]
fn cut_chain() {
    assert_eq!(named(&full(4).next(1, To::Null)).0, ("restored", "restored"));
    let mut plan = full(2);
    plan.head = To::Null;
    assert_eq!(named(&plan).0, ("restored", "restored"));
}
