//! Packages from Debian's archive, by an apt state of our own: the machine's stays as it is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::command::{output, run};
use super::package::{Candidate, Package};
use crate::{Lacking, say};

/// Suites that may have packages that the machine's own does not.
const SUITES: [&str; 2] = ["sid", "trixie-backports"];

/// Suites of mirrors of the archive, unlike those of security updates and of other vendors.
const ARCHIVE: [&str; 8] =
    ["bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable"];

/// Where Debian keeps the keys that the archive is signed with.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// How old lists of packages may be to choose one.
pub(crate) const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How old they may be to download it: older ones may name a version that is gone.
pub(crate) const SOME_MINUTES: Duration = Duration::from_secs(5 * 60);

/// An apt of our own.
pub(crate) struct Apt {
    dir: PathBuf,
    mirror: Option<String>,
}

impl Apt {
    /// The one with its state in `dir`. It asks `mirror`, or those of the machine's own apt.
    pub(crate) fn new(dir: PathBuf, mirror: Option<String>) -> Result<Self> {
        make_state(&dir).with_context(|| format!("{}", dir.display()))?;
        Ok(Self { dir, mirror })
    }

    /// Returns the packages of kernel sources that there are, oldest kernel first, by lists that are
    /// no older than this.
    ///
    /// # Errors
    /// [`Lacking`] if no mirror gives its lists.
    pub(crate) fn candidates(&self, max_age: Duration) -> Result<Vec<Candidate>> {
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

    /// Reads the lists of packages anew.
    fn read_lists(&self) -> Result<()> {
        let mirrors = match &self.mirror {
            Some(mirror) => vec![mirror.clone()],
            None => machine_mirrors().map_err(|error| Lacking(format!("{error:#}")))?,
        };
        if mirrors.is_empty() {
            bail!(Lacking(
                "apt is set up with no mirror of Debian's archive; KHO_LINUX_MIRROR can name one"
                    .to_owned()
            ));
        }
        say("reading the lists of packages")?;
        let mut failures = Vec::new();
        for mirror in &mirrors {
            if self.read_lists_of(mirror, &mut failures)? {
                return Ok(());
            }
        }
        bail!(Lacking(format!(
            "no mirror gives the lists of {}: {}",
            SUITES.join(" or "),
            failures.join("; ")
        )))
    }

    /// Reads the lists of one mirror; says whether it has any of the suites. One at a time: a mirror
    /// may have but one of them.
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

    /// Downloads a package, which the lists have, and returns its file.
    pub(crate) fn download(&self, candidate: &Candidate) -> Result<PathBuf> {
        let Candidate { package, version } = candidate;
        // What is left of another download, which may be half of one.
        let to = self.dir.join("download");
        let _ = fs::remove_dir_all(&to);
        fs::create_dir_all(&to)?;
        say(format!("fetching {package} {version}"))?;
        let mut command = self.command("apt-get", &self.sources());
        run(command.arg("download").arg(format!("{package}={version}")).current_dir(&to))
            .with_context(|| format!("{package} {version} can't be had any more"))?;
        let deb = fs::read_dir(&to)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        deb.with_context(|| format!("apt did not download {package}"))
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

/// Makes what apt keeps its state in: nothing is installed.
fn make_state(dir: &Path) -> io::Result<()> {
    for below in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(dir.join(below))?;
    }
    fs::write(dir.join("state/status"), "")
}

/// A command of apt's with its state in `dir`.
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

/// The mirrors of the archive that the machine's apt is set up with.
///
/// It is asked with empty lists, as a fresh machine has them; what it knows only from lists that it
/// read before would not be known there.
fn machine_mirrors() -> Result<Vec<String>> {
    let empty = tempfile::tempdir()?;
    make_state(empty.path())?;
    let uris = output(apt("apt-get", empty.path()).args(["update", "--print-uris"]))
        .map_err(|error| anyhow!("apt's own configuration can't be read: {error:#}"))?;
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(mirrors_in(&uris, codename.unwrap_or_default()))
}

/// The mirrors in a list of what an update would download, each once.
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

/// The first complaint of apt's.
fn why(error: &str) -> String {
    let complaint = error.lines().find(|line| line.starts_with("E:") || line.starts_with("W:"));
    complaint.or_else(|| error.lines().last()).unwrap_or_default().to_owned()
}

/// The candidate for a package, or the newest of all. That there is none is a failure: the test would
/// be left out in silence.
pub(crate) fn choose(candidates: &[Candidate], package: Option<Package>) -> Result<&Candidate> {
    let suites = SUITES.join(" or ");
    ensure!(!candidates.is_empty(), "there is no package {} or later in {suites}", Package::OLDEST);
    match package {
        None => candidates.last().context("nothing"),
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
