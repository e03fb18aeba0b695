//! An observer between any two instructions.
//!
//! With the trap flag set, the processor stops after each instruction, and the signal handler walks
//! along the chain. It finds what a process that dies at this instruction leaves behind.

use std::arch::asm;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use kho_block::{BlockMemory, BlockSet, MemfdMemory};

use crate::common::OneBlock as _;
use crate::craft;
use crate::observed::{BLOCK, Item, PER_BLOCK};

type Set<'m> = BlockSet<Item, &'m MemfdMemory<BLOCK>>;

const MOST: usize = 256;
/// Number of bytes of the file that hold the blocks.
const SPAN: usize = 16 << 10;

/// The expected state, with which the handler compares the chain. Only one test writes it.
struct Watch {
    /// Address at which the file is mapped.
    base: AtomicUsize,
    /// The offset of the first block.
    first: AtomicUsize,
    least: AtomicUsize,
    /// The ids that the entries may have, as two lists.
    lists: [[AtomicU64; MOST]; 2],
    lens: [AtomicUsize; 2],
    steps: AtomicUsize,
    /// The first fault: 0 for none, otherwise a number from `walk` and the step it was seen at.
    fault: AtomicUsize,
    fault_step: AtomicUsize,
}

static WATCH: Watch = Watch {
    base: AtomicUsize::new(0),
    first: AtomicUsize::new(0),
    least: AtomicUsize::new(0),
    lists: [const { [const { AtomicU64::new(0) }; MOST] }; 2],
    lens: [const { AtomicUsize::new(0) }; 2],
    steps: AtomicUsize::new(0),
    fault: AtomicUsize::new(0),
    fault_step: AtomicUsize::new(0),
};

const EMPTY: usize = 1;
const BAD_COUNT: usize = 2;
const BAD_LINK: usize = 3;
const NO_PREFIX: usize = 4;
const TOO_SHORT: usize = 5;
const ENDLESS: usize = 6;

/// A word of the block at an offset less than `SPAN`.
fn word(block: usize, index: usize) -> u64 {
    let word = WATCH.base.load(Relaxed) + block + 8 * index;
    let word = std::ptr::with_exposed_provenance::<u64>(word);
    // SAFETY: the word is in the mapping and in the file, and the mapping's pointer was exposed;
    // the only thread that writes there is the one that is stopped.
    unsafe { word.read_volatile() }
}

/// Walks along the chain. Returns 0 if it is valid, otherwise the number of the fault. Allocates
/// and calls nothing, since the thread may be stopped anywhere.
fn walk() -> usize {
    let first = WATCH.first.load(Relaxed);
    let least = WATCH.least.load(Relaxed);
    let mut fits = [true; 2];
    let mut len = 0;
    let mut block = first;
    for _ in 0..SPAN / BLOCK {
        let count = word(block, 1) as usize;
        if count == 0 && len == 0 {
            // The block has no entries and is refused, as it should be while a set is empty.
            return if least == 0 { 0 } else { EMPTY };
        }
        if count == 0 || count > PER_BLOCK {
            return BAD_COUNT;
        }
        for index in 0..count {
            let entry = [word(block, 2 + 2 * index), word(block, 3 + 2 * index)];
            for (list, fits) in fits.iter_mut().enumerate() {
                *fits = *fits
                    && len < WATCH.lens[list].load(Relaxed)
                    && entry == Item::new(WATCH.lists[list][len].load(Relaxed)).words();
            }
            len += 1;
        }
        if fits == [false; 2] {
            return NO_PREFIX;
        }
        let next = word(block, 0) as usize;
        if next == 0 {
            return if len < least { TOO_SHORT } else { 0 };
        }
        if next % BLOCK != 0 || next >= SPAN {
            return BAD_LINK;
        }
        block = next;
    }
    ENDLESS
}

extern "C" fn on_trap(_: c_int) {
    let step = WATCH.steps.fetch_add(1, Relaxed);
    let fault = walk();
    if fault != 0 && WATCH.fault.load(Relaxed) == 0 {
        WATCH.fault.store(fault, Relaxed);
        WATCH.fault_step.store(step, Relaxed);
    }
}

