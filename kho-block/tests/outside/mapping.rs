//! The flags of the mapping, as `/proc/self/smaps` shows them: proc_pid_smaps(5).

use std::fs;
use std::process::id;

use kho_block::{BlockSet, MemfdMemory};
use rustix::mm::{MlockAllFlags, mlockall};

use crate::{BLOCK, Number, child, from_fd};

/// Returns the length and the flags of each part of the mapping of a file.
fn pieces(name: &str) -> Vec<(usize, String)> {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut found = Vec::new();
    let mut lines = smaps.lines();
    while let Some(line) = lines.next() {
        if !line.contains(name) {
            continue;
        }
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let at = |text: &str| usize::from_str_radix(text, 16).unwrap();
        let flags = lines.find_map(|line| line.strip_prefix("VmFlags: ")).unwrap();
        found.push((at(end) - at(start), format!(" {flags} ")));
    }
    found
}

#[test]
fn the_file_is_dumped_and_nothing_is_inherited() {
    child::passes("mapping::child_flags");
}

#[test]
#[ignore = "run in a process of its own"]
fn child_flags() {
    for locks in [false, true] {
        if locks && mlockall(MlockAllFlags::FUTURE).is_err() {
            println!("skipped: this process may not lock memory");
            return;
        }
        let name = format!("kho-flags-{}-{locks}", id());
        let memory = MemfdMemory::new(&name).unwrap();
        let mut set = BlockSet::<Number, _>::new_in(&memory);
        let mut check = |at_least: usize| {
            set.try_reserve(at_least / 8).unwrap();
            let pieces = pieces(&name);
            assert_eq!(pieces.iter().map(|piece| piece.0).sum::<usize>(), memory.max_len());
            for (_, flags) in &pieces {
                assert!(flags.contains(" dc "), "inherited: {flags}");
                assert!(!flags.contains(" lo "), "locked: {flags}");
            }
            let usage = memory.usage();
            let file = (usage.free + usage.owned + 1) * BLOCK;
            let dumped = pieces.iter().filter(|(_, flags)| !flags.contains(" dd "));
            assert_eq!(dumped.map(|piece| piece.0).sum::<usize>(), file);
        };
        check(0);
        check(100 << 10);
        check(5 << 20);
        // A file that is opened again has the same flags.
        drop(set);
        let memory = from_fd::<BLOCK>(memory.into_fd()).unwrap();
        assert!(pieces(&name).iter().all(|(_, flags)| flags.contains(" dc ")));
        assert!(pieces(&name).iter().any(|(_, flags)| flags.contains(" dd ")));
        drop(memory);
        assert_eq!(pieces(&name), []);
    }
}
