//! The kernel under test, from a cache of kernels.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use kho_linux_source::{
    Apt, Candidate, Lacking, MAX_AGE_TO_CHOOSE, MAX_AGE_TO_DOWNLOAD, Package, choose, say,
};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use xxhash_rust::const_xxh3::xxh3_64;

use super::build::{CONFIG, build, check_room};
use super::settings::Settings;
use super::tools::Missing;

/// A built kernel.
pub(crate) struct Kernel {
    /// The kernel image that QEMU boots.
    pub(crate) image: PathBuf,
    /// Package and version, for the user.
    pub(crate) name: String,
    symbols: String,
}

impl Kernel {
    /// Returns the kernel that the settings ask for, from the cache or newly built.
    ///
    /// If they name a package, any cached version of it will do. Otherwise it is the newest version
    /// of the newest package, by lists that are at most a day old. If no lists can be read, it is
    /// the newest in the cache.
    ///
    /// # Errors
    /// Returns [`Lacking`] if the machine can't build a kernel. Otherwise there is no such package,
    /// or the kernel does not build.
    pub(crate) fn get(settings: &Settings) -> Result<Self> {
        let cache = Cache::new(&settings.cache);
        if let Some(kernel) = cache.named(settings.package)? {
            return Ok(kernel);
        }
        fs::create_dir_all(cache.dir).with_context(|| format!("{}", cache.dir.display()))?;
        // Of two runs at once, the second finds what the first has built.
        let _lock = lock(&cache.dir.join("lock"))?;
        if let Some(kernel) = cache.named(settings.package)? {
            return Ok(kernel);
        }
        if cache.newest(settings.package)?.is_none() {
            // A kernel will have to be built. Look for room before lists of packages take some.
            check_room(cache.dir)?;
        }
        let apt = Apt::new(cache.dir.join("apt"), settings.mirror.clone())?;
        let candidates = match apt.candidates(MAX_AGE_TO_CHOOSE) {
            Ok(candidates) => candidates,
            Err(error) if settings.package.is_none() && error.is::<Lacking>() => {
                let Some(kernel) = cache.newest(None)? else { return Err(error) };
                say(format!("{error:#}; using the newest kernel in the cache"))?;
                return Ok(kernel);
            }
            Err(error) => return Err(error),
        };
        let candidate = choose(&candidates, settings.package)?;
        if let Some(kernel) = cache.find(candidate)? {
            return Ok(kernel);
        }
        if let Some(message) = Missing::find(true).message() {
            return Err(Lacking(message).into());
        }
        check_room(cache.dir)?;
        let candidates = apt.candidates(MAX_AGE_TO_DOWNLOAD)?;
        let candidate = choose(&candidates, settings.package)?;
        let archive = apt.download(candidate)?;
        let work = cache.dir.join("build");
        let ready = build(&archive, &work)?;
        // A rename, so that nobody finds half an entry.
        fs::rename(ready, cache.path(candidate))?;
        fs::remove_dir_all(&work)?;
        let _ = fs::remove_file(archive.path());
        cache.find(candidate)?.context("the kernel that was built is not in the cache")
    }

    /// Returns the newest kernel in the cache, or the newest of the package that the settings name.
    pub(crate) fn cached(settings: &Settings) -> Result<Option<Self>> {
        Cache::new(&settings.cache).newest(settings.package)
    }

    /// Returns the virtual address of a symbol.
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

/// Takes the lock on builds. Says so if another run has it and this one has to wait.
fn lock(path: &Path) -> Result<File> {
    let lock = File::create(path).with_context(|| format!("{}", path.display()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            say("waiting for another run, which looks for a kernel or builds one")?;
            flock(&lock, FlockOperation::LockExclusive)?;
        }
        other => other?,
    }
    Ok(lock)
}

/// A cache of kernels with our configuration. Each has a directory, whose name is made of the
/// package, its version and a hash of the configuration.
struct Cache<'a> {
    dir: &'a Path,
    config: String,
}

impl<'a> Cache<'a> {
    fn new(dir: &'a Path) -> Self {
        Self { dir, config: format!("{:016x}", xxh3_64(CONFIG.as_bytes())) }
    }

    fn path(&self, candidate: &Candidate) -> PathBuf {
        let Candidate { package, version } = candidate;
        self.dir.join(format!("{package}_{version}_{}", self.config))
    }

    /// Returns the kernel of this version of a package.
    fn find(&self, candidate: &Candidate) -> Result<Option<Kernel>> {
        let dir = self.path(candidate);
        if !dir.exists() {
            return Ok(None);
        }
        let Candidate { package, version } = candidate;
        let symbols = dir.join("System.map");
        let symbols = fs::read_to_string(&symbols)
            .with_context(|| format!("can't read {}; remove its directory", symbols.display()))?;
        Ok(Some(Kernel {
            image: dir.join("bzImage"),
            name: format!("{package} {version}"),
            symbols,
        }))
    }

    /// Returns the newest kernel of a package, if one is named.
    fn named(&self, package: Option<Package>) -> Result<Option<Kernel>> {
        package.map_or(Ok(None), |package| self.newest(Some(package)))
    }

    /// Returns the kernel that was built last: of this package, or of the newest if there is none.
    fn newest(&self, package: Option<Package>) -> Result<Option<Kernel>> {
        let Ok(entries) = fs::read_dir(self.dir) else { return Ok(None) };
        let found = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let candidate = self.candidate(entry.file_name().to_str()?)?;
            let built = entry.metadata().and_then(|meta| meta.modified());
            Some((candidate.package, built.unwrap_or(SystemTime::UNIX_EPOCH), candidate))
        });
        let wanted = found.filter(|(found, ..)| package.is_none_or(|package| *found == package));
        let newest = wanted.max_by_key(|(package, built, _)| (*package, *built));
        newest.map_or(Ok(None), |(.., candidate)| self.find(&candidate))
    }

    /// Returns what a directory with this name holds; `None` if it is no kernel with our
    /// configuration.
    fn candidate(&self, name: &str) -> Option<Candidate> {
        let mut parts = name.splitn(3, '_');
        let (package, version, config) = (parts.next()?, parts.next()?, parts.next()?);
        let package = package.parse().ok()?;
        (config == self.config).then(|| Candidate { package, version: version.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path());
        assert!(cache.newest(None).unwrap().is_none());
        let add = |package: &str, version: &str| {
            let package = package.parse().unwrap();
            let path = cache.path(&Candidate { package, version: version.to_owned() });
            fs::create_dir(&path).unwrap();
            fs::write(path.join("System.map"), "ffffffff81000000 T _text\n").unwrap();
        };
        add("linux-source-7.10", "7.10.1-1");
        add("linux-source-7.9", "7.9.3-1");
        // Another configuration, half a build, a name without version.
        for name in ["linux-source-8.0_8.0.1-1_0123456789abcdef", "build", "linux-source-8.0"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let name = |package: Option<&str>| {
            let package = package.map(|name| name.parse().unwrap());
            cache.newest(package).unwrap().map(|kernel| kernel.name)
        };
        assert_eq!(name(None).unwrap(), "linux-source-7.10 7.10.1-1");
        assert_eq!(name(Some("linux-source-7.9")).unwrap(), "linux-source-7.9 7.9.3-1");
        assert_eq!(name(Some("linux-source-8.0")), None);
        let kernel = cache.newest(None).unwrap().unwrap();
        assert_eq!(kernel.symbol("_text").unwrap(), 0xffff_ffff_8100_0000);
        assert!(kernel.symbol("text").is_err());
    }
}
