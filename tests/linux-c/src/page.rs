//! The page size of the machine for tests.

/// Size in bytes of an arena's page, and so of a block in it: `KHO_PAGE_SIZE` when this was built, or
/// 4096.
pub const PAGE: usize = number(env!("KHO_PAGE_BYTES"));

const fn number(text: &str) -> usize {
    let mut number = 0;
    let mut i = 0;
    while i < text.len() {
        number = number * 10 + (text.as_bytes()[i] - b'0') as usize;
        i += 1;
    }
    number
}
