//! Views: sets that are read in place, in memory that lends its bytes.

use core::fmt;
use core::ops::Deref;

use crate::abi::DEFAULT_BLOCK_LIMIT;
use crate::addr::SetHead;
use crate::entries::{Entries, Iter};
use crate::entry::Entry;
use crate::entry::fits::checked_count_of;
use crate::error::RestoreError;
use crate::memory::StableMemory;
use crate::raw::LentChain;

/// A set that is read in place in memory that does not change.
///
/// Nothing is copied or claimed, and threads can share a view. Read it with the methods of
/// [`Entries`].
///
/// Several views may share a block: unlike a claim, a view does not notice a block in two chains.
/// If that matters, compare their [`blocks`](Entries::blocks).
///
/// ```
/// use kho_block::{DumpMemory, PhysAddr, SetHead, SetView};
/// # use kho_block::{bytemuck::{Pod, Zeroable}, Entry};
/// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// # #[repr(C)]
/// # struct Slot { value: u64 }
///
/// let mut block = vec![0; 4096];
/// block[8] = 1; // one entry follows (on a little-endian machine)
/// # block[8..16].copy_from_slice(&1_u64.to_ne_bytes());
/// block[16..24].copy_from_slice(&42_u64.to_ne_bytes());
/// let mut dump = DumpMemory::new();
/// dump.insert(PhysAddr::new(0x5000), block)?;
///
/// let head = SetHead::<Slot>::new(PhysAddr::new(0x5000));
/// let view = SetView::restore(&dump, head)?;
/// assert_eq!(view[0].value, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A view is invariant in the type of its memory, so that blocks checked for one size can't be read
/// as blocks of another size:
///
/// ```compile_fail,E0308
/// # use kho_block::{bytemuck::{Pod, Zeroable}, Entry, PhysAddr, ReadError, ReadMemory};
/// # use kho_block::{SetHead, SetView, StableMemory};
/// # use std::marker::PhantomData;
/// # #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// # #[repr(C)]
/// # struct Slot { value: u64 }
/// struct Memory<F>(PhantomData<F>);
///
/// type Small = Memory<for<'a> fn(&'a u8)>;
/// type Large = Memory<fn(&'static u8)>; // a `Small` is also one of these
/// # impl ReadMemory for Small {
/// #     fn read(&self, a: PhysAddr, _: &mut [u8]) -> Result<(), ReadError> { todo!() }
/// # }
/// # impl StableMemory for Small {
/// #     fn lend(&self, a: PhysAddr, _: usize) -> Result<&[u8], ReadError> { todo!() }
/// # }
/// # impl ReadMemory for Large {
/// #     const BLOCK_SIZE: usize = 65536;
/// #     fn read(&self, a: PhysAddr, _: &mut [u8]) -> Result<(), ReadError> { todo!() }
/// # }
/// # impl StableMemory for Large {
/// #     fn lend(&self, a: PhysAddr, _: usize) -> Result<&[u8], ReadError> { todo!() }
/// # }
///
/// fn convert<'m>(view: SetView<'m, Slot, Small>) -> SetView<'m, Slot, Large> {
///     view
/// }
/// ```
pub struct SetView<'m, T, M>(LentChain<'m, T, M>);

impl<'m, T: Entry, M: StableMemory> SetView<'m, T, M> {
    /// Number of entries that fit in a block of the memory.
    pub const COUNT_PER_BLOCK: usize = checked_count_of::<T>(M::BLOCK_SIZE);

    /// Opens the set at `head` by checking and borrowing its chain of at most 10,000 blocks, the
    /// kernel's limit.
    ///
    /// The content of entries is not checked, since blocks have no checksum: if it must be, store a
    /// digest.
    ///
    /// # Errors
    /// Returns an error if the chain is not valid; the error names the block.
    #[doc(alias = "kho_block_set_restore")]
    pub fn restore(memory: &'m M, head: SetHead<T>) -> Result<Self, RestoreError> {
        Self::restore_with_limit(memory, head, DEFAULT_BLOCK_LIMIT)
    }

    /// Opens the set at `head` by checking and borrowing its chain of at most `limit` blocks.
    ///
    /// The limit bounds time and memory if the bytes are not trusted. The table of blocks has a few
    /// words for each.
    ///
    /// # Errors
    /// Returns an error if the chain is not valid; the error names the block.
    pub fn restore_with_limit(
        memory: &'m M,
        head: SetHead<T>,
        limit: usize,
    ) -> Result<Self, RestoreError> {
        LentChain::lend(memory, head, limit).map(Self)
    }
}

/// Clones the table of blocks. The blocks themselves are shared.
impl<T: Entry, M: StableMemory> Clone for SetView<'_, T, M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Entry, M: StableMemory> Deref for SetView<'_, T, M> {
    type Target = Entries<T, M>;

    fn deref(&self) -> &Self::Target {
        Entries::of(&self.0)
    }
}

impl<'a, T: Entry, M: StableMemory> IntoIterator for &'a SetView<'_, T, M> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T, M>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Entry + fmt::Debug, M: StableMemory> fmt::Debug for SetView<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
