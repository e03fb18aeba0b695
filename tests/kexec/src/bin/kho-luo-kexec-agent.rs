//! The agent: `/init` of both kernels. It executes the commands that the host sends on the second
//! serial port.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use kho_block::MemfdMemory;
use kho_luo::{LiveUpdate, LiveUpdateErrorKind, Session};
use kho_luo_kexec_test::{
    INITRD_PATH, KERNEL_ARGS, KERNEL_PATH, MARK, PORT, SECOND_KERNEL, content, sys, user_state,
    word_to_name,
};
use rustix::fs::{MemfdFlags, fcntl_get_seals, ftruncate, memfd_create};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::system::{RebootCommand, reboot};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

fn main() {
    if let Err(error) = run() {
        // Not `println`, which panics if the console can't be written.
        let _ = writeln!(std::io::stdout(), "the agent failed: {error:#}");
    }
    // If `/init` ends the kernel panics, and a panic is what some scenarios look for.
    let _ = reboot(RebootCommand::Restart);
}

fn run() -> Result<()> {
    for (kind, path) in [("devtmpfs", "/dev"), ("proc", "/proc")] {
        fs::create_dir_all(path)?;
        mount(kind, path, kind, MountFlags::empty(), None)
            .with_context(|| format!("mount {path}"))?;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(4096), maximum: Some(4096) })?;

    let mut port = OpenOptions::new().read(true).write(true).open(PORT)?;
    let mut mode = tcgetattr(&port)?;
    mode.make_raw();
    tcsetattr(&port, OptionalActions::Flush, &mode)?;
    let commands = BufReader::new(port.try_clone()?).lines();

    let second = fs::read_to_string("/proc/cmdline")?.contains(SECOND_KERNEL);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    writeln!(port, "{MARK}hello {} {}", if second { 2 } else { 1 }, release.trim())?;

    let mut agent = Agent::default();
    for command in commands {
        let command = command?;
        let answer = match agent.execute(command.trim()) {
            Ok(text) => format!("ok {text}"),
            Err(error) => format!("error {error:#}"),
        };
        writeln!(port, "{MARK}{}", answer.replace('\n', " "))?;
        if command.trim() == "kexec" && answer.starts_with("ok") {
            // When the port is drained, the host has all answers.
            rustix::termios::tcdrain(&port)?;
            reboot(RebootCommand::Kexec)?;
            unreachable!("kexec came back");
        }
    }
    Ok(())
}

#[derive(Default)]
struct Agent {
    luo: Option<LiveUpdate>,
    /// Open sessions, by the words for their names. A session lasts as long as its descriptor.
    sessions: BTreeMap<String, Session>,
}

