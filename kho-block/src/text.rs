//! Text in fields of fixed size: what `#[entry(text)]` describes.

use core::ffi::CStr;
use core::str::Utf8Error;

/// The bytes of a field of `N`: the text, then zeros. What does not fit is cut off, between two
/// characters; see [`try_to_field`] where that must not be.
///
/// ```
/// use kho_block::text;
///
/// assert_eq!(text::to_field("vm1"), *b"vm1\0\0");
/// assert_eq!(text::to_field("Grüße"), *b"Gr\xc3\xbc\0"); // of ß one byte of two would fit
/// ```
#[must_use]
pub fn to_field<const N: usize>(text: &str) -> [u8; N] {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut field = [0; N];
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    field
}

/// The bytes of a field of `N`: the text, then zeros; `None` if it does not fit, or holds a zero. For
/// names that something is found by, of which no two may become one.
///
/// ```
/// use kho_block::text;
///
/// assert_eq!(text::try_to_field("vm1"), Some(*b"vm1\0\0"));
/// assert_eq!(text::try_to_field::<4>("vm100"), None);
/// ```
#[must_use]
pub fn try_to_field<const N: usize>(text: &str) -> Option<[u8; N]> {
    (text.len() <= N && !text.contains('\0')).then(|| to_field(text))
}

/// The text in a field, up to the first zero or the end.
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
/// The bytes are not UTF-8.
pub fn from_field(field: &[u8]) -> Result<&str, Utf8Error> {
    // Looks at several bytes at a time.
    let text = CStr::from_bytes_until_nul(field).map_or(field, CStr::to_bytes);
    core::str::from_utf8(text)
}
