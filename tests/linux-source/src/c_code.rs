//! The C code that `kho-linux-c` compiles, in a cache.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

use crate::apt::{Apt, MAX_AGE_TO_DOWNLOAD, choose};
use crate::archive::Archive;
use crate::package::{Candidate, Package};
use crate::report::{Lacking, say};
use crate::{settings, tools};

/// Files that are taken out of the source.
const FILES: [&str; 4] = [
    "COPYING",
    "kernel/liveupdate/kho_block.c",
    "include/linux/kho_block.h",
    "include/linux/kho/abi/block.h",
];

/// Name of a file with the package and its version.
const VERSION: &str = "version";

/// A cache of C code, with a directory for each version, and a link `current` to the one to
/// compile.
///
/// The build script of `kho-linux-c` looks in the same place.
pub struct CCode {
    cache: PathBuf,
    mirror: Option<String>,
}

impl CCode {
    /// Returns the cache that the environment names. `KHO_LINUX_CACHE` is the directory, and
    /// `KHO_LINUX_MIRROR` the only mirror to ask.
    ///
    /// # Errors
    /// Returns an error if the environment names no cache, or one by a relative path.
    pub fn from_env() -> Result<Self> {
        let cache = settings::cache("KHO_LINUX_CACHE", "kho-block/linux")?;
        ensure!(
            cache.is_absolute(),
            "the cache {} must be an absolute path: build scripts run in other directories",
            cache.display()
        );
        Ok(Self { cache, mirror: settings::mirror()? })
    }

    /// Prints the current version if it is of `package`, or if no package is named. Returns whether
    /// it did.
    ///
    /// # Errors
    /// Returns an error if it can't be printed.
    pub fn report(&self, package: Option<Package>) -> Result<bool> {
        let current = self.cache.join("current");
        match version(&current) {
            Some((found, text)) if package.is_none_or(|package| package == found) => {
                say(format!("{text} is in {}", current.display()))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Downloads the newest version of `package`, or of the newest package, and makes it current.
    ///
    /// # Errors
    /// Returns [`Lacking`] if the machine lacks a tool, or lists of packages. Otherwise there is no
    /// such package, or it can't be unpacked.
    pub fn update(&self, package: Option<Package>) -> Result<()> {
        for tool in ["apt-get", "apt-cache", "dpkg-deb", "tar"] {
            if !tools::is_installed(tool) {
                bail!(Lacking(format!("no {tool}: the C code comes from a Debian package")));
            }
        }
        let dir = tempfile::tempdir()?;
        let apt = Apt::new(dir.path().to_owned(), self.mirror.clone())?;
        let candidates = apt.candidates(MAX_AGE_TO_DOWNLOAD)?;
        let candidate = choose(&candidates, package)?;
        let entry = self.entry(candidate);
        if version(&entry).is_none() {
            self.publish(&apt.download(candidate)?, candidate)?;
        }
        self.make_current(&entry)?;
        ensure!(self.report(package)?, "the cache lacks the version that was just stored");
        Ok(())
    }

    /// Returns the directory of a version.
    fn entry(&self, candidate: &Candidate) -> PathBuf {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || ".+~-".contains(letter);
        let name = candidate.version.replace(|letter| !plain(letter), "_");
        self.cache.join(name)
    }

    /// Puts a version into the cache, by one rename.
    fn publish(&self, archive: &Archive, candidate: &Candidate) -> Result<()> {
        let Candidate { package, version: number } = candidate;
        fs::create_dir_all(&self.cache).with_context(|| format!("{}", self.cache.display()))?;
        let dir = tempfile::Builder::new().prefix("unpack.").tempdir_in(&self.cache)?;
        archive.unpack_files(&FILES, dir.path())?;
        fs::write(dir.path().join(VERSION), format!("{package} {number}\n"))?;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let entry = self.entry(candidate);
        if version(&entry).is_none() {
            // An incomplete entry.
            let _ = fs::remove_dir_all(&entry);
        }
        match fs::rename(dir.path(), &entry) {
            // Another run may have been faster.
            Err(_) if version(&entry).is_some() => Ok(()),
            other => other.with_context(|| format!("{}", entry.display())),
        }
    }

    fn make_current(&self, entry: &Path) -> Result<()> {
        let name = entry.file_name().context("an entry has a name")?;
        let current = self.cache.join("current");
        let next = self.cache.join(format!("current.{}", std::process::id()));
        let _ = fs::remove_file(&next);
        symlink(name, &next)
            .and_then(|()| fs::rename(&next, &current))
            .with_context(|| format!("{}", current.display()))?;
        // Cargo compares times. A version that was fetched before the last build has to look newer.
        let version = File::options().append(true).open(current.join(VERSION))?;
        Ok(version.set_modified(SystemTime::now())?)
    }
}

/// Returns package and version of a directory, if no file is missing.
fn version(dir: &Path) -> Option<(Package, String)> {
    let complete = FILES.iter().all(|file| dir.join(file).is_file());
    let text = fs::read_to_string(dir.join(VERSION)).ok().filter(|_| complete)?;
    let text = text.trim_end();
    let package = text.split(' ').next()?.parse().ok()?;
    Some((package, text.to_owned()))
}