impl Agent {
    fn execute(&mut self, command: &str) -> Result<String> {
        let words: Vec<_> = command.split_whitespace().collect();
        match words[..] {
            ["open"] => {
                self.luo = Some(LiveUpdate::open()?);
                Ok(String::new())
            }
            ["create", ref names @ ..] => {
                for name in names {
                    let session = self.luo()?.create_session(parse_name(name)?)?;
                    self.sessions.insert((*name).to_owned(), session);
                }
                Ok(String::new())
            }
            // Creates and preserves files of `pages` pages, each given as `token=file`.
            ["preserve", name, pages, ref files @ ..] => {
                let pages = pages.parse()?;
                for pair in files {
                    let (token, file) = parse_file(pair)?;
                    let fd = content::create(file, pages)?;
                    self.session(name)?
                        .preserve_fd(&fd, token)
                        .with_context(|| format!("token {token}"))?;
                }
                Ok(String::new())
            }
            ["user-state", name, token] => {
                let memory = MemfdMemory::new("user-state")?;
                let head = user_state::create(&memory)?;
                self.session(name)?.preserve_memfd(memory, head, token.parse()?)?;
                Ok(user_state::ENTRIES.to_string())
            }
            ["sealed-user-state", name, token] => {
                let memory = MemfdMemory::new("user-state")?;
                let head = user_state::create(&memory)?;
                self.session(name)?.seal_and_preserve_memfd(memory, head, token.parse()?)?;
                Ok(user_state::ENTRIES.to_string())
            }
            // A memfd made with MFD_EXEC or MFD_NOEXEC_SEAL. The answer is its seals.
            ["memfd", name, token, flag] => {
                let flag = match flag {
                    "exec" => MemfdFlags::EXEC,
                    "noexec" => MemfdFlags::NOEXEC_SEAL,
                    _ => bail!("not a flag"),
                };
                let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | flag;
                let fd = memfd_create("file", flags)?;
                ftruncate(&fd, content::PAGE_SIZE as u64)?;
                self.session(name)?.preserve_fd(&fd, token.parse()?)?;
                Ok(seals(&fd)?)
            }
            ["kexec"] => load_second_kernel(),
            ["retrieve", ref names @ ..] => {
                for name in names {
                    let wanted = parse_name(name)?;
                    let session = self
                        .luo()?
                        .retrieve_session(&wanted)
                        .with_context(|| format!("session {name}"))?;
                    let says = session.name()?;
                    ensure!(says.as_bytes() == wanted, "session {name} says that it is {says}");
                    self.sessions.insert((*name).to_owned(), session);
                }
                Ok(String::new())
            }
            ["absent", ref names @ ..] => {
                for name in names {
                    match self.luo()?.retrieve_session(parse_name(name)?) {
                        Err(error) if error.kind == LiveUpdateErrorKind::UnknownSession => {}
                        other => bail!("session {name}: {other:?}"),
                    }
                }
                Ok(String::new())
            }
            // Files, each given as `token=file`.
            ["check", name, ref files @ ..] => {
                let session = self.session(name)?;
                for pair in files {
                    let (token, file) = parse_file(pair)?;
                    let fd =
                        session.retrieve_fd(token).with_context(|| format!("token {token}"))?;
                    content::check(fd, file).map_err(|found| anyhow!("token {token}: {found}"))?;
                }
                Ok(files.len().to_string())
            }
            ["absent-token", name, token] => {
                match self.session(name)?.retrieve_fd(token.parse()?) {
                    Err(error) if error.kind == LiveUpdateErrorKind::UnknownToken => {
                        Ok(String::new())
                    }
                    other => bail!("{other:?}"),
                }
            }
            ["claim-user-state", name, token] => {
                let (memory, head) = sys::retrieve_memfd(self.session(name)?, token.parse()?)?;
                Ok(user_state::claim(memory, head)?.to_string())
            }
            ["view-user-state", name, token] => {
                let (memory, head) = self.session(name)?.retrieve_sealed_memfd(token.parse()?)?;
                Ok(user_state::view(&memory, head)?.to_string())
            }
            ["seals", name, token] => seals(self.session(name)?.retrieve_fd(token.parse()?)?),
            ["warnings"] => warnings(),
            ["finish", ref names @ ..] => {
                for name in names {
                    let session = self.sessions.remove(*name).context("no such session")?;
                    session.finish().with_context(|| format!("session {name}"))?;
                }
                Ok(String::new())
            }
            _ => bail!("not a command: {command}"),
        }
    }

    fn luo(&mut self) -> Result<&LiveUpdate> {
        self.luo.as_ref().context("/dev/liveupdate is not open")
    }

    fn session(&self, name: &str) -> Result<&Session> {
        self.sessions.get(name).with_context(|| format!("no session {name}"))
    }
}

fn parse_name(word: &str) -> Result<Vec<u8>> {
    word_to_name(word).with_context(|| format!("not a name: {word}"))
}

/// Parses `token=file`.
fn parse_file(pair: &str) -> Result<(u64, u64)> {
    let (token, file) = pair.split_once('=').context("not token=file")?;
    Ok((token.parse()?, file.parse()?))
}

fn load_second_kernel() -> Result<String> {
    let open = |path: &str| File::open(Path::new(path)).with_context(|| path.to_owned());
    let (kernel, initrd) = (open(KERNEL_PATH)?, open(INITRD_PATH)?);
    let args = CString::new(format!("{KERNEL_ARGS} {SECOND_KERNEL}"))?;
    sys::kexec_file_load(kernel.as_fd(), initrd.as_fd(), &args).context("kexec_file_load")?;
    Ok(String::new())
}

fn seals(fd: impl AsFd) -> Result<String> {
    let seals = fcntl_get_seals(fd)?;
    Ok(seals.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
}

/// Returns what the kernel has logged as a warning or worse.
fn warnings() -> Result<String> {
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open("/dev/kmsg")?;
    let mut found = Vec::new();
    let mut record = [0; 8192];
    loop {
        let len = match log.read(&mut record) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // Records were overwritten before they could be read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                found.push("the log has lost its beginning".to_owned());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let record = String::from_utf8_lossy(&record[..len]);
        let (head, text) = record.split_once(';').context("not a record of the log")?;
        let priority: u32 = head.split(',').next().unwrap_or_default().parse()?;
        if priority & 7 <= 4 {
            found.push(text.lines().next().unwrap_or_default().to_owned());
        }
    }
    Ok(found.join(" | "))
}
