//! A machine in QEMU, which runs one kernel and then, by kexec, another.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use kho_block::{PhysAddr, ReadError, ReadErrorKind, ReadMemory};
use kho_linux_source::last_lines;
use kho_luo_kexec_test::{KERNEL_ARGS, MARK};
use tempfile::TempDir;

use super::deadline::Deadline;
use super::gdb::Gdb;
use super::kernel::Kernel;
use super::tools::QEMU;

/// Bytes of memory. All of it lies below QEMU's hole for devices, so a physical address is an
/// offset in the file that holds the memory.
const RAM_SIZE: u64 = 384 << 20;

/// Time to wait for a kernel message. Since Linux 7.3 a thread prints the log, so a message may
/// come after the answer to the call that it is about.
const MESSAGE_TIME: Duration = Duration::from_secs(60);

/// Most bytes of arguments on a line to the agent. A terminal buffers 4096.
const MAX_LINE: usize = 1500;

/// A running machine. Dropping it ends QEMU.
pub(crate) struct Machine {
    qemu: Qemu,
    agent: BufReader<UnixStream>,
    gdb: Gdb,
    ram: GuestRam,
    console: PathBuf,
    deadline: Deadline,
    memory_init: u64,
    luo_init: u64,
    kho_in: u64,
    _dir: TempDir,
}

/// The outcome of a command to the agent.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The agent has executed it. The text is the result.
    Done(String),
    /// The agent could not execute it. The text says why.
    Failed(String),
    /// The machine ended without an answer.
    Ended,
}

/// What the second kernel did when it was allowed to continue.
pub(crate) enum Second {
    /// It came up, and its agent has reported.
    Up,
    /// The machine ended, as it does after a panic.
    Ended,
}

impl Machine {
    /// Starts the machine with the first kernel and waits for its agent.
    pub(crate) fn boot(kernel: &Kernel, initrd: &Path, deadline: Deadline) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("kho-").tempdir()?;
        let (ram_path, console) = (dir.path().join("ram"), dir.path().join("console"));
        let (agent, gdb) = (dir.path().join("agent"), dir.path().join("gdb"));
        let ram = File::options().read(true).write(true).create_new(true).open(&ram_path)?;
        ram.set_len(RAM_SIZE)?;

