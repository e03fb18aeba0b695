//! What a table lends to those who read: the type only. `entries.rs` has its methods.

use core::ptr;

use super::table::BlockTable;

/// The entries of a set, to read: what [`BlockSet`] and [`SetView`] both dereference to.
///
/// Entries are read by index, by block, by range and by iteration. Nothing here fails or allocates.
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
