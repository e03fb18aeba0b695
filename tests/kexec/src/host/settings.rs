//! What the environment asks for. It is checked before anything else is done.

use std::env::{self, VarError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::package::Package;

/// What the environment asks for.
pub(crate) struct Settings {
    /// Another package than the newest: `KHO_KERNEL_PACKAGE`.
    pub(crate) package: Option<Package>,
    /// Where kernels are kept: `KHO_KERNEL_CACHE`.
    pub(crate) cache: PathBuf,
    /// Another mirror than those of the machine's apt: `KHO_LINUX_MIRROR`.
    pub(crate) mirror: Option<String>,
}

/// Whether being skipped is a failure: `KHO_REQUIRE_KEXEC`.
pub(crate) fn required() -> Result<bool> {
    Ok(match variable("KHO_REQUIRE_KEXEC")?.as_deref() {
        None | Some("0") => false,
        Some("1") => true,
        Some(other) => bail!("KHO_REQUIRE_KEXEC is {other:?}, and neither 0 nor 1"),
    })
}

impl Settings {
    pub(crate) fn read() -> Result<Self> {
        let package = variable("KHO_KERNEL_PACKAGE")?
            .map(|name| name.parse().context("KHO_KERNEL_PACKAGE"))
            .transpose()?;
        let cache = match variable("KHO_KERNEL_CACHE")? {
            Some(dir) => PathBuf::from(dir),
            None => base()?.join("kho-luo-kexec-test"),
        };
        let cache = std::path::absolute(cache).context("the cache's path")?;
        check_cache(&cache)?;
        Ok(Self { package, cache, mirror: variable("KHO_LINUX_MIRROR")? })
    }
}

/// A variable that is set, and not to nothing.
fn variable(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(value)) => bail!("{name} is not UTF-8: {value:?}"),
    }
}

/// Where programs keep what can be made again.
fn base() -> Result<PathBuf> {
    Ok(match (variable("XDG_CACHE_HOME")?, variable("HOME")?) {
        (Some(dir), _) => dir.into(),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => bail!("neither KHO_KERNEL_CACHE nor XDG_CACHE_HOME nor HOME is set"),
    })
}

/// The kernel is built in there, and its makefiles take neither white space nor colons.
fn check_cache(cache: &Path) -> Result<()> {
    let text = cache.to_string_lossy();
    let bad = |letter: char| letter.is_whitespace() || ":\"'\\$#%*?[]".contains(letter);
    ensure!(
        !text.contains(bad),
        "the kernel can't be built in {cache:?}: its makefiles don't take every character; \
         KHO_KERNEL_CACHE names another place"
    );
    // It may not be there yet; what is there of it has to be directories.
    let there = cache.ancestors().find(|path| path.exists()).unwrap_or(cache);
    ensure!(
        there.is_dir(),
        "the cache can't be {}: {} is no directory",
        cache.display(),
        there.display()
    );
    rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .with_context(|| format!("the cache can't be {}: {}", cache.display(), there.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_a_directory_that_make_takes() {
        let dir = tempfile::tempdir().unwrap();
        check_cache(dir.path()).unwrap();
        check_cache(&dir.path().join("not/there/yet")).unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below"), "/proc/self/below".into()] {
            assert!(check_cache(&path).is_err(), "{path:?}");
        }
        for name in ["with space", "with:colon", "with$dollar", "with\nline"] {
            let error = check_cache(&dir.path().join(name)).unwrap_err().to_string();
            assert!(error.contains("KHO_KERNEL_CACHE names another place"), "{error}");
        }
    }
}
