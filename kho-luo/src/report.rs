//! `Debug` for errors, as readable text.

use core::error::Error;
use core::{fmt, iter};

/// Implements `Debug` by the text of an error and of its sources.
///
/// This is what `fn main() -> Result<(), Box<dyn Error>>` prints.
macro_rules! readable_debug {
    ($($error:ty),+ $(,)?) => {$(
        impl ::core::fmt::Debug for $error {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                $crate::report::with_sources(self, f)
            }
        }
    )+};
}
pub(crate) use readable_debug;

/// Writes the text of an error, then that of each source after a colon.
pub(crate) fn with_sources(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    for cause in iter::successors(error.source(), |&cause| cause.source()) {
        write!(f, ": {cause}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    #[derive(Error)]
    #[error("the disk is on fire")]
    struct Inner;

    #[derive(Error)]
    #[error("can't save")]
    struct Outer(#[source] Inner);

    readable_debug!(Inner, Outer);

    #[test]
    fn debug_has_the_sources() {
        assert_eq!(format!("{:?}", Outer(Inner)), "can't save: the disk is on fire");
    }
}
