//! The source in a package: a `.tar.xz` in a `.deb`.
//!
//! A `.deb` is an `ar` archive that may hold a `.tar.xz`, which `dpkg-deb` unpacks by itself. So
//! the source's archive is wrapped in a package without control data, and no xz is needed.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use crate::command::last_lines;
use crate::package::Package;

/// A downloaded package of kernel sources.
pub struct Archive {
    deb: PathBuf,
    package: Package,
}

impl Archive {
    /// Refers to the downloaded file of a package.
    #[must_use]
    pub fn new(deb: PathBuf, package: Package) -> Self {
        Self { deb, package }
    }

    /// Returns the path of the package's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.deb
    }

    /// Unpacks some files of the source. Their paths are relative to its top directory.
    ///
    /// # Errors
    /// Returns an error if the archive is damaged or has no such file, or the files can't be
    /// written.
    pub fn unpack_files(&self, files: &[&str], to: &Path) -> Result<()> {
        let mut tar = tar(to);
        // tar ends at the last of the files.
        tar.args(["--wildcards", "--no-wildcards-match-slash", "--occurrence=1"]);
        tar.args(files.iter().map(|file| format!("*/{file}")));
        self.unpack(&mut tar)
    }

    /// Unpacks the source, except files that match one of these tar patterns.
    ///
    /// # Errors
    /// Returns an error if the archive is damaged, or the files can't be written.
    pub fn unpack_all_but(&self, patterns: &[String], to: &Path) -> Result<()> {
        let mut tar = tar(to);
        tar.arg("--wildcards");
        tar.args(patterns.iter().map(|pattern| format!("--exclude={pattern}")));
        self.unpack(&mut tar)
    }

    fn unpack(&self, tar: &mut Command) -> Result<()> {
        let dir = self.deb.parent().context("a package in no directory")?;
        let mut wrapped = NamedTempFile::new_in(dir)?;
        self.wrap(wrapped.as_file_mut())?;
        extract(wrapped.path(), tar)
            .with_context(|| format!("the source in {} can't be unpacked", self.package))
    }

    /// Writes a package that has the source's own archive for its content.
    fn wrap(&self, file: &mut File) -> Result<()> {
        file.write_all(b"!<arch>\n")?;
        write_member(file, "debian-binary", b"2.0\n".len() as u64)?;
        file.write_all(b"2.0\n")?;
        write_member(file, "control.tar", 0)?;
        // The size is known when it has been written.
        let header = file.stream_position()?;
        write_member(file, "data.tar.xz", 0)?;
        let start = file.stream_position()?;
        let mut tar = Command::new("tar");
        tar.args(["-x", "--to-stdout"]).arg(format!("./usr/src/{}.tar.xz", self.package));
        extract(&self.deb, tar.stdout(file.try_clone()?))
            .with_context(|| format!("{} can't be unpacked", self.package))?;
        let size = file.metadata()?.len() - start;
        file.seek(SeekFrom::Start(header))?;
        Ok(write_member(file, "data.tar.xz", size)?)
    }
}

/// Writes the header of a file in an `ar` archive.
fn write_member(file: &mut File, name: &str, size: u64) -> io::Result<()> {
    writeln!(file, "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`", 0, 0, 0, 100_644)
}

/// A tar that unpacks, without the source's top directory.
fn tar(to: &Path) -> Command {
    let mut tar = Command::new("tar");
    tar.args(["-x", "--strip-components=1", "-C"]).arg(to);
    tar
}

/// Runs a tar that reads the content of a package.
///
/// It succeeds if tar does. tar may be done before the package ends, which is an error to dpkg-deb,
/// and tar fails if the package ends too soon. The package's hash was checked by apt.
fn extract(deb: &Path, tar: &mut Command) -> Result<()> {
    let mut dpkg = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("can't run dpkg-deb")?;
    let content = dpkg.stdout.take().context("dpkg-deb's output is not a pipe")?;
    let reader = tar.stdin(content).stderr(Stdio::piped()).env("LC_ALL", "C").spawn();
    // The command holds the reading end of the pipe, and dpkg-deb would wait for it to be read.
    tar.stdin(Stdio::null());
    let unpacked = reader.context("can't run tar").and_then(|tar| Ok(tar.wait_with_output()?));
    let read = dpkg.wait_with_output()?;
    let unpacked = unpacked?;
    if unpacked.status.success() {
        return Ok(());
    }
    let said = [read.stderr, unpacked.stderr].concat();
    bail!("{}", last_lines(&String::from_utf8_lossy(&said), 15))
}
