//! Where and with what the benches ran.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine and the tools, in words.
pub(crate) struct Host {
    /// Short, for names of files: made from the processor, not the machine's name.
    pub(crate) name: String,
    /// For sentences.
    pub(crate) title: String,
    /// What the document says, a label and a value each.
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Host {
    /// Asks the system and the tools. What they do not tell is "unknown".
    pub(crate) fn ask(workspace: &Path) -> Self {
        let uname = rustix::system::uname();
        let part = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let machine = part(uname.machine());
        let cpu = cpu_model().unwrap_or_else(|| machine.clone());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = format!("{} {}, {machine}", part(uname.sysname()), part(uname.release()));
        let facts = vec![
            ("CPU", cpu.clone()),
            ("Cores", cores.to_string()),
            ("Caches", caches()),
            ("Memory", memory()),
            ("Kernel", kernel),
            ("Huge pages", huge_pages()),
            ("Compiler", or_unknown(output("rustc", &["--version"], workspace))),
            ("Commit", or_unknown(commit(workspace))),
        ];
        Self { name: short_name(&cpu, cores), title: format!("{cpu}, {cores} cores"), facts }
    }
}

fn cpu_model() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// `AMD EPYC 7763 64-Core Processor` with 2 cores is `amd-epyc-7763-2-cores`.
fn short_name(cpu: &str, cores: usize) -> String {
    let model = cpu.split('@').next().unwrap_or_default().replace("(R)", "").replace("(TM)", "");
    let words = model.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let says_nothing =
        |word: &str| matches!(word, "" | "CPU" | "Processor") || word.ends_with("-Core");
    let words: Vec<_> =
        words.filter(|word| !says_nothing(word)).map(str::to_ascii_lowercase).collect();
    format!("{}-{cores}-cores", words.join("-"))
}

fn caches() -> String {
    let caches = (0..8).filter_map(|index| {
        let read = |name: &str| {
            first_line(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}"))
        };
        let kind = match read("type")?.as_str() {
            "Data" => "d",
            "Instruction" => "i",
            _ => "",
        };
        Some(format!("L{}{kind} {}", read("level")?, read("size")?))
    });
    or_unknown(Some(caches.collect::<Vec<_>>().join(", ")))
}

fn memory() -> String {
    let info = rustix::system::sysinfo();
    let bytes = info.totalram as f64 * f64::from(info.mem_unit);
    format!("{:.1} GiB", bytes / f64::from(1 << 30))
}

fn huge_pages() -> String {
    let setting = |name: &str, path: &str| {
        let line = first_line(path)?;
        let chosen = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        Some(format!("{name} {}", chosen.map_or(line.as_str(), |(chosen, _)| chosen)))
    };
    let settings = [
        setting("anonymous:", "/sys/kernel/mm/transparent_hugepage/enabled"),
        setting("shared memory:", "/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        setting("reserved:", "/proc/sys/vm/nr_hugepages"),
    ];
    or_unknown(Some(settings.into_iter().flatten().collect::<Vec<_>>().join(", ")))
}

/// The commit, and whether what was measured differs from it. The documents themselves do not count.
fn commit(workspace: &Path) -> Option<String> {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"], workspace)?;
    let status = ["status", "--porcelain", "--untracked-files=no", "--", "."];
    let status = [&status[..], &[":!docs", ":!*.md", ":!benches/results"]].concat();
    let changes = output("git", &status, workspace)?;
    let note = if changes.is_empty() { "" } else { ", with changes that are not committed" };
    Some(format!("{commit}{note}"))
}

fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned())
}

/// What a tool prints, if it succeeds.
fn output(tool: &str, arguments: &[&str], dir: &Path) -> Option<String> {
    let output = Command::new(tool).args(arguments).current_dir(dir).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn or_unknown(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_processor() {
        for (cpu, name) in [
            ("AMD EPYC", "amd-epyc-2-cores"),
            ("AMD EPYC 7763 64-Core Processor", "amd-epyc-7763-2-cores"),
            ("Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz", "intel-xeon-e5-2690-v4-2-cores"),
            ("aarch64", "aarch64-2-cores"),
        ] {
            assert_eq!(short_name(cpu, 2), name);
        }
    }
}
