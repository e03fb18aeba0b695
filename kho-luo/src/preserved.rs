//! KHO's map of preserved memory: which pages the next kernel leaves as they are.
//!
//! A radix tree in pages. The tables above hold addresses of the level below, the lowest level holds
//! one bit a block. A key says which bit: the block's address in units of the block's size, and one
//! bit above it, whose place tells the size (*order* 0 is a page, each order twice the one before).
//!
//! ```text
//!  key, with pages of 4 KiB: 1 bit for the order, directly above addr >> (12 + order)
//!
//!        59:51     50:42     41:33     32:24     23:15        14:0
//!      ┌─────────┬─────────┬─────────┬─────────┬─────────┬──────────────┐
//!      │ level 5 │ level 4 │ level 3 │ level 2 │ level 1 │ bit of leaf  │
//!      └────┬────┴────┬────┴────┬────┴────┬────┴────┬────┴──────┬───────┘
//!  root ─► table ─►  table ─►  table ─►  table ─►  table ─►   bitmap
//! ```
//!
//! Source: Linux 7.2, `include/linux/kho/abi/kexec_handover.h` and
//! `kernel/liveupdate/kexec_handover.c`.

use core::cell::Cell;
use core::fmt;

use kho_block::{PhysAddr, ReadErrorKind, ReadMemory};
use thiserror::Error;

/// KHO's map of preserved memory: [`KhoTree::memory_map`](crate::KhoTree::memory_map) says where it
/// is.
///
/// The map's own pages are not preserved. The next kernel reads them first of all, and may use them
/// for something else from then on: in the memory of a kernel that is up, only the map that it writes
/// for its successor is sure to be whole.
///
/// Nothing of it is trusted. A look-up takes a bounded number of reads, whatever the tables lead to,
/// also back to themselves: at most one a level and order, 312 with pages of 4 KiB, usually one to
/// six. The map keeps a few words.
///
/// ```no_run
/// use kho_block::{DumpMemory, PhysAddr};
/// use kho_luo::{KhoTree, PreservedMap};
///
/// # let image = DumpMemory::new();
/// let tree = KhoTree::read(&image, PhysAddr::new(0x69_5000))?;
/// let map = PreservedMap::new(&image, tree.memory_map);
/// match map.block_at(tree.luo()?)? {
///     Some(block) => println!("preserved, in a block of {} bytes", block.len),
///     None => println!("lost"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "kho_radix_tree")]
pub struct PreservedMap<'m, M> {
    memory: &'m M,
    root: PhysAddr,
    /// The leaf of the last look-up, null if there is none, and the part of the key that led to it.
    /// Nearby pages are in one leaf.
    leaf: Cell<Option<(u64, PhysAddr)>>,
    /// The block that was found last.
    found: Cell<Option<PreservedBlock>>,
}

/// A block of memory that KHO preserves: a page, or a power of two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreservedBlock {
    /// Address of its first byte.
    pub addr: PhysAddr,
    /// How many bytes it has.
    pub len: u64,
}

impl PreservedBlock {
    /// Whether the byte at `addr` is in it.
    const fn contains(self, addr: PhysAddr) -> bool {
        match addr.get().checked_sub(self.addr.get()) {
            Some(offset) => offset < self.len,
            None => false,
        }
    }
}

/// KHO's map of preserved memory could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the map of preserved memory, at {addr}: {kind}")]
#[non_exhaustive]
pub struct MapError {
    /// Address of the table or bitmap.
    pub addr: PhysAddr,
    /// What is wrong with it.
    pub kind: MapErrorKind,
}

/// What is wrong with KHO's map of preserved memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MapErrorKind {
    /// The memory does not have it: it may not have been captured.
    #[error("{0}")]
    Unreadable(ReadErrorKind),
    /// It is not at the start of a page.
    #[error("not at the start of a page")]
    Misaligned,
    /// It does not preserve the device tree that leads to it, as KHO always does. So it is not the
    /// map that was handed over: its pages may have been used again.
    #[error("it does not preserve the device tree that leads to it")]
    Overwritten,
    /// So many pages are not preserved that the rest was not looked up.
    #[error("more than {limit} pages are not preserved; the rest was not looked up")]
    TooManyMissing {
        /// How many are looked up in vain.
        limit: usize,
    },
}

/// Whether KHO preserves the pages that a [`LuoState`](crate::LuoState) was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preserved {
    /// All were looked up. What is not preserved is a [fault](crate::StateError::NotPreserved).
    Checked,
    /// None was looked up: the state was read from its root, and only KHO's device tree leads to
    /// the map.
    NoTree,
    /// Not all were looked up: the map can't be read, or can't be right.
    Unknown(MapError),
}

