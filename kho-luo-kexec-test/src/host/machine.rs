//! A machine in QEMU: one kernel, then kexec to the next.

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
use kho_luo_kexec_test::{KERNEL_ARGS, MARK};
use tempfile::TempDir;

use super::deadline::Deadline;
use super::gdb::Gdb;
use super::kernel::Kernel;

/// Memory of the machine. All of it lies below QEMU's hole for devices, so an address is an offset
/// in the file that holds it.
const RAM_SIZE: u64 = 384 << 20;

/// Name of the program.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// A running machine. Dropping it ends QEMU.
pub(crate) struct Machine {
    qemu: Child,
    agent: BufReader<UnixStream>,
    gdb: Gdb,
    ram: GuestRam,
    console: PathBuf,
    deadline: Deadline,
    init_function: u64,
    kho_in: u64,
    _dir: TempDir,
}

/// Where the second kernel went after it was let run on.
pub(crate) enum Second {
    /// Its agent is there.
    Up,
    /// The machine ended, as it does after a panic.
    Ended,
}

impl Machine {
    /// Starts the machine with the first kernel and waits for its agent.
    pub(crate) fn boot(kernel: &Kernel, initrd: &Path, time: Duration) -> Result<Self> {
        let deadline = Deadline::after(time);
        let dir = tempfile::Builder::new().prefix("kho-").tempdir()?;
        let (ram_path, console) = (dir.path().join("ram"), dir.path().join("console"));
        let (agent, gdb) = (dir.path().join("agent"), dir.path().join("gdb"));
        let ram = File::options().read(true).write(true).create_new(true).open(&ram_path)?;
        ram.set_len(RAM_SIZE)?;

        // Should this program be killed, the kernel ends QEMU.
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", QEMU]);
        // Stopped until the debugger is connected, or that would stop it at some later moment.
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
        let mut guard = KillOnDrop(Some(qemu));

        let connect = |path: &Path| loop {
            match UnixStream::connect(path) {
                Ok(stream) => break Ok(stream),
                Err(_)
                    if deadline.left().is_ok()
                        && dir.path().join("errors").metadata()?.len() == 0 =>
                {
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
            qemu: guard.0.take().expect("still there"),
            agent,
            gdb,
            ram: GuestRam(ram),
            console,
            deadline,
            init_function: kernel.symbol("liveupdate_early_init")?,
            kho_in: kernel.symbol("kho_in")?,
            _dir: dir,
        };
        let hello = machine.answer()?.context("the first kernel did not come up")?;
        ensure!(hello.starts_with("hello 1 "), "the agent said {hello}");
        Ok(machine)
    }

    /// Has the agent do something. The answer is its own, or its error.
    pub(crate) fn ask(&mut self, command: &str) -> Result<Result<String, String>> {
        writeln!(self.agent.get_mut(), "{command}")?;
        let answer = self
            .answer()?
            .with_context(|| format!("the machine ended at the command {command}"))?;
        if let Some(text) = answer.strip_prefix("ok") {
            return Ok(Ok(text.trim().to_owned()));
        }
        match answer.strip_prefix("error ") {
            Some(text) => Ok(Err(text.to_owned())),
            None => bail!("the agent said {answer}"),
        }
    }

    /// The same for what has to go well.
    pub(crate) fn tell(&mut self, command: &str) -> Result<String> {
        self.ask(command)?.map_err(|error| anyhow!("{command}: {error}"))
    }

    /// Starts the second kernel and stops it just before it looks at what was handed over.
    pub(crate) fn kexec(&mut self) -> Result<()> {
        self.gdb.interrupt()?;
        self.gdb.set_breakpoint(self.init_function)?;
        self.gdb.resume()?;
        self.tell("kexec")?;
        self.gdb.wait_for_stop().context("the second kernel did not come up")?;
        self.gdb.remove_breakpoint(self.init_function)
    }

    /// Memory of the machine.
    pub(crate) fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// Where KHO's device tree is, as the stopped kernel says.
    pub(crate) fn kho_device_tree(&mut self) -> Result<PhysAddr> {
        // The first field of the kernel's variable.
        Ok(PhysAddr::new(self.gdb.read_u64(self.kho_in)?))
    }

    /// Lets the second kernel go on.
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

    /// What the kernels have logged.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.console)?).into_owned())
    }

    /// The next line of the agent; none when the machine has ended.
    fn answer(&mut self) -> Result<Option<String>> {
        loop {
            self.agent.get_ref().set_read_timeout(Some(self.deadline.left()?))?;
            let mut line = String::new();
            match self.agent.read_line(&mut line) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => {
                    let log = self.log()?;
                    let from = log.lines().count().saturating_sub(12);
                    let last: Vec<&str> = log.lines().skip(from).collect();
                    return Err(anyhow!("no answer from the agent: {error}\n{}", last.join("\n")));
                }
            }
            if let Some((_, answer)) = line.split_once(MARK) {
                return Ok(Some(answer.trim().to_owned()));
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

struct KillOnDrop(Option<Child>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The machine's memory, read and written while it is stopped.
pub(crate) struct GuestRam(File);

impl GuestRam {
    pub(crate) fn write(&self, addr: PhysAddr, bytes: &[u8]) -> Result<()> {
        ensure!(
            addr.get() + bytes.len() as u64 <= RAM_SIZE,
            "{addr} is outside the machine's memory"
        );
        Ok(self.0.write_all_at(bytes, addr.get())?)
    }

    /// How many bytes there are.
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
