//! Addresses of blocks, and heads of sets.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::ParseIntError;
use core::str::FromStr;

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
    /// Address 0, which no block has. It ends a chain, and is the head of an empty set.
    pub const NULL: Self = Self(0);

    /// Returns the address `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Returns the address as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns whether the address is [`PhysAddr::NULL`].
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Returns the address plus `bytes`, or `None` past the end of the address space.
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

    /// Returns the address plus `bytes`, within a block whose address was checked.
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

/// Parses an address: hexadecimal after `0x`, as [`Display`](fmt::Display) writes it, otherwise
/// decimal.
///
/// ```
/// use kho_block::PhysAddr;
///
/// let addr = PhysAddr::new(0x5000);
/// assert_eq!(addr.to_string().parse(), Ok(addr));
/// assert_eq!("20480".parse(), Ok(addr));
/// assert!("5000 pages".parse::<PhysAddr>().is_err());
/// ```
impl FromStr for PhysAddr {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let value = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        value.map(Self)
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
/// The head of an empty set is null. A head is 8 bytes of plain data, like the `u64` in the
/// kernel's structures. As a field of an entry it nests one set in another.
///
/// A head owns nothing and is not trusted, since it may come from outside. [`BlockSet::restore`]
/// checks the chain at the head.
///
/// ```
/// # use bytemuck::{Pod, Zeroable};
/// use kho_block::{BlockSet, Entry, HeapMemory, SetHead, text};
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct File { token: u64 }
///
/// #[derive(Clone, Copy, Pod, Zeroable, Entry)]
/// #[repr(C)]
/// struct Session {
///     #[entry(text)]
///     name: [u8; 32],
///     files: SetHead<File>,
/// }
///
/// let memory = HeapMemory::new();
/// let mut files = BlockSet::new_in(&memory);
/// files.push(File { token: 7 })?;
/// let mut sessions = BlockSet::new_in(&memory);
/// sessions.push(Session { name: text::to_field("vm1")?, files: files.hand_over() })?;
/// let head: SetHead<Session> = sessions.hand_over();
///
/// let sessions = BlockSet::restore(&memory, head)?;
/// let files = BlockSet::restore(&memory, sessions[0].files)?;
/// assert_eq!(files[0].token, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

// By hand: derived implementations would have bounds on `T`.
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

impl<T> fmt::Display for SetHead<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.addr, f)
    }
}

/// Parses the address of a head, as [`PhysAddr`] does. The text does not contain the type `T`.
///
/// ```
/// use kho_block::{PhysAddr, SetHead};
///
/// let head = SetHead::<u64>::new(PhysAddr::new(0x5000));
/// assert_eq!(head.to_string().parse(), Ok(head));
/// ```
impl<T> FromStr for SetHead<T> {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self::new)
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

/// Orders heads by address.
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