        // QEMU ends even if this program is killed.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", QEMU]);
        // The machine starts stopped, since connecting the debugger stops it at any moment.
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-S"]);
        qemu.args([
            "-machine",
            "pc,accel=tcg,memory-backend=ram",
            "-m",
            &format!("{}M", RAM_SIZE >> 20),
        ]);
        qemu.arg("-object").arg(format!(
            "memory-backend-file,id=ram,size={RAM_SIZE},share=on,mem-path={}",
            ram_path.display()
        ));
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.arg("-serial").arg(format!("unix:{},server=on,wait=off", agent.display()));
        qemu.arg("-gdb").arg(format!("unix:{},server=on,wait=off", gdb.display()));
        qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initrd);
        qemu.args(["-append", KERNEL_ARGS]);
        let errors = File::create(dir.path().join("errors"))?;
        let qemu = qemu
            .stdin(Stdio::null())
            .stdout(errors.try_clone()?)
            .stderr(errors)
            .spawn()
            .context("can't start QEMU")?;
        let mut qemu = Qemu(qemu);

        let mut connect = |path: &Path| loop {
            match UnixStream::connect(path) {
                Ok(stream) => break Ok(stream),
                Err(_) if deadline.left().is_ok() && !qemu.has_ended()? => {
                    sleep(Duration::from_millis(5));
                }
                Err(error) => {
                    let said = fs::read_to_string(dir.path().join("errors")).unwrap_or_default();
                    break Err(anyhow!(error).context(format!("QEMU did not start: {said}")));
                }
            }
        };
        let agent = BufReader::new(connect(&agent)?);
        let gdb_stream = connect(&gdb)?;
        let mut gdb = Gdb::new(gdb_stream, deadline);
        gdb.resume()?;
        let mut machine = Self {
            qemu,
            agent,
            gdb,
            ram: GuestRam(ram),
            console,
            deadline,
            memory_init: kernel.symbol("kho_memory_init")?,
            luo_init: kernel.symbol("liveupdate_early_init")?,
            kho_in: kernel.symbol("kho_in")?,
            _dir: dir,
        };
        let hello = machine.answer()?.context("the first kernel did not come up")?;
        ensure!(hello.starts_with("hello 1 "), "the agent said {hello}");
        Ok(machine)
    }

    /// Sends a command to the agent and returns the outcome.
    pub(crate) fn ask(&mut self, command: &str) -> Result<Answer> {
        writeln!(self.agent.get_mut(), "{command}")?;
        let Some(answer) = self.answer()? else {
            return Ok(Answer::Ended);
        };
        if let Some(text) = answer.strip_prefix("ok") {
            return Ok(Answer::Done(text.trim().to_owned()));
        }
        match answer.strip_prefix("error ") {
            Some(text) => Ok(Answer::Failed(text.to_owned())),
            None => bail!("the agent said {answer}"),
        }
    }

    /// Sends a command that has to succeed, and returns its result.
    pub(crate) fn tell(&mut self, command: &str) -> Result<String> {
        let start: String = command.chars().take(40).collect();
        match self.ask(command)? {
            Answer::Done(text) => Ok(text),
            Answer::Failed(error) => bail!("{error}; at {start:?}"),
            Answer::Ended => bail!("the machine ended; at {start:?}:\n{}", self.log_tail()),
        }
    }

    /// Sends a command with many arguments, in several lines if they don't fit on one.
    pub(crate) fn tell_each(&mut self, command: &str, arguments: &[String]) -> Result<()> {
        let mut rest = arguments;
        while !rest.is_empty() {
            let mut len = 0;
            let fit = |argument: &&String| {
                len += argument.len() + 1;
                len <= MAX_LINE
            };
            let count = rest.iter().take_while(fit).count().max(1);
            let (now, later) = rest.split_at(count);
            self.tell(&format!("{command} {}", now.join(" ")))?;
            rest = later;
        }
        Ok(())
    }

    /// Starts the second kernel and stops it before it looks at what is preserved. Apart from that
    /// kernel itself, all memory is as the first one left it.
    pub(crate) fn kexec(&mut self) -> Result<()> {
        self.gdb.interrupt()?;
        self.gdb.set_breakpoint(self.memory_init)?;
        self.gdb.resume()?;
        self.tell("kexec")?;
        self.gdb.wait_for_stop().context("the second kernel did not come up")?;
        self.gdb.remove_breakpoint(self.memory_init)
    }

    /// Lets the second kernel continue until just before it looks at what LUO handed over. By then
    /// it may have reused pages that are not preserved.
    pub(crate) fn go_on_to_luo(&mut self) -> Result<()> {
        self.gdb.set_breakpoint(self.luo_init)?;
        self.gdb.resume()?;
        self.gdb.wait_for_stop().context("the second kernel did not get as far as LUO")?;
        self.gdb.remove_breakpoint(self.luo_init)
    }

    /// Returns the machine's memory.
    pub(crate) fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// Returns the address of KHO's device tree, which the stopped kernel has in a variable.
    pub(crate) fn kho_device_tree(&mut self) -> Result<PhysAddr> {
        // It is the variable's first field.
        Ok(PhysAddr::new(self.gdb.read_u64(self.kho_in)?))
    }

    /// Lets the second kernel continue, and waits until it is up or the machine ends.
    pub(crate) fn resume(&mut self) -> Result<Second> {
        self.gdb.resume()?;
        Ok(match self.answer()? {
            Some(hello) => {
                ensure!(hello.starts_with("hello 2 "), "the agent said {hello}");
                Second::Up
            }
            None => Second::Ended,
        })
    }

    /// Waits for a message with these words on the console. Returns it without its time.
    pub(crate) fn message(&mut self, words: &str) -> Result<String> {
        let limit = self.deadline.at_most(MESSAGE_TIME);
        loop {
            // When QEMU has ended, nothing more will come.
            let last = self.qemu.has_ended()? || limit.left().is_err();
            let log = self.log()?;
            if let Some(message) = find_message(&log, words, last) {
                return Ok(message);
            }
            ensure!(!last, "the kernel did not say {words:?}; its log:\n{}", last_lines(&log, 30));
            sleep(Duration::from_millis(20));
        }
    }

    /// Returns the last lines on the console, for an error.
    pub(crate) fn log_tail(&self) -> String {
        self.log().map_or_else(|error| error.to_string(), |log| last_lines(&log, 30))
    }

    fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.console)?).into_owned())
    }

    /// Returns the agent's next answer; `None` if the machine has ended.
    fn answer(&mut self) -> Result<Option<String>> {
        loop {
            self.agent.get_ref().set_read_timeout(Some(self.deadline.left()?))?;
            let mut line = String::new();
            match self.agent.read_line(&mut line) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => {
                    bail!("no answer from the agent: {error}\n{}", self.log_tail());
                }
            }
            if let Some((_, answer)) = line.split_once(MARK) {
                return Ok(Some(answer.trim().to_owned()));
            }
        }
    }
}

/// Returns the first message with these words, without its time. The last line of a log counts only
/// if it is whole, or if the log is complete (`last`).
fn find_message(log: &str, words: &str, last: bool) -> Option<String> {
    let mut lines = log.split_inclusive('\n').filter(|line| last || line.ends_with('\n'));
    let line = lines.find(|line| line.contains(words))?;
    let text = line.split_once("] ").map_or(line, |(_, text)| text);
    Some(text.trim().to_owned())
}

/// A QEMU process. Dropping it kills the process.
struct Qemu(Child);

impl Qemu {
    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The machine's memory, to be read and written while the machine is stopped.
pub(crate) struct GuestRam(File);

impl GuestRam {
    pub(crate) fn write(&self, addr: PhysAddr, bytes: &[u8]) -> Result<()> {
        ensure!(
            addr.get() + bytes.len() as u64 <= RAM_SIZE,
            "{addr} is outside the machine's memory"
        );
        Ok(self.0.write_all_at(bytes, addr.get())?)
    }

    /// Returns the number of bytes.
    #[allow(clippy::unused_self)]
    pub(crate) const fn len(&self) -> u64 {
        RAM_SIZE
    }
}

impl ReadMemory for GuestRam {
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let end = addr.get().checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > RAM_SIZE) {
            return Err(ReadError::new(addr, ReadErrorKind::Outside));
        }
        self.0
            .read_exact_at(buf, addr.get())
            .map_err(|_| ReadError::new(addr, ReadErrorKind::Failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_message_is_none() {
        let log = "[    0.1] luo: count: 4\r\n[    0.2] luo: count: 64\r\n[    0.3] panic: 6";
        let find = |words, last| find_message(log, words, last);
        assert_eq!(find("count: 64", false).as_deref(), Some("luo: count: 64"));
        assert_eq!(find("count:", false).as_deref(), Some("luo: count: 4"));
        assert_eq!(find("panic", false), None);
        assert_eq!(find("panic", true).as_deref(), Some("panic: 6"));
        assert_eq!(find("oops", true), None);
    }
}
