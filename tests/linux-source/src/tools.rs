//! Programs that are installed.

use std::env;
use std::path::Path;

use rustix::fs::{Access, access};

/// Returns whether a program is on the path.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH");
    path.iter().flat_map(env::split_paths).any(|dir| is_program(&dir.join(program)))
}

/// Returns whether the path is an executable file.
#[must_use]
pub fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
