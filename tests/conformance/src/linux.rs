//! Which kernel's C code was compiled. Part of every package whose build script compiles it.

/// The package and version of the kernel whose C code is in here, or why there is none.
///
/// # Errors
/// There is no C code.
pub fn linux() -> Result<&'static str, &'static str> {
    match option_env!("KHO_LINUX_VERSION") {
        Some(version) => Ok(version),
        None => Err(option_env!("KHO_LINUX_SKIPPED").unwrap_or("no reason given")),
    }
}
