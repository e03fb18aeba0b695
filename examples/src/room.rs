//! Finds out how much memory a program may fill.
//!
//! Ask before writing: the kernel promises more memory than it has, and kills programs that use it.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use indicatif::HumanBytes;
use kho_block::{MemfdMemory, abi};
use procfs::process::Process;
use procfs::{Current as _, Meminfo};
use rustix::process::{Resource, getrlimit};

const BLOCK_SIZE: u64 = abi::DEFAULT_BLOCK_SIZE as u64;

/// The lowest of the limits on the size of a memfd, and where it comes from.
#[derive(Debug)]
pub struct Room {
    bytes: u64,
    why: &'static str,
}

impl Room {
    /// Returns the limit for a memory whose file is empty.
    #[must_use]
    pub fn measure(memory: &MemfdMemory) -> Self {
        // Leave an eighth for everything that is not a block.
        let most = |bytes: u64| bytes / 8 * 7;
        let limits = [
            (machine_memory().map(most), "the spare memory of this machine is"),
            (group_memory().map(most), "the spare memory of the control group is"),
            (getrlimit(Resource::Fsize).current, "RLIMIT_FSIZE is"),
        ];
        let addresses = match getrlimit(Resource::As).current {
            Some(_) => "by RLIMIT_AS the file can grow to",
            None => "the file can grow to",
        };
        let mut room = Self { bytes: memory.max_len() as u64, why: addresses };
        for (bytes, why) in limits {
            if let Some(bytes) = bytes.filter(|bytes| *bytes < room.bytes) {
                room = Self { bytes, why };
            }
        }
        room
    }

    /// Checks that `entries` entries, `per_block` in a block, fit beside `blocks` blocks.
    ///
    /// # Errors
    /// Returns an error if they don't fit. The message says how many would, and which limit
    /// applies.
    pub fn check(&self, entries: u64, per_block: usize, blocks: usize) -> anyhow::Result<()> {
        // The file's first block is never used.
        let left = (self.bytes / BLOCK_SIZE).saturating_sub(blocks as u64 + 1);
        let most = left * per_block as u64;
        ensure!(
            entries <= most,
            "{entries} entries do not fit, at most {most} would: {} {}",
            self.why,
            HumanBytes(self.bytes)
        );
        Ok(())
    }
}

fn machine_memory() -> Option<u64> {
    let memory = Meminfo::current().ok()?;
    Some(memory.mem_available?.saturating_add(memory.swap_free))
}

/// Returns how much memory the control groups of this process leave to it.
fn group_memory() -> Option<u64> {
    let groups = Process::myself().ok()?.cgroups().ok()?;
    let spare = groups.0.iter().filter_map(|group| {
        if group.hierarchy == 0 {
            spare_in_groups(Path::new("/sys/fs/cgroup"), &group.pathname, &VERSION_2)
        } else if group.controllers.iter().any(|controller| controller == "memory") {
            spare_in_groups(Path::new("/sys/fs/cgroup/memory"), &group.pathname, &VERSION_1)
        } else {
            None
        }
    });
    spare.min()
}

/// Names of the files of a control group, and of the line of `memory.stat` with reclaimable memory.
struct Names {
    limit: &'static str,
    usage: &'static str,
    inactive: &'static str,
}

const VERSION_1: Names = Names {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive: "total_inactive_file ",
};

const VERSION_2: Names =
    Names { limit: "memory.max", usage: "memory.current", inactive: "inactive_file " };

/// Returns how much the tightest group on the way from `root` to `path` leaves. In a container some
/// of them may not be visible.
fn spare_in_groups(root: &Path, path: &str, names: &Names) -> Option<u64> {
    let group = root.join(path.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|group| group.starts_with(root));
    let spare = groups.filter_map(|group| {
        let read = |name| fs::read_to_string(group.join(name)).ok();
        let number = |text: &str| text.trim().parse::<u64>().ok();
        // A group without a limit has the word `max` here.
        let limit = number(&read(names.limit)?)?;
        let usage = number(&read(names.usage)?)?;
        let stat = read("memory.stat").unwrap_or_default();
        let inactive = stat.lines().find_map(|line| number(line.strip_prefix(names.inactive)?));
        Some(limit.saturating_sub(usage.saturating_sub(inactive.unwrap_or(0))))
    });
    spare.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_in_the_message_fits() {
        let room = Room { bytes: 1000 * BLOCK_SIZE, why: "it is" };
        for (blocks, most) in [(0, 999 * 127), (900, 99 * 127), (999, 0), (5000, 0)] {
            room.check(most, 127, blocks).unwrap();
            for entries in [most + 1, u64::MAX] {
                let message = room.check(entries, 127, blocks).unwrap_err().to_string();
                assert!(message.ends_with(&format!(" {most} would: it is 3.91 MiB")), "{message}");
            }
        }
    }

    #[test]
    fn this_machine_has_room() {
        let room = Room::measure(&MemfdMemory::new("room").unwrap());
        room.check(1, 1, 0).unwrap();
        room.check(u64::MAX, 1, 0).unwrap_err();
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = std::env::temp_dir().join(format!("kho-handover-room-{}", std::process::id()));
        let write = |group: &str, files: &[(&str, &str)]| {
            fs::create_dir_all(root.join(group)).unwrap();
            for (name, text) in files {
                fs::write(root.join(group).join(name), text).unwrap();
            }
        };
        write("a/b", &[("memory.max", "max\n"), ("memory.current", "10\n")]);
        let spare = |path, names| spare_in_groups(&root, path, names);
        let without_limit = spare("/a/b", &VERSION_2);
        write("a", &[("memory.max", "1000\n"), ("memory.current", "600\n")]);
        write("a", &[("memory.stat", "anon 1\ninactive_file 50\nactive_file 7\n")]);
        let limited_above = spare("/a/b", &VERSION_2);
        write("a/b", &[("memory.max", "100\n")]);
        let limited = [spare("/a/b", &VERSION_2), spare("/a", &VERSION_2), spare("/", &VERSION_2)];
        write("", &[("memory.limit_in_bytes", "70\n"), ("memory.usage_in_bytes", "90\n")]);
        let unseen = spare("/not/seen/here", &VERSION_1);
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(without_limit, None);
        assert_eq!(limited_above, Some(450));
        assert_eq!(limited, [Some(90), Some(450), None]);
        assert_eq!(unseen, Some(0));
    }
}
