//! The source of Linux, from Debian's packages.
//!
//! The program `kho-linux-source` keeps a few files of it in a cache, for `kho-linux-c` to compile;
//! `kho-luo-kexec-test` builds whole kernels. Debian's apt, dpkg and tar do the work, without root, and
//! the machine's own apt stays as it is.

mod apt;
mod archive;
mod c_code;
mod command;
mod package;
mod report;
mod settings;
mod tools;

pub use apt::{Apt, MAX_AGE_TO_CHOOSE, MAX_AGE_TO_DOWNLOAD, choose, mirrors};
pub use archive::Archive;
pub use c_code::CCode;
pub use command::{last_lines, output, run};
pub use package::{Candidate, Package};
pub use report::{Lacking, program, say};
pub use settings::{cache, mirror, variable};
pub use tools::{is_installed, is_program};
