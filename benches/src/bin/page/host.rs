//! The machine and the tools, as they describe themselves.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// Returns a list of facts in Markdown. A fact that can't be found out is "unknown".
///
/// # Errors
/// If the clock was before 1970.
pub(crate) fn list(workspace: &Path, measured: SystemTime) -> Result<String> {
    let output = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(workspace).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let seconds = measured.duration_since(UNIX_EPOCH)?.as_secs();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = value("/proc/cpuinfo", "model name").map(|cpu| format!("{cpu}, {cores} cores"));
    let facts = [
        ("Date", output("date", &["-u", "-d", &format!("@{seconds}"), "+%F"])),
        ("Processor", cpu),
        ("Caches", caches()),
        ("Memory", memory()),
        ("System", output("uname", &["-srm"])),
        ("Huge pages for shared memory", first_line(SHARED)),
        ("Compiler", output("rustc", &["--version"])),
        ("Commit", output("git", &["describe", "--always", "--dirty", "--abbrev=12"])),
    ];
    let mut list = String::new();
    for (fact, value) in facts {
        writeln!(list, "- {fact}: {}", value.as_deref().unwrap_or("unknown"))?;
    }
    Ok(list)
}

const SHARED: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Returns the first value of a name in a file of names and values.
fn value(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory() -> Option<String> {
    let kib: f64 = value("/proc/meminfo", "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    Some(format!("{:.1} GiB", kib / f64::from(1 << 20)))
}

fn caches() -> Option<String> {
    let caches = (0..8).filter_map(|index| {
        let read = |name: &str| {
            first_line(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}"))
        };
        let is_data = read("type")? != "Instruction";
        is_data.then_some(format!("L{} {}", read("level")?, read("size")?))
    });
    Some(caches.collect::<Vec<_>>().join(", ")).filter(|caches| !caches.is_empty())
}

fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned())
}
