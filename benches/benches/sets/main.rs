//! Sets beside what else there is: every workload, size and contender.

#[cfg(kho_linux)]
mod kernel;
mod nested;
mod read;
mod restore;
mod threads;
mod timing;
mod write;

use std::collections::LinkedList;
use std::fs;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
#[cfg(kho_linux)]
use kho_benches::PreservedByC;
use kho_benches::{
    Arena, Blocks, Bytes8, Bytes64, Bytes80, Bytes512, Evictor, HUGE, Kept, LARGE, MemorySlot,
    Pieces, PointerChase, Preserved, SESSIONS, SMALL, Sample, SetSessions, TINY, VecSessions,
    allocate_large_ones_afresh, linux,
};
use kho_block::{HeapMemory, MemfdMemory};
#[cfg(kho_linux)]
use kho_linux_c::KernelSessions;
use timing::{Group, group, is_test};

/// `Vec`, and a set in each memory.
macro_rules! arrays {
    ($module:ident::$function:ident, $entry:ty, $group:expr) => {
        $module::$function::<$entry, Vec<$entry>>($group);
        $module::$function::<$entry, Blocks<$entry, HeapMemory>>($group);
        $module::$function::<$entry, Blocks<$entry, MemfdMemory>>($group);
    };
}

/// What else grows by pushing.
macro_rules! lists {
    ($module:ident::$function:ident, $entry:ty, $group:expr) => {
        $module::$function::<$entry, Arena<$entry>>($group);
        $module::$function::<$entry, LinkedList<$entry>>($group);
        $module::$function::<$entry, Pieces<$entry>>($group);
    };
}

/// A pointer chase and a set, in each memory.
macro_rules! chains {
    ($module:ident::$function:ident, $entry:ty, $group:expr $(, $arg:expr)*) => {
        $module::$function::<PointerChase<$entry, HeapMemory>>($group $(, $arg)*);
        $module::$function::<PointerChase<$entry, MemfdMemory>>($group $(, $arg)*);
        sets!($module::$function, $entry, $group $(, $arg)*);
    };
}

/// A set that was handed over, in each memory.
macro_rules! sets {
    ($module:ident::$function:ident, $entry:ty, $group:expr $(, $arg:expr)*) => {
        $module::$function::<Preserved<$entry, HeapMemory>>($group $(, $arg)*);
        $module::$function::<Preserved<$entry, MemfdMemory>>($group $(, $arg)*);
    };
}

/// Slots of 32 bytes: every workload, and every contender but the lists.
fn slots(criterion: &mut Criterion, len: usize, evictor: &Evictor) {
    let mut of_slots = |workload, run: &dyn Fn(&mut Group<'_>)| {
        group(criterion, (workload, size_of::<MemorySlot>(), len), run);
    };
    of_slots("push", &|group| {
        arrays!(write::push, MemorySlot, group);
        write::memcpy::<MemorySlot>(group);
        #[cfg(kho_linux)]
        kernel::push(group);
    });
    of_slots("push with growth", &|group| {
        arrays!(write::push_with_growth, MemorySlot, group);
        #[cfg(kho_linux)]
        kernel::push_with_growth(group);
    });
    of_slots("reserve and push", &|group| {
        arrays!(write::reserve_and_push, MemorySlot, group);
        #[cfg(kho_linux)]
        kernel::reserve_and_push(group);
    });
    of_slots("bulk append", &|group| {
        arrays!(write::append, MemorySlot, group);
        write::memcpy::<MemorySlot>(group);
    });
    of_slots("rewrite", &|group| {
        arrays!(write::write_again, MemorySlot, group);
        #[cfg(kho_linux)]
        kernel::write_again(group);
    });
    of_slots("roll back", &|group| {
        arrays!(write::take_back, MemorySlot, group);
    });
    of_slots("for", &|group| {
        arrays!(read::read_for, MemorySlot, group);
        #[cfg(kho_linux)]
        kernel::read_for(group);
    });
    of_slots("for, count", &|group| {
        arrays!(read::read_for_count, MemorySlot, group);
        #[cfg(kho_linux)]
        kernel::read_for_count(group);
    });
    of_slots("fold", &|group| {
        arrays!(read::read_fold, MemorySlot, group);
    });
    of_slots("chunks", &|group| {
        arrays!(read::read_chunks, MemorySlot, group);
    });
    of_slots("reverse", &|group| {
        arrays!(read::read_reverse, MemorySlot, group);
        #[cfg(kho_linux)]
        kernel::read_reverse(group);
    });
    of_slots("random get", &|group| {
        arrays!(read::random_get, MemorySlot, group);
    });
    of_slots("seek", &|group| {
        arrays!(read::random_seek, MemorySlot, group);
    });
    of_slots("restore", &|group| {
        chains!(restore::restore, MemorySlot, group);
        #[cfg(kho_linux)]
        restore::restore::<PreservedByC>(group);
    });
    of_slots("restore, cold", &|group| {
        chains!(restore::restore_cold, MemorySlot, group, evictor);
        #[cfg(kho_linux)]
        restore::restore_cold::<PreservedByC>(group, evictor);
    });
    of_slots("restore and read, cold", &|group| {
        restore::restore_and_read_cold::<Kept<MemorySlot>>(group, evictor);
        sets!(restore::restore_and_read_cold, MemorySlot, group, evictor);
        #[cfg(kho_linux)]
        restore::restore_and_read_cold::<PreservedByC>(group, evictor);
    });
    of_slots("hand over", &|group| {
        sets!(restore::hand_over, MemorySlot, group);
        #[cfg(kho_linux)]
        restore::hand_over::<PreservedByC>(group);
    });
    of_slots("fold on threads", &|group| {
        arrays!(threads::fold_on_threads, MemorySlot, group);
    });
    of_slots("fill on threads", &|group| {
        arrays!(threads::fill_on_threads, MemorySlot, group);
    });
}

