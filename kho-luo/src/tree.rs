//! KHO's device tree: where everything that was handed over is found.

use core::ops::Range;
use std::collections::HashSet;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};
use kho_block::{PhysAddr, ReadErrorKind, ReadMemory};
use thiserror::Error;

use crate::abi::{
    DATA_PROPERTY, KHO_COMPATIBLE, LUO_NODE, LuoRoot, MEMORY_MAP_PROPERTY, SIZE_PROPERTY,
};

/// KHO's device tree: the names of what was handed over, and the addresses.
///
/// Unlike in other device trees, numbers are in the byte order of the machine.
///
/// A running kernel with debugfs shows the tree in `/sys/kernel/debug/kho/out/fdt`, and the one that
/// it came up with in `/sys/kernel/debug/kho/in/fdt`: [`parse`](Self::parse) reads them. In an image
/// of memory it is [found](Self::scan) by its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KhoTree {
    /// Address of the map of preserved memory.
    pub memory_map: PhysAddr,
    /// What was handed over, in the tree's order.
    pub nodes: Vec<KhoNode>,
}

/// Something that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KhoNode {
    /// Who knows what it is, such as `LUO`.
    pub name: String,
    /// Address of its first byte.
    pub data: PhysAddr,
    /// How many bytes it has.
    pub size: u64,
}

/// KHO's device tree could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("KHO's device tree at {addr}: {kind}")]
#[non_exhaustive]
pub struct TreeError {
    /// Where the tree was to be.
    pub addr: PhysAddr,
    /// What is wrong with it.
    pub kind: TreeErrorKind,
}

/// What is wrong with a device tree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TreeErrorKind {
    /// The memory does not have all of it.
    #[error("{0}")]
    Unreadable(ReadErrorKind),
    /// It does not begin as a device tree does.
    #[error("not a device tree")]
    NotATree,
    /// Its header says that it is longer than a page, which is the most the kernel makes.
    #[error("the header says it has {len} bytes, and a page is the most the kernel makes")]
    TooLarge {
        /// The length in the header.
        len: u32,
    },
    /// It is not built as a device tree is.
    #[error("{0}")]
    Malformed(dtoolkit::error::FdtParseError),
    /// Its root is not compatible with `kho-v4`, which this crate knows.
    #[error(
        "its root is compatible with {}, where this crate knows \"{KHO_COMPATIBLE}\"",
        match found {
            Some(found) => format!("{found:?}"),
            None => "nothing".to_owned(),
        }
    )]
    Incompatible {
        /// What it is compatible with, if it says so.
        found: Option<String>,
    },
    /// A property that every such node has is missing.
    #[error("the node /{node} has no {property:?}")]
    Missing {
        /// Name of the node, empty for the root.
        node: String,
        /// Name of the property.
        property: &'static str,
    },
    /// A property that is a number of 8 bytes has another length.
    #[error("{property:?} of the node /{node} has {len} bytes, not 8")]
    NotANumber {
        /// Name of the node, empty for the root.
        node: String,
        /// Name of the property.
        property: &'static str,
        /// How many bytes it has.
        len: usize,
    },
    /// Two nodes have one name.
    #[error("two nodes are /{node}")]
    Duplicate {
        /// The name.
        node: String,
    },
    /// The address of its map of preserved memory is null. The kernel ignores such a tree.
    #[error("its {MEMORY_MAP_PROPERTY:?} is null")]
    NoMemoryMap,
    /// Nothing of this name was handed over.
    #[error("nothing was handed over as {LUO_NODE:?}")]
    NoLuo,
    /// What was handed over as LUO's root is smaller than a root.
    #[error("what was handed over as {LUO_NODE:?} has {size} bytes, too few for LUO's root")]
    LuoTooSmall {
        /// How many bytes it has.
        size: u64,
    },
}

/// What a device tree begins with.
const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];

/// The largest page there is. The kernel makes the tree one page at most, in any system.
const MAX_PAGE: usize = 64 << 10;

impl KhoTree {
    /// Reads the tree at `addr`, which is one page of `memory` at most: two reads.
    ///
    /// # Errors
    /// There is no tree of KHO's, or not a version of it that this crate knows.
    pub fn read(memory: &impl ReadMemory, addr: PhysAddr) -> Result<Self, TreeError> {
        Self::read_kind(memory, addr).map_err(|kind| TreeError { addr, kind })
    }

    fn read_kind<M: ReadMemory>(memory: &M, addr: PhysAddr) -> Result<Self, TreeErrorKind> {
        let read = |buf: &mut [u8]| {
            memory.read(addr, buf).map_err(|read| TreeErrorKind::Unreadable(read.kind))
        };
        let mut start = [0; 8];
        read(&mut start)?;
        let mut bytes = vec![0; total_len(&start, M::BLOCK_SIZE)?];
        read(&mut bytes)?;
        Self::parse(&bytes)
    }

