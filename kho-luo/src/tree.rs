//! KHO's device tree, which holds the addresses of everything that was handed over.

use core::ops::Range;
use std::collections::HashSet;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};
use kho_block::{PhysAddr, ReadErrorKind, ReadMemory};
use thiserror::Error;

use crate::abi::{
    DATA_PROPERTY, KHO_COMPATIBLE, LUO_NODE, LuoRoot, MEMORY_MAP_PROPERTY, SIZE_PROPERTY,
};
use crate::report::readable_debug;

/// KHO's device tree: the names and addresses of everything that was handed over.
///
/// Unlike in other device trees, numbers are in the byte order of the machine.
///
/// A running kernel with debugfs shows the tree it prepares for its successor in
/// `/sys/kernel/debug/kho/out/fdt`, and the tree it was started with in
/// `/sys/kernel/debug/kho/in/fdt`. [`parse`](Self::parse) reads both. In a dump of memory,
/// [`scan`](Self::scan) finds the trees.
///
/// ```
/// use kho_block::{DumpMemory, PhysAddr};
/// use kho_luo::KhoTree;
///
/// # let dump = DumpMemory::new();
/// # fn show(dump: &DumpMemory) -> Result<(), kho_luo::KhoTreeError> {
/// let tree = KhoTree::read(dump, PhysAddr::new(0x69_5000))?;
/// for node in &tree.nodes {
///     println!("{}: {} bytes at {}", node.name, node.size, node.data);
/// }
/// # Ok(())
/// # }
/// # assert!(show(&dump).is_err());
/// ```
///
/// # References
///
/// - Linux 7.2: `include/linux/kho/abi/kexec_handover.h`
/// - [Devicetree Specification](https://www.devicetree.org/specifications/), chapter 5
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KhoTree {
    /// The address of the map of preserved memory. See [`PreservedMap`](crate::PreservedMap).
    pub preserved_map: PhysAddr,
    /// The nodes, in the order of the tree.
    pub nodes: Vec<KhoNode>,
}

/// A node of KHO's device tree: the place of some data that was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KhoNode {
    /// The name of the kernel's subsystem that reads the data, such as `LUO`.
    pub name: String,
    /// The address of the data.
    pub data: PhysAddr,
    /// The size of the data in bytes.
    pub size: u64,
}

/// The error of reading KHO's device tree.
#[derive(Clone, PartialEq, Eq, Hash, Error)]
#[error("KHO's device tree at {addr}: {kind}")]
#[non_exhaustive]
pub struct KhoTreeError {
    /// The address at which the tree was expected.
    pub addr: PhysAddr,
    /// What is wrong with the tree.
    pub kind: KhoTreeErrorKind,
}

/// What is wrong with KHO's device tree.
#[derive(Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum KhoTreeErrorKind {
    /// Not all of the tree can be read.
    #[error("{0}")]
    Unreadable(ReadErrorKind),
    /// The bytes do not start like a device tree.
    #[error("not a device tree")]
    NotATree,
    /// The length in the header is more than a page, which is the most that the kernel writes.
    #[error("its header gives a length of {len} bytes, but the kernel writes at most a page")]
    TooLarge {
        /// The length in the header, in bytes.
        len: u32,
    },
    /// The bytes start like a device tree, but can't be parsed as one.
    #[error("malformed device tree: {reason}")]
    Malformed {
        /// The message of the parser.
        reason: String,
    },
    /// The root node is not compatible with `kho-v4`, the supported version.
    #[error(
        "its root is compatible with {}, but this crate supports \"{KHO_COMPATIBLE}\"",
        match found {
            Some(found) => format!("{found:?}"),
            None => "nothing".to_owned(),
        }
    )]
    Incompatible {
        /// The root node's `compatible` property, if there is one.
        found: Option<String>,
    },
    /// A node lacks a property that it must have.
    #[error("the node /{node} has no {property:?}")]
    Missing {
        /// The name of the node, empty for the root.
        node: String,
        /// The name of the property.
        property: &'static str,
    },
    /// A property that holds a number is not 8 bytes long.
    #[error("{property:?} of the node /{node} has {len} bytes, not 8")]
    NotANumber {
        /// The name of the node, empty for the root.
        node: String,
        /// The name of the property.
        property: &'static str,
        /// The length of the property in bytes.
        len: usize,
    },
    /// Two nodes have the same name.
    #[error("two nodes are named /{node}")]
    Duplicate {
        /// The name of both nodes.
        node: String,
    },
    /// The address of the map of preserved memory is null. The kernel ignores such a tree.
    #[error("its {MEMORY_MAP_PROPERTY:?} is null")]
    NoPreservedMap,
    /// The tree has no node for LUO: LUO handed nothing over.
    #[error("it has no node {LUO_NODE:?}: LUO handed nothing over")]
    NoLuo,
    /// The data of LUO's node is smaller than LUO's root.
    #[error("the data of its node {LUO_NODE:?} has {size} bytes, too few for LUO's root")]
    LuoTooSmall {
        /// The size of the data in bytes.
        size: u64,
    },
}