/// The same for lists, which leave their nodes in the allocator: whoever comes after them would get
/// large pieces of memory that is not new. So they come last.
fn lists(criterion: &mut Criterion, len: usize) {
    let mut of_slots = |workload, run: &dyn Fn(&mut Group<'_>)| {
        group(criterion, (workload, size_of::<MemorySlot>(), len), run);
    };
    of_slots("push with growth", &|group| {
        lists!(write::push_with_growth, MemorySlot, group);
    });
    of_slots("for", &|group| {
        lists!(read::read_for, MemorySlot, group);
    });
    of_slots("for, count", &|group| {
        lists!(read::read_for_count, MemorySlot, group);
    });
    of_slots("fold", &|group| {
        lists!(read::read_fold, MemorySlot, group);
    });
    of_slots("reverse", &|group| {
        read::read_reverse::<MemorySlot, LinkedList<MemorySlot>>(group);
    });
}

/// Entries of another size, or very many: what differs by size, on arrays.
fn sized<T: Sample>(criterion: &mut Criterion, len: usize) {
    let mut of_entries = |workload, run: &dyn Fn(&mut Group<'_>)| {
        group(criterion, (workload, size_of::<T>(), len), run);
    };
    of_entries("push", &|group| {
        arrays!(write::push, T, group);
    });
    if len < HUGE {
        of_entries("bulk append", &|group| {
            arrays!(write::append, T, group);
        });
        of_entries("for", &|group| {
            arrays!(read::read_for, T, group);
        });
    }
    of_entries("fold", &|group| {
        arrays!(read::read_fold, T, group);
    });
    of_entries("chunks", &|group| {
        arrays!(read::read_chunks, T, group);
    });
    of_entries("random get", &|group| {
        arrays!(read::random_get, T, group);
    });
    of_entries("restore", &|group| {
        chains!(restore::restore, T, group);
    });
}

fn sessions(criterion: &mut Criterion, count: usize) {
    group(criterion, ("nested", "mixed", count), |group| {
        nested::build::<VecSessions>(group);
        nested::build::<SetSessions<HeapMemory>>(group);
        nested::build::<SetSessions<MemfdMemory>>(group);
        #[cfg(kho_linux)]
        nested::build::<KernelSessions>(group);
    });
    group(criterion, ("nested, restore and read", "mixed", count), |group| {
        nested::restore_and_read::<VecSessions>(group);
        nested::restore_and_read::<SetSessions<HeapMemory>>(group);
        nested::restore_and_read::<SetSessions<MemfdMemory>>(group);
        #[cfg(kho_linux)]
        nested::restore_and_read::<KernelSessions>(group);
    });
}

/// Bytes that the system can give out, as it says itself.
fn available_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// What the largest runs need, with room to spare.
const MEMORY_FOR_HUGE: u64 = 14 << 30;

fn sets(criterion: &mut Criterion) {
    if let Err(why) = linux() {
        println!("skipped: the kernel's C code: {why}");
    }
    allocate_large_ones_afresh();
    let evictor = Evictor::new();
    let test = is_test();
    let lens: &[usize] = if test { &[TINY, SMALL] } else { &[TINY, SMALL, LARGE] };
    for len in lens {
        slots(criterion, *len, &evictor);
    }
    other_sizes(criterion, if test { &[TINY] } else { &[SMALL, LARGE] });
    match available_memory() {
        _ if test => {}
        Some(bytes) if bytes >= MEMORY_FOR_HUGE => sized::<MemorySlot>(criterion, HUGE),
        _ => println!("skipped: {HUGE} entries: less than 14 GiB of memory are available"),
    }
    sessions(criterion, if test { TINY } else { SESSIONS });
    for len in lens {
        lists(criterion, *len);
    }
}

fn other_sizes(criterion: &mut Criterion, lens: &[usize]) {
    for len in lens {
        sized::<Bytes8>(criterion, *len);
        sized::<Bytes64>(criterion, *len);
        sized::<Bytes80>(criterion, *len);
        sized::<Bytes512>(criterion, *len);
    }
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        // The report takes medians from the samples themselves.
        .nresamples(2000)
}

criterion_group! {
    name = benches;
    config = config();
    targets = sets
}
criterion_main!(benches);
