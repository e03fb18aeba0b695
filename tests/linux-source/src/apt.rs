//! Packages from Debian's archive. apt runs with a state of its own, so the machine's stays as it
//! is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::archive::Archive;
use crate::command::{output, run};
use crate::package::{Candidate, Package};
use crate::report::{Lacking, say};

/// Suites with newer kernels than the machine's own suite may have.
const SUITES: [&str; 2] = ["sid", "trixie-backports"];

/// Suites by which a mirror of the archive is recognised. Security updates and other vendors have
/// other suites.
const ARCHIVE: [&str; 8] =
    ["bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable"];

/// The keys that the archive is signed with, as Debian installs them.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// Largest age of package lists from which a package is chosen.
pub const MAX_AGE_TO_CHOOSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Largest age of package lists for a download. Older ones may name a version that is gone.
pub const MAX_AGE_TO_DOWNLOAD: Duration = Duration::from_secs(5 * 60);

/// An apt with a state of its own.
pub struct Apt {
    dir: PathBuf,
    mirror: Option<String>,
}

impl Apt {
    /// Makes an apt with its state in `dir`. It uses `mirror`, or the mirrors of the machine's apt
    /// if that is `None`.
    ///
    /// # Errors
    /// Returns an error if the directory can't be made.
    pub fn new(dir: PathBuf, mirror: Option<String>) -> Result<Self> {
        make_state(&dir).with_context(|| format!("{}", dir.display()))?;
        Ok(Self { dir, mirror })
    }

    /// Returns the packages of kernel sources, oldest kernel first, from lists that are no older
    /// than `max_age`.
    ///
    /// # Errors
    /// Returns [`Lacking`] if no mirror serves its lists. Otherwise apt failed.
    pub fn candidates(&self, max_age: Duration) -> Result<Vec<Candidate>> {
        let sources = self.sources();
        let age = sources.metadata().and_then(|meta| meta.modified()).ok();
        if age.is_none_or(|read| read.elapsed().is_ok_and(|age| age > max_age)) {
            self.read_lists()?;
        }
        let found = output(self.command("apt-cache", &sources).args([
            "search",
            "--names-only",
            Package::PATTERN,
        ]))?;
        let names: Vec<&str> = found
            .lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|name| name.parse::<Package>().is_ok())
            .collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let shown = output(
            self.command("apt-cache", &sources).args(["show", "--no-all-versions"]).args(names),
        )?;
        Ok(Candidate::parse(&shown))
    }

    /// Reads the lists of packages again.
    fn read_lists(&self) -> Result<()> {
        let mirrors = mirrors(self.mirror.as_deref())?;
        say("reading the lists of packages")?;
        let mut failures = Vec::new();
        for mirror in &mirrors {
            if self.read_lists_of(mirror, &mut failures)? {
                return Ok(());
            }
        }
        bail!(Lacking(format!("no mirror serves {}: {}", SUITES.join(" or "), failures.join("; "))))
    }

    /// Reads the lists of one mirror, and returns whether it has any of the suites. They are read
    /// one at a time, since a mirror may have but one.
    fn read_lists_of(&self, mirror: &str, failures: &mut Vec<String>) -> Result<bool> {
        let next = self.dir.join("state/sources.next.list");
        let keyring = KEYRINGS.iter().find(|path| Path::new(path).exists());
        let signed = keyring.map(|path| format!("[signed-by={path}] ")).unwrap_or_default();
        let mut served = String::new();
        for suite in SUITES {
            let with = format!("{served}deb {signed}{mirror} {suite} main\n");
            fs::write(&next, &with)?;
            match run(self.command("apt-get", &next).args(["update", "--error-on=any"])) {
                Ok(()) => served = with,
                Err(error) => failures.push(why(&format!("{error:#}"))),
            }
        }
        if served.is_empty() {
            return Ok(false);
        }
        fs::write(&next, served)?;
        fs::rename(&next, self.sources())?;
        Ok(true)
    }

    /// Downloads a package that the lists have.
    ///
    /// # Errors
    /// Returns an error if it is gone, or can't be stored.
    pub fn download(&self, candidate: &Candidate) -> Result<Archive> {
        let Candidate { package, version } = candidate;
        // Remove the result of an earlier download, which may be incomplete.
        let to = self.dir.join("download");
        let _ = fs::remove_dir_all(&to);
        fs::create_dir_all(&to)?;
        say(format!("fetching {package} {version}"))?;
        let mut command = self.command("apt-get", &self.sources());
        run(command.arg("download").arg(format!("{package}={version}")).current_dir(&to))
            .with_context(|| format!("{package} {version} is no longer available"))?;
        let deb = fs::read_dir(&to)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        let deb = deb.with_context(|| format!("apt did not download {package}"))?;
        Ok(Archive::new(deb, *package))
    }

    fn sources(&self) -> PathBuf {
        self.dir.join("state/sources.list")
    }

    fn command(&self, program: &str, sources: &Path) -> Command {
        let mut command = apt(program, &self.dir);
        command.arg("-o").arg(format!("Dir::Etc::sourcelist={}", sources.display()));
        for option in [
            "Dir::Etc::sourceparts=-",
            "Dir::Etc::preferences=/dev/null",
            "Dir::Etc::preferencesparts=/dev/null",
            "APT::Sandbox::User=root",
            "Acquire::Languages=none",
            "Acquire::Retries=2",
        ] {
            command.args(["-o", option]);
        }
        command
    }
}

