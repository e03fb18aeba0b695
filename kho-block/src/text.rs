//! Functions for text in fields of fixed size (`#[entry(text)]`).

use core::ffi::CStr;
use core::str::Utf8Error;

use thiserror::Error;

use crate::error::readable_debug;

/// The error returned when a text can't be stored in a field of fixed size. See [`to_field`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum TextError {
    /// The text has more bytes than the field.
    #[error("the text has {len} bytes, but the field has room for {room}")]
    TooLong {
        /// Length of the text in bytes.
        len: usize,
        /// Size of the field in bytes.
        room: usize,
    },
    /// The text contains a zero byte, which would end it for a reader.
    #[error("byte {at} of the text is zero, which would end the text")]
    Zero {
        /// Index of the zero byte in the text.
        at: usize,
    },
}

readable_debug!(TextError);

/// Converts a text to a field of `N` bytes: the text, then zeros.
///
/// ```
/// use kho_block::text;
///
/// assert_eq!(text::to_field("vm1"), Ok(*b"vm1\0\0"));
/// let error = text::to_field::<4>("vm100").unwrap_err();
/// assert_eq!(error.to_string(), "the text has 5 bytes, but the field has room for 4");
/// ```
///
/// # Errors
/// Returns an error if the text has more than `N` bytes or contains a zero byte.
pub const fn to_field<const N: usize>(text: &str) -> Result<[u8; N], TextError> {
    let text = text.as_bytes();
    if text.len() > N {
        return Err(TextError::TooLong { len: text.len(), room: N });
    }
    let mut field = [0; N];
    let mut at = 0;
    while at < text.len() {
        if text[at] == 0 {
            return Err(TextError::Zero { at });
        }
        field[at] = text[at];
        at += 1;
    }
    Ok(field)
}

/// Converts a text to a field of `N` bytes, cutting it at a character boundary if it is too long.
///
/// The rest of the field is zeros. Use it only for text to display: two names may become equal when
/// they are cut, so use [`to_field`] for names.
///
/// ```
/// use kho_block::text;
///
/// assert_eq!(text::to_field_truncated("vm1"), *b"vm1\0\0");
/// assert_eq!(text::to_field_truncated("Grüße"), *b"Gr\xc3\xbc\0"); // ß has two bytes
/// ```
#[must_use]
pub fn to_field_truncated<const N: usize>(text: &str) -> [u8; N] {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut field = [0; N];
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    field
}

/// Returns the text in a field, up to the first zero byte or the end of the field.
///
/// ```
/// use kho_block::text;
///
/// assert_eq!(text::from_field(b"vm1\0\0"), Ok("vm1"));
/// assert_eq!(text::from_field(b"full!"), Ok("full!"));
/// assert!(text::from_field(b"\xff\0").is_err());
/// ```
///
/// # Errors
/// Returns an error if the text is not UTF-8.
pub fn from_field(field: &[u8]) -> Result<&str, Utf8Error> {
    // The search compares several bytes at a time.
    let text = CStr::from_bytes_until_nul(field).map_or(field, CStr::to_bytes);
    core::str::from_utf8(text)
}
