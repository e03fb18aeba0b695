//! The type `Entries`, a read-only view of a table. Its methods are in `entries.rs`.

use core::ptr;

use super::table::BlockTable;

/// The entries of a set, for reading. [`BlockSet`] and [`SetView`] dereference to it.
///
/// Entries are read by index, by block, by range and by iteration. No method allocates or returns
/// an error.
///
/// [`BlockSet`]: crate::BlockSet
/// [`SetView`]: crate::SetView
#[repr(transparent)]
pub struct Entries<T, M>(BlockTable<T, M>);

impl<T, M> Entries<T, M> {
    /// Returns the entries in the blocks of a table.
    #[inline]
    pub(crate) const fn of(table: &BlockTable<T, M>) -> &Self {
        let entries = ptr::from_ref(table) as *const Self;
        // SAFETY: the pointer is from a reference to the only field of a transparent struct, and is
        // borrowed for as long.
        unsafe { &*entries }
    }

    /// Returns the table of the blocks.
    #[inline]
    pub(crate) const fn table(&self) -> &BlockTable<T, M> {
        &self.0
    }
}
