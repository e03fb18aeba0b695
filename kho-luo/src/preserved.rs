//! KHO's map of preserved memory: which pages the new kernel leaves as they are.
//!
//! The map is a radix tree in pages. Each table holds the addresses of the tables of the level
//! below. The lowest level is bitmaps with one bit for each block. A key selects the bit: the
//! block's address divided by the block's size, with one more bit set above it. The position of
//! that bit gives the size: a block of *order* 0 is a page, and each order is twice as large as the
//! one before.
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

use kho_block::abi::is_block_size;
use kho_block::{PhysAddr, ReadErrorKind, ReadMemory};
use thiserror::Error;

use crate::report::readable_debug;

/// KHO's map of preserved memory: which pages the new kernel leaves as they are.
///
/// Its address is [`KhoTree::preserved_map`](crate::KhoTree::preserved_map).
///
/// The pages of the map itself are not preserved. The new kernel reads the map early at boot and
/// may reuse its pages from then on. So in the memory of a running kernel, only the map that this
/// kernel writes for its successor is sure to be intact.
///
/// Nothing in the map is trusted. Wherever the tables lead, even back to themselves, a look-up
/// takes at most one read for each level and order: 312 with pages of 4 KiB, and usually one to
/// six. The map keeps only the last leaf and the last block in memory.
///
/// ```no_run
/// use kho_block::{DumpMemory, PhysAddr};
/// use kho_luo::{KhoTree, PreservedMap};
///
/// # let dump = DumpMemory::new();
/// let tree = KhoTree::read(&dump, PhysAddr::new(0x69_5000))?;
/// let map = PreservedMap::new(&dump, tree.preserved_map);
/// match map.block_at(tree.luo_root_addr()?)? {
///     Some(block) => println!("preserved, in a block of {} bytes", block.len),
///     None => println!("lost"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
///
/// - Linux 7.2: `struct kho_radix_tree` in `include/linux/kho/abi/kexec_handover.h`, and
///   `kernel/liveupdate/kexec_handover.c`
#[doc(alias = "kho_radix_tree")]
pub struct PreservedMap<'m, M> {
    memory: &'m M,
    root: PhysAddr,
    /// The part of the key above the leaf in the last look-up, and the address of that leaf, null
    /// if there is none. Nearby pages share a leaf.
    leaf: Cell<Option<(u64, PhysAddr)>>,
    /// The block that was found in the last successful look-up.
    found: Cell<Option<PreservedBlock>>,
}

/// A block of memory that KHO preserves: a page, or a power of two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PreservedBlock {
    /// The address of the block.
    pub addr: PhysAddr,
    /// The size of the block in bytes.
    pub len: u64,
}

impl PreservedBlock {
    /// Returns whether the byte at `addr` is in the block.
    const fn contains(self, addr: PhysAddr) -> bool {
        match addr.get().checked_sub(self.addr.get()) {
            Some(offset) => offset < self.len,
            None => false,
        }
    }
}

/// The error of reading KHO's map of preserved memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("the map of preserved memory, at {addr}: {kind}")]
#[non_exhaustive]
pub struct PreservedMapError {
    /// The address of the table or bitmap that is wrong.
    pub addr: PhysAddr,
    /// What is wrong with the table or bitmap.
    pub kind: PreservedMapErrorKind,
}

/// What is wrong with KHO's map of preserved memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum PreservedMapErrorKind {
    /// The table or bitmap can't be read: it may be missing from the dump.
    #[error("{0}")]
    Unreadable(ReadErrorKind),
    /// The table or bitmap is not at the start of a page.
    #[error("not at the start of a page")]
    Misaligned,
    /// The map does not preserve the device tree that leads to it, as KHO's map always does. So its
    /// pages have been reused.
    #[error("overwritten: it does not preserve the device tree that leads to it")]
    Overwritten,
    /// Too many pages are not preserved, so the others were not looked up.
    #[error("more than {limit} pages are not preserved; the others were not looked up")]
    TooManyMissing {
        /// The number of pages that may be missing before the look-ups end.
        limit: usize,
    },
}