readable_debug!(KhoTreeError, KhoTreeErrorKind);

/// The first bytes of every device tree.
const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];

/// The largest page of any machine. The kernel writes a tree of at most one page.
const MAX_PAGE: usize = 64 << 10;

impl KhoTree {
    /// Reads the tree at `addr`.
    ///
    /// This takes two reads of `memory`, together at most 8 bytes and a page.
    ///
    /// # Errors
    /// Returns an error if there is no KHO device tree at `addr`, or its version is not supported.
    pub fn read(memory: &impl ReadMemory, addr: PhysAddr) -> Result<Self, KhoTreeError> {
        Self::read_kind(memory, addr).map_err(|kind| KhoTreeError { addr, kind })
    }

    fn read_kind<M: ReadMemory>(memory: &M, addr: PhysAddr) -> Result<Self, KhoTreeErrorKind> {
        let read = |buf: &mut [u8]| {
            memory.read(addr, buf).map_err(|read| KhoTreeErrorKind::Unreadable(read.kind))
        };
        let mut start = [0; 8];
        read(&mut start)?;
        let mut bytes = vec![0; total_len(&start, M::BLOCK_SIZE)?];
        read(&mut bytes)?;
        Self::parse(&bytes)
    }

    /// Parses the tree at the start of `bytes`.
    ///
    /// Bytes after the tree are ignored. The time is proportional to the length of the tree, which
    /// is at most 64 KiB, the largest page of any machine.
    ///
    /// ```no_run
    /// use kho_luo::KhoTree;
    ///
    /// let tree = KhoTree::parse(&std::fs::read("/sys/kernel/debug/kho/in/fdt")?)?;
    /// println!("LUO's root is at {}", tree.luo_root_addr()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the bytes are not a KHO device tree, or its version is not supported.
    pub fn parse(bytes: &[u8]) -> Result<Self, KhoTreeErrorKind> {
        let (start, _) = bytes.split_first_chunk::<8>().ok_or(KhoTreeErrorKind::NotATree)?;
        let len = total_len(start, MAX_PAGE)?;
        // If there are too few bytes, the parser reports it.
        let tree = Fdt::new(bytes.get(..len).unwrap_or(bytes))
            .map_err(|error| KhoTreeErrorKind::Malformed { reason: error.to_string() })?;
        let root = tree.root();
        let compatible = root.property("compatible").map(|property| property.value().to_vec());
        let names = compatible.as_deref().unwrap_or_default().split(|byte| *byte == 0);
        if !names.clone().any(|name| name == KHO_COMPATIBLE.as_bytes()) {
            let names =
                |value: Vec<u8>| String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned();
            return Err(KhoTreeErrorKind::Incompatible { found: compatible.map(names) });
        }
        let preserved_map = PhysAddr::new(number(&root, MEMORY_MAP_PROPERTY)?);
        let mut nodes: Vec<KhoNode> = Vec::new();
        let mut names = HashSet::new();
        for node in root.children() {
            let name = node.name();
            if !names.insert(name) {
                return Err(KhoTreeErrorKind::Duplicate { node: name.to_owned() });
            }
            let data = PhysAddr::new(number(&node, DATA_PROPERTY)?);
            let size = number(&node, SIZE_PROPERTY)?;
            nodes.push(KhoNode { name: name.to_owned(), data, size });
        }
        Ok(Self { preserved_map, nodes })
    }