impl fmt::Display for Preserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked => f.write_str("checked against the map of preserved memory"),
            Self::NoTree => f.write_str("not checked: read without KHO's device tree"),
            Self::Unknown(error) => write!(f, "could not be checked: {error}"),
        }
    }
}

/// How keys are cut up, which follows from the size of a page.
struct Shape;

impl Shape {
    /// log2 of the page size.
    const fn page<M: ReadMemory>() -> u32 {
        const {
            let size = M::BLOCK_SIZE;
            assert!(size.is_power_of_two() && size >= 32 && size <= 64 << 20, "not a page size");
        };
        M::BLOCK_SIZE.trailing_zeros()
    }

    /// Bits of a key that one table takes: it is full of addresses.
    const fn table<M: ReadMemory>() -> u32 {
        Self::page::<M>() - 3
    }

    /// Bits of a key that a bitmap takes: it is full of bits.
    const fn bitmap<M: ReadMemory>() -> u32 {
        Self::page::<M>() + 3
    }

    /// Tables above a bitmap: a key is an address in pages, and one bit above it.
    const fn tables<M: ReadMemory>() -> u32 {
        (64 - Self::page::<M>() + 1)
            .saturating_sub(Self::bitmap::<M>())
            .div_ceil(Self::table::<M>())
    }
}

impl<'m, M: ReadMemory> PreservedMap<'m, M> {
    /// The map whose first table is at `root`. It is read when it is asked.
    #[must_use]
    pub const fn new(memory: &'m M, root: PhysAddr) -> Self {
        Self { memory, root, leaf: Cell::new(None), found: Cell::new(None) }
    }

    /// Returns the address of the first table.
    #[must_use]
    pub const fn root(&self) -> PhysAddr {
        self.root
    }

    /// Returns a preserved block that the byte at `addr` is in; `None` if the next kernel takes that
    /// memory for free.
    ///
    /// # Errors
    /// A table on the way can't be read, or is not where one can be.
    pub fn block_at(&self, addr: PhysAddr) -> Result<Option<PreservedBlock>, MapError> {
        if let Some(found) = self.found.get().filter(|found| found.contains(addr)) {
            return Ok(Some(found));
        }
        for shift in Shape::page::<M>()..64 {
            let number = addr.get() >> shift;
            if self.has(number | 1 << (64 - shift))? {
                let found =
                    PreservedBlock { addr: PhysAddr::new(number << shift), len: 1 << shift };
                self.found.set(Some(found));
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn has(&self, key: u64) -> Result<bool, MapError> {
        let above = key >> Shape::bitmap::<M>();
        let leaf = match self.leaf.get() {
            Some((last, leaf)) if last == above => leaf,
            _ => {
                let leaf = self.leaf_of(above)?;
                self.leaf.set(Some((above, leaf)));
                leaf
            }
        };
        if leaf.is_null() {
            return Ok(false);
        }
        // The kernel's bitmaps are words of 64 bits in the byte order of the machine.
        let bit = key & ((1 << Shape::bitmap::<M>()) - 1);
        Ok(self.word(leaf, bit / 64)? >> (bit % 64) & 1 == 1)
    }

    /// The bitmap that this part of a key leads to; null if there is none.
    fn leaf_of(&self, above: u64) -> Result<PhysAddr, MapError> {
        let mut node = self.node(self.root)?;
        for level in (0..Shape::tables::<M>()).rev() {
            if node.is_null() {
                break;
            }
            let bits = Shape::table::<M>();
            let index = (above >> (level * bits)) & ((1 << bits) - 1);
            node = self.node(PhysAddr::new(self.word(node, index)?))?;
        }
        Ok(node)
    }

    fn node(&self, addr: PhysAddr) -> Result<PhysAddr, MapError> {
        if addr.get().is_multiple_of(M::BLOCK_SIZE as u64) {
            Ok(addr)
        } else {
            Err(MapError { addr, kind: MapErrorKind::Misaligned })
        }
    }

    /// Word `index` of a page, which has so many.
    fn word(&self, page: PhysAddr, index: u64) -> Result<u64, MapError> {
        let error = |kind| MapError { addr: page, kind: MapErrorKind::Unreadable(kind) };
        let addr = page.checked_add(index * 8).ok_or(error(ReadErrorKind::Outside))?;
        let mut word = [0; 8];
        self.memory.read(addr, &mut word).map_err(|read| error(read.kind))?;
        Ok(u64::from_ne_bytes(word))
    }
}

impl<M> fmt::Debug for PreservedMap<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreservedMap").field("root", &self.root).finish_non_exhaustive()
    }
}
