//! A forked child owns nothing of what its parent has in a memfd.

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use kho_block::{BlockSet, MemfdMemory};

use crate::{Number, child, handed_over};

/// Does what safe functions of other crates do: `f` runs in a child, which then exits with 0.
fn in_child(f: impl FnOnce()) -> ExitStatus {
    // SAFETY: these tests run alone, in a process whose other threads only wait.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let code = i32::from(catch_unwind(AssertUnwindSafe(f)).is_err());
        // SAFETY: ends this child at once.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to an integer of this function's.
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

    // Each of these would be a second owner's. The address sanitizer turns the signal into an exit.
    let killed = |status: ExitStatus| {
        assert!(status.signal() == Some(libc::SIGSEGV) || status.code() == Some(1), "{status}");
    };
    killed(in_child(|| set[0].value = 666));
    killed(in_child(|| assert_ne!(set[0].value, 2)));
    killed(in_child(|| {
        let _ = BlockSet::new_in(&memory).push(Number { value: 13 });
    }));
    // Nothing else can come to lie there.
    let status = in_child(|| {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let at = |text: &str| usize::from_str_radix(text, 16).unwrap();
        let has_place = |line: &&str| {
            let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            (at(start)..at(end)).contains(&place)
        };
        let line = maps.lines().find(has_place).expect("there is a hole");
        assert!(line.contains("---p") && !line.contains("memfd:"), "{line}");
    });
    assert!(status.success(), "{status}");
    assert_eq!(set[0].value, 1);
    // A child may have memories of its own, and children, and drop what it inherited.
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

    // To give its descriptor away is for the parent.
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
                // SAFETY: the hook does nothing; having one makes this a real fork.
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

/// A destructor of a thread-local value forks, after those of other values have run.
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
