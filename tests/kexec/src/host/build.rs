//! Builds a kernel from Debian's source package, with a configuration of our own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kho_linux_source::{Archive, last_lines, run, say};

/// Options of the kernel beyond `tinyconfig`.
pub(crate) const CONFIG: &str = include_str!("../../kernel.config");

/// Bytes that a build takes on disk: the package, the archive in it, the source and the objects.
const ROOM: u64 = 2 << 30;

/// Roughly how many objects are compiled: 784 for Linux 7.3.
const OBJECTS: usize = 800;

/// Time between two lines of progress.
const EVERY: Duration = Duration::from_secs(20);

/// Directories in which nothing is built. Only their makefiles and Kconfig files are unpacked.
const UNUSED: [&str; 6] =
    ["Documentation", "drivers/gpu", "drivers/media", "drivers/net", "sound", "tools/testing"];

/// Checks that the disk has room for a build.
pub(crate) fn check_room(dir: &Path) -> Result<()> {
    let disk = rustix::fs::statvfs(dir)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    ensure!(
        free >= ROOM,
        "building a kernel takes {} MiB, and {} has {} MiB; KHO_KERNEL_CACHE names another place",
        ROOM >> 20,
        dir.display(),
        free >> 20
    );
    Ok(())
}

/// Builds a kernel in `work`, which is emptied first. Returns the directory with the results.
pub(crate) fn build(archive: &Archive, work: &Path) -> Result<PathBuf> {
    let started = Instant::now();
    let _ = fs::remove_dir_all(work);
    let (source, out) = (work.join("source"), work.join("out"));
    fs::create_dir_all(&source)?;
    fs::create_dir_all(&out)?;
    say("unpacking it")?;
    archive.unpack_all_but(&unused(), &source)?;
    say(format!("building it; unpacked in {} s", started.elapsed().as_secs()))?;

    let make = |target: &str| {
        let mut command = Command::new("make");
        command.arg("-C").arg(&source).arg(format!("O={}", out.display()));
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        command.arg(format!("-j{jobs}")).arg(target).stdin(Stdio::null());
        // The caller's own settings for make are not meant for the kernel.
        for name in ["ARCH", "CROSS_COMPILE", "KBUILD_OUTPUT", "KCFLAGS", "LLVM", "MAKEFLAGS", "V"]
        {
            command.env_remove(name);
        }
        for (name, value) in [("TIMESTAMP", "@0"), ("USER", "kho"), ("HOST", "kho")] {
            command.env(format!("KBUILD_BUILD_{name}"), value);
        }
        command.env("LC_ALL", "C");
        command
    };
    let fragment = work.join("fragment");
    fs::write(&fragment, CONFIG)?;
    run(&mut make("tinyconfig"))?;
    run(Command::new(source.join("scripts/kconfig/merge_config.sh"))
        .args(["-m", "-O", ".", ".config"])
        .arg(&fragment)
        .current_dir(&out))?;
    run(&mut make("olddefconfig"))?;
    check_config(&fs::read_to_string(out.join(".config"))?)?;
    run_with_progress(&mut make("bzImage"), &work.join("errors"))?;

    let ready = work.join("ready");
    fs::create_dir_all(&ready)?;
    fs::copy(out.join("arch/x86/boot/bzImage"), ready.join("bzImage"))?;
    fs::copy(out.join("System.map"), ready.join("System.map"))?;
    fs::copy(out.join(".config"), ready.join("config"))?;
    say(format!("built in {} s", started.elapsed().as_secs()))?;
    Ok(ready)
}

/// Returns patterns of the files that no build needs.
fn unused() -> Vec<String> {
    let patterns = ["*.[ch]", "*.rst", "*.yaml", "*.svg", "*.json"];
    let below = |dir| patterns.map(|pattern| format!("*/{dir}/{pattern}"));
    let mut unused: Vec<String> = UNUSED.iter().flat_map(below).collect();
    unused.extend(["*.dts".to_owned(), "*.dtsi".to_owned()]);
    unused
}

/// Checks that every option took. Kconfig drops one silently if its dependencies are not met.
fn check_config(config: &str) -> Result<()> {
    for wanted in CONFIG.lines().filter(|line| line.starts_with("CONFIG_")) {
        let ok = match wanted.strip_suffix("=n") {
            Some(option) => !config.lines().any(|line| line.starts_with(&format!("{option}="))),
            None => config.lines().any(|line| line == wanted),
        };
        ensure!(ok, "the kernel's configuration did not take {wanted}");
    }
    Ok(())
}

/// Runs make and prints how many objects are compiled, every 20 seconds.
fn run_with_progress(make: &mut Command, errors: &Path) -> Result<()> {
    let mut child = make
        .stdout(Stdio::piped())
        .stderr(File::create(errors)?)
        .spawn()
        .context("can't run make")?;
    let started = Instant::now();
    let mut said = started;
    let mut objects = 0;
    let output = child.stdout.take().context("make has no output")?;
    for line in BufReader::new(output).split(b'\n') {
        objects += usize::from(is_object(&line?));
        if said.elapsed() >= EVERY {
            said = Instant::now();
            let seconds = started.elapsed().as_secs();
            say(format!("  {objects} of about {OBJECTS} objects after {seconds} s"))?;
        }
    }
    let status = child.wait()?;
    if status.success() {
        return say(format!("  {objects} objects, all of them"));
    }
    let text = String::from_utf8_lossy(&fs::read(errors)?).into_owned();
    bail!("make failed ({status}):\n{}", last_lines(&text, 15))
}

/// Returns whether a line of make's output says that an object is compiled for the kernel, not for
/// the host.
fn is_object(line: &[u8]) -> bool {
    line.starts_with(b"  CC ") || line.starts_with(b"  AS ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted() {
        for line in ["  CC      kernel/fork.o", "  AS      arch/x86/entry/entry_64.o"] {
            assert!(is_object(line.as_bytes()), "{line}");
        }
        for line in ["  HOSTCC  scripts/basic/fixdep", "  AR      built-in.a", "  LD", ""] {
            assert!(!is_object(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn an_option_that_did_not_take_is_found() {
        let lines: Vec<&str> = CONFIG.lines().filter(|line| !line.ends_with("=n")).collect();
        let taken = lines.join("\n");
        check_config(&taken).unwrap();
        let error = check_config(&taken.replace("CONFIG_LIVEUPDATE=y", "")).unwrap_err();
        assert!(error.to_string().ends_with("did not take CONFIG_LIVEUPDATE=y"), "{error}");
        let error = check_config(&format!("{taken}\nCONFIG_RANDOMIZE_BASE=y")).unwrap_err();
        assert!(error.to_string().ends_with("did not take CONFIG_RANDOMIZE_BASE=n"), "{error}");
    }
}
