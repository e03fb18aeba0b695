//! Programs that are installed.

use std::env;
use std::path::Path;

use rustix::fs::{Access, access};

/// Whether a program is on the path.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH");
    path.iter().flat_map(env::split_paths).any(|dir| is_program(&dir.join(program)))
}

/// Whether there is a file that can be run.
#[must_use]
pub fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
