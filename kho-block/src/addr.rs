//! Addresses of blocks, and heads of sets.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use bytemuck::{Pod, Zeroable};

/// An address in a memory, in bytes.
///
/// In the kernel it is a physical address (`phys_addr_t`, stored as `u64`). In [`MemfdMemory`] it
/// is an offset in the file, in [`HeapMemory`] an address of this process.
///
/// ```
/// use kho_block::PhysAddr;
///
/// let addr = PhysAddr::new(0x5000);
/// assert_eq!(addr, 0x5000.into());
/// assert_eq!(addr.to_string(), "0x5000");
/// assert!(addr > PhysAddr::NULL);
/// ```
///
/// [`HeapMemory`]: crate::HeapMemory
///
/// [`MemfdMemory`]: crate::MemfdMemory
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct PhysAddr(u64);

impl PhysAddr {
    /// Address 0, at which no block is. It ends a chain, and is the head of an empty set.
    pub const NULL: Self = Self(0);

    /// Returns the address with this value.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Returns the value of the address.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns whether this is [`PhysAddr::NULL`].
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Returns the address `bytes` further on, or `None` past the end of the address space.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// Returns whether the address is a multiple of `align`, a power of two.
    #[inline]
    pub(crate) const fn is_aligned_to(self, align: usize) -> bool {
        debug_assert!(align.is_power_of_two());
        self.0 & (align as u64 - 1) == 0
    }

    /// Returns the address `bytes` further on, within a block whose address was checked.
    ///
    /// A block is aligned to its size, so no address in it passes the end of the address space.
    #[cfg(feature = "alloc")]
    pub(crate) const fn within_block(self, bytes: usize) -> Self {
        Self(self.0.wrapping_add(bytes as u64))
    }
}

impl From<u64> for PhysAddr {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl From<PhysAddr> for u64 {
    fn from(addr: PhysAddr) -> Self {
        addr.0
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

impl fmt::UpperHex for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::UpperHex::fmt(&self.0, f)
    }
}

/// The head of a set: the address of its first block, and the type `T` of its entries.
///
/// The head of an empty set is null. A head is plain data of 8 bytes, as the `u64` in the kernel's
/// structures is. As a field of an entry it nests a set, and restoring it gives a set of `T`.
///
/// A head owns nothing and proves nothing, for it may have come from outside. [`BlockSet::restore`]
/// checks the chain that it leads to.
///
/// [`BlockSet::restore`]: crate::BlockSet::restore
#[doc(alias = "kho_block_set_head_pa")]
#[derive(Pod, Zeroable)]
#[repr(transparent)]
pub struct SetHead<T> {
    addr: PhysAddr,
    entry: PhantomData<T>,
}

impl<T> SetHead<T> {
    /// The head of an empty set: null.
    pub const EMPTY: Self = Self::new(PhysAddr::NULL);

    /// Returns the head of a chain whose first block is at `addr`.
    #[must_use]
    pub const fn new(addr: PhysAddr) -> Self {
        Self { addr, entry: PhantomData }
    }

    /// Returns the address of the first block, or null for an empty set.
    #[must_use]
    pub const fn addr(self) -> PhysAddr {
        self.addr
    }

    /// Returns whether the set has no entries.
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

impl<T> PartialOrd for SetHead<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Heads are ordered by address.
impl<T> Ord for SetHead<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.addr.cmp(&other.addr)
    }
}

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
