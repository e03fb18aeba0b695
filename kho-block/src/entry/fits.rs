//! The check, at compile time, that a block of a memory has room for an entry.
//!
//! Only constructors check: a set that exists holds entries that fit. So a mistake is one error,
//! not one for each method that is called.

use core::str;

use crate::abi::{HEADER_SIZE, MAX_ENTRY_ALIGN, assert_block_size, count_per_block};

/// Returns the number of entries `T` that fit in a block. See [`assert_fits`] if none fits.
pub(crate) const fn count_of<T>(block_size: usize) -> usize {
    count_per_block(block_size, size_of::<T>())
}

/// Returns the number of entries `T` that fit in a block, which is at least one.
///
/// # Panics
/// Panics in the same cases as [`assert_fits`].
pub(crate) const fn checked_count_of<T>(block_size: usize) -> usize {
    assert_fits::<T>(block_size);
    count_of::<T>(block_size)
}

/// Checks that entries `T` can be stored in blocks of this size.
///
/// # Panics
/// Panics if `T` has size 0, does not fit in a block, or is aligned to more than
/// [`MAX_ENTRY_ALIGN`], or if blocks can't have this size. In constant evaluation that is a compile
/// error.
pub(crate) const fn assert_fits<T>(block_size: usize) {
    assert_block_size(block_size);
    assert!(size_of::<T>() != 0, "an entry of size 0 can't be stored in a block");
    assert!(align_of::<T>() <= MAX_ENTRY_ALIGN, "an entry is aligned to at most 16 bytes");
    if count_of::<T>(block_size) == 0 {
        let message = Message::new()
            .text("the entry has ")
            .number(size_of::<T>())
            .text(" bytes, and a block of ")
            .number(block_size)
            .text(" has room for ")
            .number(block_size - HEADER_SIZE)
            .text(
                ": split it into several entries, move its large fields to a set of their own, \
                  or use a memory of larger blocks",
            );
        panic!("{}", message.as_str());
    }
}

/// A text with numbers. Constant evaluation has no formatting.
struct Message {
    bytes: [u8; 256],
    len: usize,
}

impl Message {
    const fn new() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }

    const fn text(mut self, text: &str) -> Self {
        let mut i = 0;
        while i < text.len() {
            self.bytes[self.len] = text.as_bytes()[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    const fn number(mut self, number: usize) -> Self {
        if number >= 10 {
            self = self.number(number / 10);
        }
        self.bytes[self.len] = b"0123456789"[number % 10];
        self.len += 1;
        self
    }

    const fn as_str(&self) -> &str {
        match str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits() {
        assert_eq!(checked_count_of::<[u64; 510]>(4096), 1);
        assert_eq!(checked_count_of::<[u64; 511]>(16384), 4);
        assert_eq!(count_of::<[u64; 511]>(4096), 0);
    }

    #[test]
    #[should_panic(expected = "the entry has 4088 bytes, and a block of 4096 has room for 4080: ")]
    fn too_large() {
        assert_fits::<[u64; 511]>(4096);
    }

    #[test]
    #[should_panic(
        expected = "the entry has 20000 bytes, and a block of 16384 has room for 16368: "
    )]
    fn too_large_for_larger_blocks() {
        assert_fits::<[u8; 20000]>(16384);
    }

    #[test]
    fn numbers_of_any_size() {
        let message = Message::new().text("<").number(0).number(usize::MAX).text(">");
        let expected = std::format!("<0{}>", usize::MAX);
        assert_eq!(message.as_str(), expected);
    }
}
