//! The initramfs of each kernel: the agent and, for the first kernel, the second one with its own.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cpio::NewcBuilder;
use kho_luo_kexec_test::{INITRD_PATH, KERNEL_PATH};

/// The agent is linked statically, at a fixed address: the guest has no libraries and no loader.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";
const AGENT: &str = "kho-luo-kexec-agent";

/// Builds the agent and writes the initramfs of the first kernel.
pub(crate) fn build(kernel: &Path, to: &Path) -> Result<()> {
    let agent = fs::read(build_agent()?)?;
    let second = archive(&[("init", 0o100_755, &agent)])?;
    let first = archive(&[
        ("init", 0o100_755, &agent),
        ("second", 0o040_755, &[]),
        (KERNEL_PATH.trim_start_matches('/'), 0o100_644, &fs::read(kernel)?),
        (INITRD_PATH.trim_start_matches('/'), 0o100_644, &second),
    ])?;
    fs::write(to, first)?;
    Ok(())
}

fn build_agent() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let here = env::current_exe()?;
    let target_dir = here.parent().and_then(Path::parent).context("not in a target directory")?;
    let target_dir = target_dir.join("kexec-agent");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--bin", AGENT, "--target", TARGET])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target_dir)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", FLAGS)
        .status()
        .context("can't run cargo")?;
    ensure!(status.success(), "the agent does not build");
    Ok(target_dir.join(TARGET).join("release").join(AGENT))
}

fn archive(entries: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Without /dev/console, which the kernel's built-in initramfs has, `/init` has no output.
    let console = NewcBuilder::new("dev/console").mode(0o020_600).rdev_major(5).rdev_minor(1);
    let dev = NewcBuilder::new("dev").mode(0o040_755);
    let mut inode = 0;
    let mut add = |builder: NewcBuilder, content: &[u8]| -> Result<()> {
        inode += 1;
        let len = u32::try_from(content.len())?;
        let mut writer = builder.ino(inode).nlink(1).write(&mut bytes, len);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    };
    add(dev, &[])?;
    add(console, &[])?;
    for (name, mode, content) in entries {
        add(NewcBuilder::new(name).mode(*mode), content)?;
    }
    cpio::newc::trailer(&mut bytes)?;
    Ok(bytes)
}
