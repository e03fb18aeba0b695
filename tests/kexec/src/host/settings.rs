//! Settings in the environment. They are checked before anything else is done.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kho_linux_source::{Package, cache, mirror, variable};

/// Settings in the environment.
pub(crate) struct Settings {
    /// The package to use instead of the newest: `KHO_KERNEL_PACKAGE`.
    pub(crate) package: Option<Package>,
    /// Directory of the cache: `KHO_KERNEL_CACHE`.
    pub(crate) cache: PathBuf,
    /// The mirror to use instead of those of the machine's apt: `KHO_LINUX_MIRROR`.
    pub(crate) mirror: Option<String>,
}

impl Settings {
    pub(crate) fn read() -> Result<Self> {
        let package = variable("KHO_KERNEL_PACKAGE")?
            .map(|name| name.parse().context("KHO_KERNEL_PACKAGE"))
            .transpose()?;
        let cache = cache("KHO_KERNEL_CACHE", "kho-luo-kexec-test")?;
        let cache = std::path::absolute(cache).context("the cache's path")?;
        check_cache(&cache)?;
        Ok(Self { package, cache, mirror: mirror()? })
    }
}

/// Checks that kernels can be built in a directory. The kernel's makefiles reject some characters.
fn check_cache(cache: &Path) -> Result<()> {
    let text = cache.to_string_lossy();
    let bad = |letter: char| letter.is_whitespace() || ":\"'\\$#%*?[]".contains(letter);
    ensure!(
        !text.contains(bad),
        "the kernel can't be built in {cache:?}: its makefiles don't take every character; \
         KHO_KERNEL_CACHE names another place"
    );
    // It need not exist yet, but what does exist of its path has to be a directory.
    let there = cache.ancestors().find(|path| path.exists()).unwrap_or(cache);
    ensure!(
        there.is_dir(),
        "the cache can't be {}: {} is not a directory",
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