/// Makes the directories of apt's state, in which nothing is installed.
fn make_state(dir: &Path) -> io::Result<()> {
    for below in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(dir.join(below))?;
    }
    fs::write(dir.join("state/status"), "")
}

/// Returns a command of apt's that has its state in `dir`.
fn apt(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-q");
    for option in [
        format!("Dir::State={}", dir.join("state").display()),
        format!("Dir::State::status={}", dir.join("state/status").display()),
        format!("Dir::Cache={}", dir.join("cache").display()),
    ] {
        command.arg("-o").arg(option);
    }
    command.env("LC_ALL", "C");
    command
}

/// Returns the mirrors to ask: the one that is named, or those that the machine's apt is set up
/// with.
///
/// # Errors
/// Returns [`Lacking`] if there is none.
pub fn mirrors(named: Option<&str>) -> Result<Vec<String>> {
    if let Some(mirror) = named {
        return Ok(vec![mirror.to_owned()]);
    }
    let mirrors = machine_mirrors().map_err(|error| Lacking(format!("{error:#}")))?;
    if mirrors.is_empty() {
        bail!(Lacking(
            "apt is set up with no mirror of Debian's archive; KHO_LINUX_MIRROR can name one"
                .to_owned()
        ));
    }
    Ok(mirrors)
}

/// Asks apt with empty lists, as a fresh machine has them, so that the answer does not depend on
/// lists that were read before.
fn machine_mirrors() -> Result<Vec<String>> {
    let empty = tempfile::tempdir()?;
    make_state(empty.path())?;
    let uris = output(apt("apt-get", empty.path()).args(["update", "--print-uris"]))
        .map_err(|error| anyhow!("apt's own configuration can't be read: {error:#}"))?;
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(mirrors_in(&uris, codename.unwrap_or_default()))
}

/// Returns the mirrors in a list of what an update would download, each once.
fn mirrors_in(uris: &str, codename: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in uris.lines() {
        let uri = line.strip_prefix('\'').and_then(|line| line.split_once('\''));
        let path = uri.and_then(|(uri, _)| uri.strip_suffix("/InRelease"));
        let Some((mirror, suite)) = path.and_then(|path| path.rsplit_once("/dists/")) else {
            continue;
        };
        let known = ARCHIVE.contains(&suite) || suite == codename;
        if known && !found.iter().any(|other| other == mirror) {
            found.push(mirror.to_owned());
        }
    }
    found
}

/// Returns apt's first error or warning.
fn why(error: &str) -> String {
    let complaint = error.lines().find(|line| line.starts_with("E:") || line.starts_with("W:"));
    complaint.or_else(|| error.lines().last()).unwrap_or_default().to_owned()
}

/// Returns the candidate for a package, or the newest of all.
///
/// # Errors
/// Returns an error if there is none. That is not [`Lacking`]: tests must not be skipped because
/// Debian has moved on.
pub fn choose(candidates: &[Candidate], package: Option<Package>) -> Result<&Candidate> {
    let suites = SUITES.join(" or ");
    ensure!(!candidates.is_empty(), "there is no package {} or later in {suites}", Package::OLDEST);
    match package {
        None => candidates.last().context("there is no package"),
        Some(package) => {
            candidates.iter().find(|found| found.package == package).with_context(|| {
                let names: Vec<String> =
                    candidates.iter().map(|found| found.package.to_string()).collect();
                format!("there is no {package} in {suites}, which have {}", names.join(", "))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_of_the_archive() {
        let uris = "\
'http://mirror.example/debian/dists/bookworm/InRelease' mirror_InRelease 0 \n\
'http://mirror.example/debian/dists/bookworm-updates/InRelease' mirror_InRelease 0 \n\
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' mirror_Packages 0 \n\
'http://other.example/debian-security/dists/bookworm-security/InRelease' other_InRelease 0 \n\
'https://vendor.example/repo/dists/nodistro/InRelease' vendor_InRelease 0 \n\
'file:/srv/mirror/dists/sid/InRelease' srv_InRelease 0 \n\
'http://next.example/debian/dists/next/InRelease' next_InRelease 0 \n\
not a line of apt's\n";
        assert_eq!(mirrors_in(uris, ""), ["http://mirror.example/debian", "file:/srv/mirror"]);
        assert_eq!(mirrors_in(uris, "next").len(), 3);
        assert!(mirrors_in("", "bookworm").is_empty());
    }

    #[test]
    fn a_package_that_is_gone_is_a_failure() {
        let shown = "Package: linux-source-7.2\nVersion: 7.2.13-1\n\n\
                     Package: linux-source-7.10\nVersion: 7.10.2-1\n";
        let all = Candidate::parse(shown);
        assert_eq!(choose(&all, None).unwrap().version, "7.10.2-1");
        let package = |name: &str| Some(name.parse().unwrap());
        assert_eq!(choose(&all, package("linux-source-7.2")).unwrap().version, "7.2.13-1");
        let gone = choose(&all, package("linux-source-7.3")).unwrap_err();
        assert!(gone.downcast_ref::<Lacking>().is_none());
        assert_eq!(
            gone.to_string(),
            "there is no linux-source-7.3 in sid or trixie-backports, which have \
             linux-source-7.2, linux-source-7.10"
        );
        assert!(choose(&[], None).unwrap_err().downcast_ref::<Lacking>().is_none());
    }
}
