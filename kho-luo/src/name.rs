//! Names stored in fields of a fixed size: those of sessions, file handlers and global objects.

use core::fmt;

use thiserror::Error;

use crate::report::readable_debug;

/// The size of the field that stores a session's name, in bytes, including the terminating zero.
///
/// C: `LIVEUPDATE_SESSION_NAME_LENGTH`.
pub const SESSION_NAME_SIZE: usize = 64;

/// The size of the field that stores the name of a file handler or of a global object, in bytes,
/// including the terminating zero.
///
/// C: `LIVEUPDATE_HNDL_COMPAT_LENGTH`, `LIVEUPDATE_FLB_COMPAT_LENGTH`.
pub const COMPATIBLE_NAME_SIZE: usize = 48;

/// The name of a session: 1 to 63 bytes, none of them zero.
pub type SessionName = Name<SESSION_NAME_SIZE>;

/// The name and version of a file handler or of a global object in the kernel, such as `memfd-v2`:
/// 1 to 47 bytes, none of them zero.
///
/// The kernel calls it a *compatible string*.
pub type CompatibleName = Name<COMPATIBLE_NAME_SIZE>;

/// A name stored in a field of `N` bytes: 1 to `N` - 1 bytes, none of them zero, padded with zeros.
///
/// The kernel does not require UTF-8. [`Display`](fmt::Display) escapes bytes that are not UTF-8.
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

/// The error for bytes that are not a valid [`Name`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty.
    #[error("the name is empty")]
    Empty,
    /// The name does not fit in its field.
    #[error("the name has {len} bytes, but at most {max} fit")]
    TooLong {
        /// The length of the name in bytes.
        len: usize,
        /// The longest length that fits.
        max: usize,
    },
    /// A byte of the name is zero, which would terminate it.
    #[error("byte {position} of the name is zero")]
    Zero {
        /// The position of the first zero.
        position: usize,
    },
    /// The field has no zero that terminates the name.
    #[error("the name is not terminated by a zero")]
    NotTerminated,
}

readable_debug!(NameError);

impl<const N: usize> Name<N> {
    /// The longest length of a name in bytes.
    pub const MAX_LEN: usize = N - 1;

    /// Creates a name from its bytes, without a terminating zero.
    ///
    /// # Errors
    /// Returns an error if there are no bytes, too many, or one of them is zero.
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

    /// Reads a name from its field. Bytes after the first zero are ignored.
    ///
    /// ```
    /// use kho_luo::{CompatibleName, LuoFile};
    ///
    /// let file = LuoFile::new(CompatibleName::new("memfd-v2")?, 0x6a_0000, 7);
    /// assert_eq!(CompatibleName::from_field(&file.compatible)?, "memfd-v2");
    /// # Ok::<(), kho_luo::NameError>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the first byte is zero, or no byte is.
    pub fn from_field(field: &[u8; N]) -> Result<Self, NameError> {
        let end = field.iter().position(|byte| *byte == 0).ok_or(NameError::NotTerminated)?;
        Self::new(&field[..end])
    }

    /// Returns the field that stores the name: its bytes, padded with zeros.
    #[must_use]
    pub const fn to_field(self) -> [u8; N] {
        self.field
    }

    /// Returns the bytes of the name, without the terminating zero.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.field.iter().position(|byte| *byte == 0).unwrap_or(self.field.len());
        &self.field[..end]
    }

    /// Returns the name as a string.
    ///
    /// # Errors
    /// Returns an error if the name is not UTF-8.
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

/// Shows bytes of any kind: UTF-8 as it is, control characters and all other bytes escaped.
pub(crate) fn fmt_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        write!(f, "{}", chunk.valid().escape_debug())?;
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}
