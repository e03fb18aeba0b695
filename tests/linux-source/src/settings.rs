//! Settings in the environment.

use std::env::{self, VarError};
use std::path::PathBuf;

use anyhow::{Result, bail};

/// Returns a variable, if it is set and not empty.
///
/// # Errors
/// Returns an error if it is not UTF-8.
pub fn variable(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(value)) => bail!("{name} is not UTF-8: {value:?}"),
    }
}

/// Returns whether a variable is 1. It is 0 unless set.
///
/// # Errors
/// Returns an error if it is neither 0 nor 1.
pub(crate) fn is_one(name: &str) -> Result<bool> {
    Ok(match variable(name)?.as_deref() {
        None | Some("0") => false,
        Some("1") => true,
        Some(other) => bail!("{name} must be 0 or 1, not {other:?}"),
    })
}

/// Returns `KHO_LINUX_MIRROR`: the only mirror to ask.
///
/// # Errors
/// Returns an error if it is not UTF-8.
pub fn mirror() -> Result<Option<String>> {
    variable("KHO_LINUX_MIRROR")
}

/// Returns the directory that a variable names, or one below the user's cache if it is not set.
///
/// # Errors
/// Returns an error if none of the variables is set, or one is not UTF-8.
pub fn cache(name: &str, below: &str) -> Result<PathBuf> {
    Ok(match (variable(name)?, variable("XDG_CACHE_HOME")?, variable("HOME")?) {
        (Some(dir), ..) => dir.into(),
        (_, Some(caches), _) => PathBuf::from(caches).join(below),
        (.., Some(home)) => PathBuf::from(home).join(".cache").join(below),
        _ => bail!("neither {name} nor XDG_CACHE_HOME nor HOME is set"),
    })
}
