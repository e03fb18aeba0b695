//! Programs and headers that the machine needs, and the Debian packages that have them.

use std::env;
use std::path::{Path, PathBuf};

use kho_linux_source::is_program;

/// Name of QEMU's program.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// Something that the machine needs.
enum Need {
    /// A program on the path.
    Program(&'static str),
    /// A header of C.
    Header(&'static str),
}

use Need::{Header, Program};

/// Needed to run a scenario.
const TO_RUN: [(Need, &str); 2] =
    [(Program(QEMU), "qemu-system-x86"), (Program("setpriv"), "util-linux")];

/// Needed to build a kernel.
const TO_BUILD: [(Need, &str); 11] = [
    (Program("apt-get"), "apt"),
    (Program("apt-cache"), "apt"),
    (Program("bc"), "bc"),
    (Program("bison"), "bison"),
    (Program("dpkg-deb"), "dpkg"),
    (Program("flex"), "flex"),
    (Program("gcc"), "gcc"),
    (Program("make"), "make"),
    (Program("tar"), "tar"),
    (Header("stdio.h"), "libc6-dev"),
    (Header("gelf.h"), "libelf-dev"),
];

/// Everything that the machine lacks.
#[derive(Default)]
pub(crate) struct Missing {
    /// Programs and headers.
    names: Vec<String>,
    /// The packages that have them.
    packages: Vec<&'static str>,
}

impl Missing {
    /// Looks for what is needed to run scenarios and, if asked, to build a kernel.
    pub(crate) fn find(build: bool) -> Self {
        let path: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
        Self::find_in(build, &path, Path::new("/usr/include"))
    }

    fn find_in(build: bool, path: &[PathBuf], include: &Path) -> Self {
        let mut missing = Self::default();
        let build: &[_] = if build { &TO_BUILD } else { &[] };
        for (need, package) in TO_RUN.iter().chain(build) {
            let (there, name) = match need {
                Program(name) => (path.iter().any(|dir| is_program(&dir.join(name))), *name),
                Header(name) => (include.join(name).is_file(), *name),
            };
            if there {
                continue;
            }
            missing.names.push(name.to_owned());
            if !missing.packages.contains(package) {
                missing.packages.push(package);
            }
        }
        missing
    }

    /// Returns the packages to install.
    pub(crate) fn packages(&self) -> &[&'static str] {
        &self.packages
    }

    /// Returns what is missing and how to install it; `None` if nothing is missing.
    pub(crate) fn message(&self) -> Option<String> {
        (!self.names.is_empty()).then(|| {
            format!(
                "there is no {}; apt-get install --no-install-recommends {}",
                self.names.join(", "),
                self.packages.join(" ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_in_one_message() {
        let empty = tempfile::tempdir().unwrap();
        let path = [empty.path().to_owned()];
        let missing = Missing::find_in(true, &path, empty.path());
        assert_eq!(
            missing.message().unwrap(),
            "there is no qemu-system-x86_64, setpriv, apt-get, apt-cache, bc, bison, dpkg-deb, \
             flex, gcc, make, tar, stdio.h, gelf.h; apt-get install --no-install-recommends \
             qemu-system-x86 util-linux apt bc bison dpkg flex gcc make tar libc6-dev \
             libelf-dev"
        );
        // No kernel has to be built.
        assert_eq!(
            Missing::find_in(false, &path, empty.path()).packages(),
            ["qemu-system-x86", "util-linux"]
        );
    }

    #[test]
    fn what_can_t_be_run_is_no_program() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = [dir.path().to_owned()];
        let missing = || Missing::find_in(false, &path, dir.path()).packages;
        std::fs::create_dir(dir.path().join("setpriv")).unwrap();
        let qemu = dir.path().join(QEMU);
        std::fs::write(&qemu, "").unwrap();
        assert_eq!(missing(), ["qemu-system-x86", "util-linux"]);
        std::fs::set_permissions(&qemu, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(missing(), ["util-linux"]);
    }
}
