//! The part of gdb's remote protocol that stops a machine at a function.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail, ensure};

use super::deadline::Deadline;

/// A connection to QEMU's gdb server. Connecting stops the machine.
pub(crate) struct Gdb {
    stream: UnixStream,
    deadline: Deadline,
}

impl Gdb {
    pub(crate) fn new(stream: UnixStream, deadline: Deadline) -> Self {
        Self { stream, deadline }
    }

    /// Stops the machine.
    pub(crate) fn interrupt(&mut self) -> Result<()> {
        self.stream.write_all(&[3])?;
        self.receive().context("the machine did not stop")?;
        Ok(())
    }

    /// Makes the machine stop before it executes the instruction at an address.
    pub(crate) fn set_breakpoint(&mut self, address: u64) -> Result<()> {
        self.ask_ok(&format!("Z0,{address:x},1"))
    }

    /// Removes the breakpoint at an address.
    pub(crate) fn remove_breakpoint(&mut self, address: u64) -> Result<()> {
        self.ask_ok(&format!("z0,{address:x},1"))
    }

    /// Waits until the machine stops at a breakpoint.
    pub(crate) fn wait_for_stop(&mut self) -> Result<()> {
        let stop = self.receive().context("no breakpoint was reached")?;
        ensure!(stop.starts_with("T05") || stop.starts_with("S05"), "stopped with {stop}");
        Ok(())
    }

    /// Lets the machine continue.
    pub(crate) fn resume(&mut self) -> Result<()> {
        self.send("c")
    }

    /// Reads a number at a virtual address of the stopped machine.
    pub(crate) fn read_u64(&mut self, address: u64) -> Result<u64> {
        self.send(&format!("m{address:x},8"))?;
        let hex = self.receive()?;
        ensure!(hex.len() == 16, "can't read {address:#x}: {hex}");
        Ok(u64::from_str_radix(&hex, 16)?.swap_bytes())
    }

    fn ask_ok(&mut self, packet: &str) -> Result<()> {
        self.send(packet)?;
        match self.receive()?.as_str() {
            "OK" => Ok(()),
            other => bail!("{packet} was answered with {other:?}"),
        }
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.stream, "${packet}#{sum:02x}")?;
        loop {
            match self.byte()? {
                b'+' => return Ok(()),
                // QEMU reports that the machine stopped on connecting, without being asked.
                b'$' => drop(self.rest_of_packet()?),
                other => bail!("{packet} was answered with byte {other:#x}"),
            }
        }
    }

    fn receive(&mut self) -> Result<String> {
        while self.byte()? != b'$' {}
        self.rest_of_packet()
    }

    fn rest_of_packet(&mut self) -> Result<String> {
        let mut packet = String::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => packet.push(byte.into()),
            }
        }
        let _checksum = (self.byte()?, self.byte()?);
        self.stream.write_all(b"+")?;
        Ok(packet)
    }

    fn byte(&mut self) -> Result<u8> {
        self.stream.set_read_timeout(Some(self.deadline.left()?))?;
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}
