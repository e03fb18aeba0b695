//! Pushing several entries, all or none.

use core::mem;

use super::{BlockSet, Writer};
use crate::entry::Entry;
use crate::memory::BlockMemory;

impl<T: Entry, M: BlockMemory> BlockSet<T, M> {
    /// Runs `write`, which pushes entries, and removes those entries if it returns an error or
    /// panics.
    ///
    /// Blocks that were added stay reserved. The head of a set that was empty is set when the first
    /// block is published, and null again after a rollback.
    ///
    /// A transaction is all or nothing within this process only. After a crash, a successor that
    /// has the head finds a prefix of what was pushed: do not store the head before the transaction
    /// has succeeded.
    ///
    /// ```
    /// # use kho_block::{bytemuck::{Pod, Zeroable}, BlockSet, Entry, HeapMemory, PushError};
    /// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    /// # #[repr(C)]
    /// # struct Slot { value: u64 }
    /// # let memory = HeapMemory::new();
    /// # let mut set = BlockSet::<Slot, _>::new_in(&memory);
    /// set.transaction::<_, PushError<Slot>>(|writer| {
    ///     writer.push(Slot { value: 1 })?;
    ///     writer.push(Slot { value: 2 })
    /// })?;
    /// assert_eq!(set.len(), 2);
    ///
    /// let result = set.transaction(|writer| {
    ///     writer.push(Slot { value: 3 }).map_err(|_| "no memory")?;
    ///     Err::<(), _>("the device refuses to stop")
    /// });
    /// assert_eq!(result, Err("the device refuses to stop"));
    /// assert_eq!(set.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns the error that `write` returned.
    pub fn transaction<R, E>(
        &mut self,
        write: impl for<'w, 's> FnOnce(&'w mut Writer<'s, T, M>) -> Result<R, E>,
    ) -> Result<R, E> {
        let len = self.len();
        let undo = Undo { set: self, len };
        let result = write(&mut undo.set.writer())?;
        mem::forget(undo);
        Ok(result)
    }
}

/// Removes what a transaction wrote, unless it is forgotten.
struct Undo<'s, T: Entry, M: BlockMemory> {
    set: &'s mut BlockSet<T, M>,
    len: usize,
}

impl<T: Entry, M: BlockMemory> Drop for Undo<'_, T, M> {
    fn drop(&mut self) {
        self.set.truncate(self.len);
    }
}
