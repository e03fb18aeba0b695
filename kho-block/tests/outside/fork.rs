//! A forked child owns none of its parent's blocks in a memfd.

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use kho_block::{BlockSet, MemfdMemory};

use crate::{Number, child, handed_over};

/// Calls `f` in a forked child, which then exits with 0, or with 1 if `f` panics. Safe functions of
/// other crates do the same.
fn in_child(f: impl FnOnce()) -> ExitStatus {
    // SAFETY: these tests run alone, in a process whose other threads only wait.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let code = i32::from(catch_unwind(AssertUnwindSafe(f)).is_err());
        // SAFETY: this ends the child at once.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a local variable.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    ExitStatus::from_raw(status)
}

#[test]
fn a_child_has_no_blocks() {
    child::passes("fork::child_has_no_blocks");
}

#[test]
#[ignore = "run in a process of its own"]
fn child_has_no_blocks() {
    let memory = MemfdMemory::new("fork").unwrap();
    let mut set = BlockSet::new_in(&memory);
    set.push(Number { value: 1 }).unwrap();
    let place = std::ptr::from_ref(&set[0]).addr();

    // Each access would be that of a second owner. With the address sanitizer the child exits
    // instead of ending by the signal.
    let killed = |status: ExitStatus| {
        assert!(status.signal() == Some(libc::SIGSEGV) || status.code() == Some(1), "{status}");
    };
    killed(in_child(|| set[0].value = 666));
    killed(in_child(|| assert_ne!(set[0].value, 2)));
    killed(in_child(|| {
        let _ = BlockSet::new_in(&memory).push(Number { value: 13 });
    }));
    // No other memory can be mapped at these addresses.
    let status = in_child(|| {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let at = |text: &str| usize::from_str_radix(text, 16).unwrap();
        let has_place = |line: &&str| {
            let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            (at(start)..at(end)).contains(&place)
        };
        let line = maps.lines().find(has_place).expect("the hole is filled");
        assert!(line.contains("---p") && !line.contains("memfd:"), "{line}");
    });
    assert!(status.success(), "{status}");
    assert_eq!(set[0].value, 1);
    // A child may create memories, fork, and drop what it inherited.
    let status = in_child(|| {
        let mut own = BlockSet::new_in(MemfdMemory::new("child").unwrap());
        own.push(Number { value: 5 }).unwrap();
        killed(in_child(|| own[0].value = 6));
        killed(in_child(|| set[0].value = 6));
        assert!(in_child(|| assert!(in_child(|| ()).success())).success());
        assert_eq!(own[0].value, 5);
        drop(own);
        // SAFETY: this child ends without dropping the set again.
        drop(unsafe { std::ptr::read(&raw const set) });
    });
    assert!(status.success(), "{status}");
    assert_eq!(set[0].value, 1);

    // Only the parent may give the descriptor away.
    let head = set.hand_over();
    let mut memory = Some(memory);
    assert_eq!(in_child(|| drop(memory.take().map(MemfdMemory::into_fd))).code(), Some(1));
    assert_eq!(in_child(|| drop(memory.take().map(MemfdMemory::seal))).code(), Some(1));
    assert!(in_child(|| drop(memory.take())).success());
    let sealed = memory.unwrap().seal().unwrap();
    assert_eq!(kho_block::SetView::restore(&sealed, head).unwrap()[0].value, 1);
}

#[test]
fn sealing_while_another_thread_forks() {
    child::passes("fork::child_seals_while_another_thread_forks");
}

#[test]
#[ignore = "run in a process of its own"]
fn child_seals_while_another_thread_forks() {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                let mut command = Command::new("/bin/true");
                // SAFETY: the hook does nothing. With a hook, the command is started by fork.
                unsafe { command.pre_exec(|| Ok(())) };
                command.status().unwrap();
            }
        });
        let failed = (0..4000).filter_map(|_| handed_over(1).0.seal().err());
        let failed: Vec<_> = failed.map(|error| error.to_string()).collect();
        stop.store(true, Relaxed);
        assert_eq!(failed, Vec::<String>::new());
    });
}

#[test]
fn forking_while_a_thread_ends() {
    child::passes("fork::child_forks_while_a_thread_ends");
}

/// Forks from the destructor of a thread-local value, after other destructors have run.
#[test]
#[ignore = "run in a process of its own"]
fn child_forks_while_a_thread_ends() {
    struct Forks;
    impl Drop for Forks {
        fn drop(&mut self) {
            assert!(in_child(|| ()).success());
        }
    }
    thread_local!(static FORKS: Forks = const { Forks });
    let memory = MemfdMemory::new("fork").unwrap();
    let ending = thread::spawn(|| {
        FORKS.with(|_| ());
        assert!(in_child(|| ()).success());
    });
    ending.join().unwrap();
    drop(memory);
}
