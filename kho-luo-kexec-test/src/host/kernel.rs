//! The kernel under test: from Debian's source package, with our configuration, kept in a cache.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use xxhash_rust::const_xxh3::xxh3_64;

/// What our kernel has beyond the smallest one.
const CONFIG: &str = include_str!("../../kernel.config");

/// The package, unless `KHO_KERNEL_PACKAGE` names another.
const PACKAGE: &str = "linux-source-7.2";

/// Suites that may have the package when the machine's own does not.
const SUITES: [&str; 2] = ["sid", "trixie-backports"];

/// Directories of which only the build files are unpacked: nothing in them is built.
const UNUSED: [&str; 6] =
    ["Documentation", "drivers/gpu", "drivers/media", "drivers/net", "sound", "tools/testing"];

/// Programs that the build calls, and the Debian package of each.
const TOOLS: [(&str, &str); 9] = [
    ("apt-get", "apt"),
    ("bc", "bc"),
    ("bison", "bison"),
    ("dpkg-deb", "dpkg"),
    ("flex", "flex"),
    ("gcc", "gcc"),
    ("make", "make"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
];

/// A kernel that was built.
pub(crate) struct Kernel {
    /// The file that boots.
    pub(crate) image: PathBuf,
    /// Package and version.
    pub(crate) name: String,
    symbols: String,
}

impl Kernel {
    /// The one in the cache, or a new one.
    ///
    /// The outer error is one of the build; the inner says what the machine lacks.
    pub(crate) fn get() -> Result<Result<Self, String>> {
        let package = env::var("KHO_KERNEL_PACKAGE").unwrap_or_else(|_| PACKAGE.to_owned());
        let cache = cache()?;
        let config_hash = format!("{:016x}", xxh3_64(CONFIG.as_bytes()));
        if let Some(kernel) = Self::cached(&cache, &package, &config_hash)? {
            return Ok(Ok(kernel));
        }
        if let Some(what) = missing_tool() {
            return Ok(Err(what));
        }
        fs::create_dir_all(&cache)?;
        // Two runs at once: the second finds what the first has built.
        let lock = File::create(cache.join("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
        if let Some(kernel) = Self::cached(&cache, &package, &config_hash)? {
            return Ok(Ok(kernel));
        }
        let deb = match download(&cache, &package)? {
            Ok(deb) => deb,
            Err(why) => return Ok(Err(why)),
        };
        build(&cache, &deb, &package, &config_hash)?;
        let kernel = Self::cached(&cache, &package, &config_hash)?;
        Ok(Ok(kernel.context("the kernel that was built is not in the cache")?))
    }

    /// The newest build of this package and configuration.
    fn cached(cache: &Path, package: &str, config_hash: &str) -> Result<Option<Self>> {
        let Ok(entries) = fs::read_dir(cache) else { return Ok(None) };
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{package}_"))
                    && name.ends_with(&format!("_{config_hash}"))
            })
            .collect();
        found.sort_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
        let Some(dir) = found.pop() else { return Ok(None) };
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let name = name.trim_end_matches(&format!("_{config_hash}")).replace('_', " ");
        let symbols = fs::read_to_string(dir.join("System.map"))?;
        Ok(Some(Self { image: dir.join("bzImage"), name, symbols }))
    }

    /// Virtual address of a symbol.
    pub(crate) fn symbol(&self, name: &str) -> Result<u64> {
        self.symbols
            .lines()
            .find_map(|line| {
                let mut words = line.split(' ');
                let (address, _, symbol) = (words.next()?, words.next()?, words.next()?);
                (symbol == name).then(|| u64::from_str_radix(address, 16).ok())?
            })
            .with_context(|| format!("the kernel has no symbol {name}"))
    }
}

fn cache() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("KHO_KERNEL_CACHE") {
        return Ok(dir.into());
    }
    let base = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
        (Some(dir), _) if !dir.is_empty() => PathBuf::from(dir),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => bail!("neither KHO_KERNEL_CACHE nor XDG_CACHE_HOME nor HOME is set"),
    };
    Ok(base.join("kho-luo-kexec-test"))
}

fn missing_tool() -> Option<String> {
    let missing: Vec<&str> =
        TOOLS.into_iter().filter(|(tool, _)| !has_tool(tool)).map(|(_, package)| package).collect();
    if !missing.is_empty() {
        return Some(format!("to build the kernel, install {}", missing.join(" ")));
    }
    if !Path::new("/usr/include/gelf.h").exists() {
        return Some("to build the kernel, install libelf-dev".to_owned());
    }
    None
}

/// Whether a program is there.
pub(crate) fn has_tool(tool: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(tool).is_file()))
}

