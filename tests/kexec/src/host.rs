//! The host's side: a kernel, a machine, and what goes between them.

pub(crate) mod build;
pub(crate) mod deadline;
pub(crate) mod gdb;
pub(crate) mod initramfs;
pub(crate) mod kernel;
pub(crate) mod machine;
pub(crate) mod preserved;
pub(crate) mod settings;
pub(crate) mod tools;