    /// Returns the node with this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&KhoNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Returns the address of [`LuoRoot`], the root of LUO's state.
    ///
    /// # Errors
    /// Returns an error if LUO handed nothing over, or less than a root.
    pub fn luo_root_addr(&self) -> Result<PhysAddr, KhoTreeErrorKind> {
        let node = self.node(LUO_NODE).ok_or(KhoTreeErrorKind::NoLuo)?;
        if node.size < size_of::<LuoRoot>() as u64 {
            return Err(KhoTreeErrorKind::LuoTooSmall { size: node.size });
        }
        Ok(node.data)
    }

    /// Finds KHO's device trees in `range` of `memory`, and returns each with its address.
    ///
    /// A tree begins at the start of a page. Pages that can't be read, and pages that hold
    /// something else, are skipped.
    ///
    /// There may be several trees: the one that a kernel was started with is still there while it
    /// writes its own, and freed pages keep their old contents. The latest is the one whose root
    /// has the highest [`liveupdate_num`](LuoRoot::liveupdate_num). Nothing distinguishes a tree
    /// that the kernel wrote from one that somebody else did.
    ///
    /// # Cost
    ///
    /// One read for each page that exists, and a second one, of at most a page, for each that
    /// starts like a device tree. The memory tells which pages exist, by
    /// [`next_readable`](ReadMemory::next_readable): in a [`DumpMemory`](kho_block::DumpMemory) the
    /// range may be all addresses, however far apart its pieces are.
    ///
    /// ```
    /// use kho_block::DumpMemory;
    /// use kho_luo::KhoTree;
    ///
    /// let dump = DumpMemory::new(); // of all RAM
    /// for (addr, tree) in KhoTree::scan(&dump, 0..u64::MAX) {
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

/// Reads each page of `memory` in `range` that may be readable as a tree. Returns the address of
/// the page, and the tree or why there is none.
pub(crate) fn trees<M: ReadMemory>(
    memory: &M,
    range: Range<u64>,
) -> impl Iterator<Item = (PhysAddr, Result<KhoTree, KhoTreeErrorKind>)> {
    let page = M::BLOCK_SIZE as u64;
    let mut next = Some(range.start);
    core::iter::from_fn(move || {
        let mut from = next?.checked_next_multiple_of(page)?;
        // Go to the first page whose first byte may be readable.
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

/// Returns the length of the tree that starts with these bytes: a magic number and the length, both
/// big-endian.
fn total_len(start: &[u8; 8], max: usize) -> Result<usize, KhoTreeErrorKind> {
    let [magic @ .., a, b, c, d] = *start;
    if magic != MAGIC {
        return Err(KhoTreeErrorKind::NotATree);
    }
    let len = u32::from_be_bytes([a, b, c, d]);
    usize::try_from(len).ok().filter(|len| *len <= max).ok_or(KhoTreeErrorKind::TooLarge { len })
}

/// Returns the value of a property of 8 bytes, which is in the byte order of the machine.
fn number(node: &FdtNode<'_>, property: &'static str) -> Result<u64, KhoTreeErrorKind> {
    let name = || node.name().to_owned();
    let value = node
        .property(property)
        .ok_or_else(|| KhoTreeErrorKind::Missing { node: name(), property })?;
    let value = value.value();
    let bytes = value.try_into().map_err(|_| KhoTreeErrorKind::NotANumber {
        node: name(),
        property,
        len: value.len(),
    })?;
    Ok(u64::from_ne_bytes(bytes))
}
