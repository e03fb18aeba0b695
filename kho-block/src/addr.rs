//! Addresses: of a block, and of a chain's first block with the type of its entries.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use bytemuck::{Pod, Zeroable};

/// A physical address in bytes; whatever a memory uses to name a place in itself.
///
/// In the kernel this is a `phys_addr_t` stored as `u64`; in [`MemfdMemory`] it is an offset in
/// the file.
///
/// [`MemfdMemory`]: crate::MemfdMemory
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct PhysAddr(u64);

impl PhysAddr {
    /// Address 0: no block. It ends a chain and is the head of an empty set.
    pub const NULL: Self = Self(0);

    /// The address with this value.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The value of the address.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether this is [`PhysAddr::NULL`].
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `bytes` further on, or `None` where that passes the end of the address space.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// Whether the address is a multiple of `align`, a power of two.
    #[inline]
    pub(crate) const fn is_aligned_to(self, align: usize) -> bool {
        debug_assert!(align.is_power_of_two());
        self.0 & (align as u64 - 1) == 0
    }

    /// The address `bytes` further on, within a block whose address was checked.
    ///
    /// A block is aligned to its size, so no address in it passes the end of the address space.
    #[cfg(feature = "alloc")]
    pub(crate) const fn within_block(self, bytes: usize) -> Self {
        Self(self.0.wrapping_add(bytes as u64))
    }
}

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhysAddr({:#x})", self.0)
    }
}

impl fmt::LowerHex for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// The address of a chain's first block, and the type `T` of its entries; null for an empty set.
///
/// Plain data of 8 bytes, the same as the `u64` in the kernel's structures. As a field of an entry
/// it nests a set: restoring it gives a set of `T`, never of something else.
///
/// A head owns nothing and proves nothing: it may have come from outside. [`BlockSet::restore`]
/// checks what it leads to.
///
/// [`BlockSet::restore`]: crate::BlockSet::restore
#[doc(alias = "kho_block_set_head_pa")]
#[derive(Pod, Zeroable)]
#[repr(transparent)]
pub struct SetHead<T> {
    addr: PhysAddr,
    entries: PhantomData<T>,
}

impl<T> SetHead<T> {
    /// The head of an empty set.
    pub const EMPTY: Self = Self::new(PhysAddr::NULL);

    /// The head of a chain whose first block is at `addr`.
    #[must_use]
    pub const fn new(addr: PhysAddr) -> Self {
        Self { addr, entries: PhantomData }
    }

    /// The address of the first block; null for an empty set.
    #[must_use]
    pub const fn addr(self) -> PhysAddr {
        self.addr
    }

    /// Whether the set has no entries.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.addr.is_null()
    }
}

// By hand: derived implementations would ask the same of `T`.
impl<T> Clone for SetHead<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SetHead<T> {}

impl<T> Default for SetHead<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T> PartialEq for SetHead<T> {
    fn eq(&self, other: &Self) -> bool {
        self.addr == other.addr
    }
}

impl<T> Eq for SetHead<T> {}

impl<T> Hash for SetHead<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.addr.hash(state);
    }
}

impl<T> fmt::Debug for SetHead<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetHead({})", self.addr)
    }
}
