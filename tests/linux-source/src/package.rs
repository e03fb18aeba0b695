//! Debian's packages of kernel sources.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, ensure};

/// A package such as `linux-source-7.3`. Packages are ordered by the kernel's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    major: u32,
    minor: u32,
}

impl Package {
    /// The first with `kho_block.c`, and with LUO's data in blocks.
    pub const OLDEST: Self = Self { major: 7, minor: 2 };

    /// The regular expression by which `apt-cache search` finds such packages.
    pub const PATTERN: &str = r"^linux-source-[0-9]+\.[0-9]+$";

    const PREFIX: &str = "linux-source-";
}

impl FromStr for Package {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let version = name.strip_prefix(Self::PREFIX).and_then(|version| version.split_once('.'));
        let package = version.and_then(|(major, minor)| {
            Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
        });
        // `+7` and `07` are numbers, too.
        let package = package.filter(|package| package.to_string() == name);
        let package = package.ok_or_else(|| {
            Error::msg(format!("{name:?} is not the name of a package such as {}", Self::OLDEST))
        })?;
        ensure!(package >= Self::OLDEST, "{package} is too old: {} is the first", Self::OLDEST);
        Ok(package)
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}.{}", Self::PREFIX, self.major, self.minor)
    }
}

/// A package and the version that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The package.
    pub package: Package,
    /// Debian's version, such as `7.3.4-1`.
    pub version: String,
}

impl Candidate {
    /// Returns the candidates in what `apt-cache show --no-all-versions` prints, oldest kernel first.
    pub(crate) fn parse(text: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut package = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("Package: ") {
                package = name.parse().ok();
            } else if let Some(version) = line.strip_prefix("Version: ") {
                let version = version.to_owned();
                found.extend(package.take().map(|package| Self { package, version }));
            }
        }
        found.sort_by_key(|candidate| candidate.package);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_kernel_sources_are_packages() {
        for name in ["linux-source-7.2", "linux-source-7.10", "linux-source-8.0"] {
            assert_eq!(name.parse::<Package>().unwrap().to_string(), name);
        }
        for name in [
            "",
            "7.3",
            "linux-source",
            "linux-source-7",
            "linux-source-7.3.4",
            "linux-source-7.3 ",
            "linux-source-7.03",
            "linux-source-+7.3",
            "linux-source-7.99999999999",
            "linux-source-7.3/sid",
            "linux-source-../../7.3",
            "linux-image-7.3",
            "--help",
        ] {
            let error = name.parse::<Package>().unwrap_err().to_string();
            assert!(error.contains("is not the name of a package"), "{name:?}: {error}");
        }
        for name in ["linux-source-6.12", "linux-source-7.1"] {
            let error = name.parse::<Package>().unwrap_err().to_string();
            assert!(error.contains("linux-source-7.2 is the first"), "{name:?}: {error}");
        }
    }

    #[test]
    fn packages_are_ordered_by_version() {
        let text = "Package: linux-source-7.10\nSource: linux\nVersion: 7.10.1-1\n\n\
                    Package: linux-source-7.9\nVersion: 7.9.3-1\n\n\
                    Package: linux-source-6.12\nVersion: 6.12.9-1\n\n\
                    Package: linux-source-8.0\nVersion: 8.0~rc1-1\n";
        let names: Vec<String> =
            Candidate::parse(text).iter().map(|found| found.package.to_string()).collect();
        assert_eq!(names, ["linux-source-7.9", "linux-source-7.10", "linux-source-8.0"]);
        assert_eq!(Candidate::parse(text)[1].version, "7.10.1-1");
    }
}