readable_debug!(PreservedMapError, PreservedMapErrorKind);

/// The outcome of looking up the pages of a [`LuoState`](crate::LuoState) in KHO's map of preserved
/// memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preserved {
    /// All pages were looked up. Each one that is not preserved is a
    /// [fault](crate::StateError::NotPreserved).
    Checked,
    /// No page was looked up: the state was read from its root, and only KHO's device tree leads to
    /// the map.
    NoTree,
    /// Not all pages were looked up: the map can't be read, or is not the one that was handed over.
    Unknown(PreservedMapError),
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

/// The shape of the tree: how a key is split into indices. It follows from the size of a page.
struct Shape;

impl Shape {
    /// Returns log2 of the page size.
    const fn page<M: ReadMemory>() -> u32 {
        const { assert!(is_block_size(M::BLOCK_SIZE), "not a page size") };
        M::BLOCK_SIZE.trailing_zeros()
    }

    /// Returns the number of bits that select an address in a table.
    const fn table<M: ReadMemory>() -> u32 {
        Self::page::<M>() - 3
    }

    /// Returns the number of bits that select a bit in a bitmap.
    const fn bitmap<M: ReadMemory>() -> u32 {
        Self::page::<M>() + 3
    }

    /// Returns the number of tables above a bitmap. A key has one bit more than an address in
    /// pages.
    const fn tables<M: ReadMemory>() -> u32 {
        (64 - Self::page::<M>() + 1)
            .saturating_sub(Self::bitmap::<M>())
            .div_ceil(Self::table::<M>())
    }
}

impl<'m, M: ReadMemory> PreservedMap<'m, M> {
    /// Creates the map whose first table is at `root`. Nothing is read until the first look-up.
    #[must_use]
    pub const fn new(memory: &'m M, root: PhysAddr) -> Self {
        Self { memory, root, leaf: Cell::new(None), found: Cell::new(None) }
    }

    /// Returns the address of the first table.
    #[must_use]
    pub const fn root(&self) -> PhysAddr {
        self.root
    }

    /// Returns the preserved block that contains the byte at `addr`, or `None` if the new kernel
    /// treats that memory as free.
    ///
    /// # Errors
    /// Returns an error if a table or bitmap on the way can't be read, or is not at the start of a
    /// page.
    pub fn block_at(&self, addr: PhysAddr) -> Result<Option<PreservedBlock>, PreservedMapError> {
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

    /// Returns whether the bit of a key is set.
    fn has(&self, key: u64) -> Result<bool, PreservedMapError> {
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
        // The kernel's bitmaps are 64-bit words in the byte order of the machine.
        let bit = key & ((1 << Shape::bitmap::<M>()) - 1);
        Ok(self.word(leaf, bit / 64)? >> (bit % 64) & 1 == 1)
    }

    /// Returns the address of the bitmap for the part of a key above it, or null if there is none.
    fn leaf_of(&self, above: u64) -> Result<PhysAddr, PreservedMapError> {
        let mut node = Self::check_aligned(self.root)?;
        for level in (0..Shape::tables::<M>()).rev() {
            if node.is_null() {
                break;
            }
            let bits = Shape::table::<M>();
            let index = (above >> (level * bits)) & ((1 << bits) - 1);
            node = Self::check_aligned(PhysAddr::new(self.word(node, index)?))?;
        }
        Ok(node)
    }

    fn check_aligned(addr: PhysAddr) -> Result<PhysAddr, PreservedMapError> {
        if addr.get().is_multiple_of(M::BLOCK_SIZE as u64) {
            Ok(addr)
        } else {
            Err(PreservedMapError { addr, kind: PreservedMapErrorKind::Misaligned })
        }
    }

    /// Reads a word of a page. `index` is less than the number of words in a page.
    fn word(&self, page: PhysAddr, index: u64) -> Result<u64, PreservedMapError> {
        let error =
            |kind| PreservedMapError { addr: page, kind: PreservedMapErrorKind::Unreadable(kind) };
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