/// `struct sigaction` of C, as libraries for x86-64 have it.
#[repr(C)]
struct SigAction {
    handler: extern "C" fn(c_int),
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

unsafe extern "C" {
    fn sigaction(signal: c_int, new: *const SigAction, old: *mut SigAction) -> c_int;
}

fn install() {
    const SIGTRAP: c_int = 5;
    let action = SigAction { handler: on_trap, mask: [0; 16], flags: 0, restorer: 0 };
    // SAFETY: the declaration is the C library's; the handler uses atomics and reads blocks, both
    // of which is fine in a signal handler.
    let result = unsafe { sigaction(SIGTRAP, &action, std::ptr::null_mut()) };
    assert_eq!(result, 0);
}

/// Runs `f` instruction by instruction.
fn stepped(f: impl FnOnce()) {
    // SAFETY: sets the trap flag and restores all else; the handler is installed.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    f();
    // SAFETY: clears the trap flag and restores all else.
    unsafe { asm!("pushfq", "and qword ptr [rsp], -0x101", "popfq") };
}

/// Sets the expected state: a prefix of one of two lists, of at least `least` entries.
fn allow(least: usize, lists: [&[u64]; 2]) {
    assert!(lists.iter().all(|list| list.len() <= MOST));
    WATCH.least.store(least, Relaxed);
    for (number, list) in lists.into_iter().enumerate() {
        WATCH.lens[number].store(list.len(), Relaxed);
        list.iter().zip(&WATCH.lists[number]).for_each(|(id, to)| to.store(*id, Relaxed));
    }
}

#[track_caller]
fn assert_unseen(what: &str) {
    let fault = WATCH.fault.load(Relaxed);
    let step = WATCH.fault_step.load(Relaxed);
    let name = ["", "empty", "bad count", "bad link", "no prefix", "too short", "endless"][fault];
    assert_eq!(fault, 0, "{what}: {name} after instruction {step}");
}

/// Grows, shrinks and grows again from a chain with blocks of these counts.
fn life(counts: &[usize]) {
    let memory = MemfdMemory::<BLOCK>::with_max_len("step", SPAN).unwrap();
    let block = memory.allocate_one().unwrap();
    let offset = memory.addr_of(block).get() as usize;
    WATCH.base.store(block.as_ptr().expose_provenance() - offset, Relaxed);
    // SAFETY: allocated above and not used again, except for its address.
    unsafe { memory.free_one(block) };
    let head = craft(&memory, counts);
    let mut set: Set<'_> = BlockSet::restore(&memory, head).unwrap();
    set.try_reserve(PER_BLOCK * 5).unwrap();
    WATCH.first.store(head.addr().get() as usize, Relaxed);
    let mut ids: Vec<u64> = set.iter().map(Item::id).collect();
    let mut next_id = 1000;

    let mut grow = |set: &mut Set<'_>, ids: &mut Vec<u64>, what: &str, count: u64, undo: bool| {
        let fresh: Vec<_> = (next_id..next_id + count).map(Item::new).collect();
        next_id += count;
        let all: Vec<_> = ids.iter().copied().chain(fresh.iter().map(Item::id)).collect();
        allow(ids.len(), [&all, &[]]);
        match what {
            "push" => stepped(|| fresh.iter().for_each(|item| set.push(*item).unwrap())),
            "write" => stepped(|| {
                let mut writer = set.writer();
                fresh.iter().for_each(|item| writer.push(*item).unwrap());
            }),
            "extend" => stepped(|| set.writer().extend_from_slice(&fresh).unwrap()),
            "roll back" => stepped(|| {
                let mut writer = set.writer();
                writer.extend_from_slice(&fresh).unwrap();
                writer.publish();
                writer.rollback();
            }),
            _ => stepped(|| {
                let result = set.transaction(|writer| {
                    fresh.iter().for_each(|item| writer.push(*item).unwrap());
                    Err::<(), _>(())
                });
                assert!(result.is_err());
            }),
        }
        assert_unseen(what);
        if !undo {
            *ids = all;
        }
    };
    let cut = |set: &mut Set<'_>, ids: &mut Vec<u64>, len: usize| {
        allow(len, [&*ids, &[]]);
        stepped(|| set.truncate(len));
        assert_unseen("truncate");
        ids.truncate(len);
    };
    let retain = |set: &mut Set<'_>, ids: &mut Vec<u64>, keep: &dyn Fn(u64) -> bool| {
        let kept: Vec<_> = ids.iter().copied().filter(|id| keep(*id)).collect();
        let first_gone = ids.iter().position(|id| !keep(*id)).unwrap_or(ids.len());
        allow(first_gone, [&*ids, &kept]);
        stepped(|| set.retain(|item| keep(item.id())));
        assert_unseen("retain");
        *ids = kept;
    };

    grow(&mut set, &mut ids, "push", 9, false);
    grow(&mut set, &mut ids, "write", 16, false);
    let len = ids.len();
    cut(&mut set, &mut ids, len - 1);
    grow(&mut set, &mut ids, "roll back", 10, true);
    cut(&mut set, &mut ids, len - 9);
    grow(&mut set, &mut ids, "extend", 12, false);
    retain(&mut set, &mut ids, &|id| id % 3 != 0);
    grow(&mut set, &mut ids, "transaction", 15, true);
    retain(&mut set, &mut ids, &|id| id != 1 && id % 5 != 0);
    grow(&mut set, &mut ids, "extend", 15, false);
    cut(&mut set, &mut ids, PER_BLOCK);
    grow(&mut set, &mut ids, "write", 8, false);
    cut(&mut set, &mut ids, 0);
    grow(&mut set, &mut ids, "push", 9, false);
    assert!(set.iter().map(Item::id).eq(ids));
}

#[test]
fn every_instruction_shows_a_prefix() {
    install();
    for counts in [&[1][..], &[7], &[3, 1, 7], &[1, 1, 1, 1], &[7, 7, 2]] {
        life(counts);
    }
    // At least some thousands, or the processor did not stop.
    let steps = WATCH.steps.load(Relaxed);
    assert!(steps > 10_000, "{steps} steps");
}