/// Fetches the package by an apt state of our own; the machine's configuration stays as it is.
fn download(cache: &Path, package: &str) -> Result<Result<PathBuf, String>> {
    let apt = cache.join("apt");
    for dir in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(dir))?;
    }
    let Some(mirror) = mirror() else { return Ok(Err("apt has no mirror of Debian".to_owned())) };
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let sources: String = SUITES
        .iter()
        .map(|suite| format!("deb [signed-by={keyring}] {mirror} {suite} main\n"))
        .collect();
    fs::write(apt.join("sources.list"), sources)?;
    let apt_get = || {
        let mut command = Command::new("apt-get");
        let options = [
            format!("Dir::State={}", apt.join("state").display()),
            "Dir::State::status=/var/lib/dpkg/status".to_owned(),
            format!("Dir::Cache={}", apt.join("cache").display()),
            format!("Dir::Etc::sourcelist={}", apt.join("sources.list").display()),
            "Dir::Etc::sourceparts=-".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        for option in options {
            command.arg("-o").arg(option);
        }
        command.arg("-q").stdin(Stdio::null());
        command
    };
    println!("fetching {package}");
    if let Err(error) = run(apt_get().arg("update")) {
        return Ok(Err(format!("can't update the package lists: {error:#}")));
    }
    let to = apt.join("download");
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(&to)?;
    if let Err(error) = run(apt_get().args(["download", package]).current_dir(&to)) {
        return Ok(Err(format!("can't download {package}: {error:#}")));
    }
    let deb = fs::read_dir(&to)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    Ok(deb.ok_or_else(|| format!("apt did not download {package}")))
}

/// The first mirror that apt is set up with and that is not one of security updates.
fn mirror() -> Option<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(SITE) $(ORIGIN)"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .find(|site| !site.contains("security"))
        .map(str::to_owned)
}

fn build(cache: &Path, deb: &Path, package: &str, config_hash: &str) -> Result<()> {
    let started = Instant::now();
    let version = run_for_output(Command::new("dpkg-deb").arg("-f").arg(deb).arg("Version"))?;
    println!("building {package} {}; this takes some minutes", version.trim());
    let work = cache.join("build");
    let _ = fs::remove_dir_all(&work);
    let (source, out) = (work.join("source"), work.join("out"));
    fs::create_dir_all(&source)?;
    fs::create_dir_all(&out)?;
    unpack(deb, package, &work, &source)?;
    let unpacked = started.elapsed();

    let make = |target: &str| {
        let mut command = Command::new("make");
        command.arg("-s").arg("-C").arg(&source).arg(format!("O={}", out.display()));
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        command.arg(format!("-j{jobs}")).arg(target).stdin(Stdio::null());
        for (name, value) in [("TIMESTAMP", "@0"), ("USER", "kho"), ("HOST", "kho")] {
            command.env(format!("KBUILD_BUILD_{name}"), value);
        }
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
    run(&mut make("bzImage"))?;

    // In place all at once.
    let ready = work.join("ready");
    fs::create_dir_all(&ready)?;
    fs::copy(out.join("arch/x86/boot/bzImage"), ready.join("bzImage"))?;
    fs::copy(out.join("System.map"), ready.join("System.map"))?;
    fs::copy(out.join(".config"), ready.join("config"))?;
    fs::rename(&ready, cache.join(format!("{package}_{}_{config_hash}", version.trim())))?;
    fs::remove_dir_all(&work)?;
    let _ = fs::remove_file(deb);
    println!(
        "built in {} s, of which {} s for unpacking",
        started.elapsed().as_secs(),
        unpacked.as_secs()
    );
    Ok(())
}

fn unpack(deb: &Path, package: &str, work: &Path, source: &Path) -> Result<()> {
    run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(work.join("package")))?;
    let archive = work.join(format!("package/usr/src/{package}.tar.xz"));
    let mut tar = Command::new("tar");
    tar.arg("-xJf")
        .arg(&archive)
        .arg("-C")
        .arg(source)
        .args(["--strip-components=1", "--wildcards"]);
    for dir in UNUSED {
        for pattern in ["*.[ch]", "*.rst", "*.yaml", "*.svg", "*.json"] {
            tar.arg(format!("--exclude=*/{dir}/{pattern}"));
        }
    }
    tar.args(["--exclude=*.dts", "--exclude=*.dtsi"]);
    run(&mut tar)
}

/// Every option that was asked for has to be there: an unmet dependency drops one in silence.
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

fn run(command: &mut Command) -> Result<()> {
    run_for_output(command).map(drop)
}

/// Runs a command to its end; what it printed goes into the error.
fn run_for_output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("can't run {program}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(15)..].join("\n");
    Err(anyhow!("{program} failed ({}):\n{last}", output.status))
}
