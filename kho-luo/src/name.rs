//! Names in fields of fixed size: of sessions, and of what a file or a global object is compatible with.

use core::fmt;

use thiserror::Error;

/// Size of the field that holds a session's name, in bytes, with the zero that ends it.
///
/// C: `LIVEUPDATE_SESSION_NAME_LENGTH`.
pub const SESSION_NAME_SIZE: usize = 64;

/// Size of the field that holds the name of a file's handler or of a global object, in bytes, with
/// the zero that ends it.
///
/// C: `LIVEUPDATE_HNDL_COMPAT_LENGTH`, `LIVEUPDATE_FLB_COMPAT_LENGTH`.
pub const COMPATIBLE_SIZE: usize = 48;

/// The name of a session: 1 to 63 bytes, none of them zero.
pub type SessionName = Name<SESSION_NAME_SIZE>;

/// What a file's handler in the kernel, or a global object, is compatible with: a name and version
/// such as `memfd-v2`. 1 to 47 bytes, none of them zero.
pub type Compatible = Name<COMPATIBLE_SIZE>;

/// A name in a field of `N` bytes: 1 to `N` - 1 bytes, none of them zero, and a zero.
///
/// The kernel does not ask that they be UTF-8. Shown, bytes that are not come out escaped.
///
/// ```
/// use kho_luo::{NameError, SessionName};
///
/// let name = SessionName::new("vm1")?;
/// assert_eq!(name, "vm1");
/// assert_eq!(SessionName::new("x".repeat(64)), Err(NameError::TooLong { len: 64, max: 63 }));
/// # Ok::<(), NameError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<const N: usize> {
    /// INVARIANT: 1 to `N` - 1 bytes that are not zero, then zeros.
    field: [u8; N],
}

/// Bytes are not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// There are none.
    #[error("the name is empty")]
    Empty,
    /// There are more than fit.
    #[error("the name has {len} bytes, where at most {max} fit")]
    TooLong {
        /// How many there are.
        len: usize,
        /// How many fit.
        max: usize,
    },
    /// One of them is zero, which would end the name.
    #[error("byte {position} of the name is zero")]
    Zero {
        /// The first that is.
        position: usize,
    },
    /// No zero ends the name in its field.
    #[error("no zero ends the name")]
    NotTerminated,
}

impl<const N: usize> Name<N> {
    /// The most bytes a name has.
    pub const MAX_LEN: usize = N - 1;

    /// The name of these bytes.
    ///
    /// # Errors
    /// There are none, more than fit, or one of them is zero.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, NameError> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(position) = name.iter().position(|byte| *byte == 0) {
            return Err(NameError::Zero { position });
        }
        if name.len() > Self::MAX_LEN {
            return Err(NameError::TooLong { len: name.len(), max: Self::MAX_LEN });
        }
        let mut field = [0; N];
        field[..name.len()].copy_from_slice(name);
        Ok(Self { field })
    }

    /// The name in a field: what comes before the first zero. What follows it is ignored.
    ///
    /// # Errors
    /// Nothing comes before it, or no byte is zero.
    pub fn from_field(field: &[u8; N]) -> Result<Self, NameError> {
        let end = field.iter().position(|byte| *byte == 0).ok_or(NameError::NotTerminated)?;
        Self::new(&field[..end])
    }

    /// The name, then zeros.
    #[must_use]
    pub const fn to_field(self) -> [u8; N] {
        self.field
    }

    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.field.iter().position(|byte| *byte == 0).unwrap_or(self.field.len());
        &self.field[..end]
    }

    /// The name as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn to_str(&self) -> Result<&str, core::str::Utf8Error> {
        core::str::from_utf8(self.as_bytes())
    }
}

impl<const N: usize> AsRef<[u8]> for Name<N> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<const N: usize> fmt::Display for Name<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_bytes(self.as_bytes(), f)
    }
}

impl<const N: usize> fmt::Debug for Name<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl<const N: usize> PartialEq<str> for Name<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> PartialEq<&str> for Name<N> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl<const N: usize> TryFrom<&str> for Name<N> {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl<const N: usize> core::str::FromStr for Name<N> {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

/// Shows bytes that may be anything: text as it is, control characters and what is no text escaped.
pub(crate) fn fmt_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        write!(f, "{}", chunk.valid().escape_debug())?;
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}
