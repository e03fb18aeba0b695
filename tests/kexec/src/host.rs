//! The host's side: getting a kernel, running a machine, and access to the machine's memory.

pub(crate) mod build;
pub(crate) mod deadline;
pub(crate) mod gdb;
pub(crate) mod initramfs;
pub(crate) mod kernel;
pub(crate) mod machine;
pub(crate) mod preserved;
pub(crate) mod settings;
pub(crate) mod tools;