    /// Reads the tree in these bytes. What follows the tree is ignored. Takes a time in proportion
    /// to the length of the tree, which is at most 64 KiB, the largest page there is.
    ///
    /// # Errors
    /// They are no tree of KHO's, or not a version of it that this crate knows.
    pub fn parse(bytes: &[u8]) -> Result<Self, TreeErrorKind> {
        let (start, _) = bytes.split_first_chunk::<8>().ok_or(TreeErrorKind::NotATree)?;
        let len = total_len(start, MAX_PAGE)?;
        // If there are too few bytes, the parser says so.
        let tree = Fdt::new(bytes.get(..len).unwrap_or(bytes)).map_err(TreeErrorKind::Malformed)?;
        let root = tree.root();
        let compatible = root.property("compatible").map(|property| property.value().to_vec());
        let names = compatible.as_deref().unwrap_or_default().split(|byte| *byte == 0);
        if !names.clone().any(|name| name == KHO_COMPATIBLE.as_bytes()) {
            let names =
                |value: Vec<u8>| String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned();
            return Err(TreeErrorKind::Incompatible { found: compatible.map(names) });
        }
        let memory_map = PhysAddr::new(number(&root, MEMORY_MAP_PROPERTY)?);
        let mut nodes: Vec<KhoNode> = Vec::new();
        let mut names = HashSet::new();
        for node in root.children() {
            let name = node.name();
            if !names.insert(name) {
                return Err(TreeErrorKind::Duplicate { node: name.to_owned() });
            }
            let data = PhysAddr::new(number(&node, DATA_PROPERTY)?);
            let size = number(&node, SIZE_PROPERTY)?;
            nodes.push(KhoNode { name: name.to_owned(), data, size });
        }
        Ok(Self { memory_map, nodes })
    }

    /// What was handed over under a name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&KhoNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The address of [`LuoRoot`].
    ///
    /// # Errors
    /// LUO handed nothing over, or less than a root.
    pub fn luo(&self) -> Result<PhysAddr, TreeErrorKind> {
        let node = self.node(LUO_NODE).ok_or(TreeErrorKind::NoLuo)?;
        if node.size < size_of::<LuoRoot>() as u64 {
            return Err(TreeErrorKind::LuoTooSmall { size: node.size });
        }
        Ok(node.data)
    }

    /// Looks for trees of KHO's on every page of `memory` in `range`: what begins as a device tree
    /// and is one of KHO's comes out. Pages that can't be read are passed over.
    ///
    /// There may be several: the tree that a kernel came up with is still there while it writes
    /// its own, and pages that were freed keep what was in them. The highest
    /// [`liveupdate_num`](LuoRoot::liveupdate_num) is the latest. Nothing tells a tree that the kernel
    /// wrote from one that somebody else did.
    ///
    /// Costs one read for each page there is, and a second one of at most a page where it begins as a
    /// device tree. What there is, the memory says by
    /// [`next_readable`](ReadMemory::next_readable): in an [`DumpMemory`](kho_block::DumpMemory)
    /// the range may be all addresses, however far apart its pieces are.
    ///
    /// ```
    /// use kho_block::DumpMemory;
    /// use kho_luo::KhoTree;
    ///
    /// let image = DumpMemory::new(); // of all RAM
    /// for (addr, tree) in KhoTree::scan(&image, 0..u64::MAX) {
    ///     println!("{addr}: {} nodes", tree.nodes.len());
    /// }
    /// ```
    pub fn scan<M: ReadMemory>(
        memory: &M,
        range: Range<u64>,
    ) -> impl Iterator<Item = (PhysAddr, Self)> {
        trees(memory, range).filter_map(|(addr, tree)| Some((addr, tree.ok()?)))
    }
}

/// What is at each page of `memory` in `range` that may be readable: a tree, or why it is none.
pub(crate) fn trees<M: ReadMemory>(
    memory: &M,
    range: Range<u64>,
) -> impl Iterator<Item = (PhysAddr, Result<KhoTree, TreeErrorKind>)> {
    let page = M::BLOCK_SIZE as u64;
    let mut next = Some(range.start);
    core::iter::from_fn(move || {
        let mut from = next?.checked_next_multiple_of(page)?;
        // To the first page whose first byte may be there.
        loop {
            if from >= range.end {
                return None;
            }
            let readable = memory.next_readable(PhysAddr::new(from))?.get();
            if readable <= from {
                break;
            }
            from = readable.checked_next_multiple_of(page)?;
        }
        next = from.checked_add(1);
        let addr = PhysAddr::new(from);
        Some((addr, KhoTree::read_kind(memory, addr)))
    })
}

/// The length of the tree that begins so: a magic number and the length, both big-endian.
fn total_len(start: &[u8; 8], max: usize) -> Result<usize, TreeErrorKind> {
    let [magic @ .., a, b, c, d] = *start;
    if magic != MAGIC {
        return Err(TreeErrorKind::NotATree);
    }
    let len = u32::from_be_bytes([a, b, c, d]);
    usize::try_from(len).ok().filter(|len| *len <= max).ok_or(TreeErrorKind::TooLarge { len })
}

/// A property of 8 bytes, in the byte order of the machine.
fn number(node: &FdtNode<'_>, property: &'static str) -> Result<u64, TreeErrorKind> {
    let name = || node.name().to_owned();
    let value =
        node.property(property).ok_or_else(|| TreeErrorKind::Missing { node: name(), property })?;
    let value = value.value();
    let bytes = value.try_into().map_err(|_| TreeErrorKind::NotANumber {
        node: name(),
        property,
        len: value.len(),
    })?;
    Ok(u64::from_ne_bytes(bytes))
}
