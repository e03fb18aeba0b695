//! Captures of real state, memory that tests can change, and device trees.

use std::cell::Cell;
use std::collections::BTreeMap;

use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use kho_block::{DumpMemory, PhysAddr, ReadError, ReadMemory};
use kho_luo::{FileState, LuoState, StateError, write_flbs};
use serde_json::Value;

pub(crate) const PAGE: usize = 4096;

/// A memory of pages that tests can change.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) pages: BTreeMap<u64, Vec<u8>>,
    pub(crate) root: u64,
}

impl World {
    pub(crate) fn dump(&self) -> DumpMemory<'_> {
        let mut dump = DumpMemory::new();
        for (addr, page) in &self.pages {
            dump.insert(PhysAddr::new(*addr), page).unwrap();
        }
        dump
    }

    pub(crate) fn read(&self) -> Result<LuoState, StateError> {
        LuoState::read(&self.dump(), PhysAddr::new(self.root))
    }

    pub(crate) fn inspect(&self) -> Result<(LuoState, Vec<StateError>), StateError> {
        inspect(&self.dump(), self.root)
    }

    pub(crate) fn put(&mut self, addr: u64, bytes: &[u8]) {
        let page = self.pages.get_mut(&(addr / PAGE as u64 * PAGE as u64)).expect("a page");
        page[addr as usize % PAGE..][..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn put_u64(&mut self, addr: u64, value: u64) {
        self.put(addr, &value.to_ne_bytes());
    }
}

/// Inspects the state whose root is at `root`, and returns what could be read and the faults.
pub(crate) fn inspect<M: ReadMemory>(
    memory: &M,
    root: u64,
) -> Result<(LuoState, Vec<StateError>), StateError> {
    let inspection = LuoState::inspect(memory, PhysAddr::new(root))?;
    Ok((inspection.state, inspection.faults))
}

/// Makes the page of a block with these entries.
pub(crate) fn block(next: u64, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    page[..8].copy_from_slice(&next.to_ne_bytes());
    page[8..16].copy_from_slice(&(entries.len() as u64).to_ne_bytes());
    let mut at = 16;
    for entry in entries {
        page[at..at + entry.len()].copy_from_slice(entry);
        at += entry.len();
    }
    page
}

/// Makes the entry of a session.
pub(crate) fn session(name: &str, files: u64, count: u64) -> Vec<u8> {
    let mut entry = vec![0; 80];
    entry[..name.len()].copy_from_slice(name.as_bytes());
    entry[64..72].copy_from_slice(&files.to_ne_bytes());
    entry[72..].copy_from_slice(&count.to_ne_bytes());
    entry
}

/// Makes the entry of a file.
pub(crate) fn file(name: &[u8], token: u64) -> Vec<u8> {
    let mut entry = vec![0; 64];
    entry[..name.len()].copy_from_slice(name);
    entry[56..].copy_from_slice(&token.to_ne_bytes());
    entry
}

/// A memory that counts reads and bytes read.
pub(crate) struct Counting<M> {
    pub(crate) memory: M,
    pub(crate) reads: Cell<usize>,
    pub(crate) bytes: Cell<usize>,
}

impl<M> Counting<M> {
    pub(crate) fn new(memory: M) -> Self {
        Self { memory, reads: Cell::new(0), bytes: Cell::new(0) }
    }
}

impl<M: ReadMemory> ReadMemory for Counting<M> {
    const BLOCK_SIZE: usize = M::BLOCK_SIZE;

    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.reads.set(self.reads.get() + 1);
        self.bytes.set(self.bytes.get() + buf.len());
        self.memory.read(addr, buf)
    }

    fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
        self.memory.next_readable(addr)
    }
}

/// A capture, and the JSON that describes it.
pub(crate) struct Capture {
    pub(crate) world: World,
    pub(crate) said: Value,
}

/// Returns the captures of `kho-block`, taken from Linux 7.2.13 at the moment of handover.
///
/// There were no global objects, and their page was not captured. A page without objects is added.
pub(crate) fn captures() -> [Capture; 2] {
    [
        capture(
            include_bytes!("../../../kho-block/tests/data/block-boundaries.pages"),
            include_str!("../../../kho-block/tests/data/block-boundaries.json"),
        ),
        capture(
            include_bytes!("../../../kho-block/tests/data/sessions-100-files-328.pages"),
            include_str!("../../../kho-block/tests/data/sessions-100-files-328.json"),
        ),
    ]
}

fn capture(pages: &[u8], json: &str) -> Capture {
    let record = |record: &[u8]| {
        let (addr, page) = record.split_first_chunk().unwrap();
        (u64::from_le_bytes(*addr), page.to_vec())
    };
    let said: Value = serde_json::from_str(json).unwrap();
    let mut pages: BTreeMap<_, _> = pages.chunks_exact(8 + PAGE).map(record).collect();
    let mut flbs = vec![0; PAGE];
    write_flbs(&mut flbs, PAGE, &[]).unwrap();
    assert!(pages.insert(number(&said["flbs_pa"]), flbs).is_none());
    Capture { world: World { pages, root: number(&said["luo_pa"]) }, said }
}

impl Capture {
    /// Returns the files of session `index` according to the JSON.
    pub(crate) fn files(&self, index: usize) -> Vec<FileState> {
        let file = |said: &Value| {
            let compatible = said["compatible"].as_str().unwrap().try_into().unwrap();
            kho_luo::LuoFile::new(compatible, number(&said["data"]), number(&said["token"]))
        };
        let state = |file: kho_luo::LuoFile| FileState::try_from(file).unwrap();
        list(&self.said["sessions"][index]["files"]).iter().map(file).map(state).collect()
    }
}

#[track_caller]
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[track_caller]
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// Returns the addresses in a list of blocks in the JSON.
pub(crate) fn addrs(blocks: &Value) -> Vec<PhysAddr> {
    list(blocks).iter().map(|block| PhysAddr::new(number(&block["pa"]))).collect()
}

/// Makes a node of KHO's tree from its properties.
pub(crate) fn node(name: &str, properties: &[(&str, &[u8])]) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new(name).unwrap();
    for (name, value) in properties {
        node.add_property(DeviceTreeProperty::new(*name, *value).unwrap());
    }
    node
}

/// Makes the node that KHO writes for some data that is handed over.
pub(crate) fn handed_over(name: &str, data: u64, size: u64) -> DeviceTreeNode {
    node(name, &[("preserved-data", &data.to_ne_bytes()), ("blob-size", &size.to_ne_bytes())])
}

/// Makes a tree whose root node has these properties.
pub(crate) fn tree(properties: &[(&str, &[u8])], nodes: Vec<DeviceTreeNode>) -> Vec<u8> {
    let mut tree = DeviceTree::new();
    for (name, value) in properties {
        tree.root.add_property(DeviceTreeProperty::new(*name, *value).unwrap());
    }
    for node in nodes {
        tree.root.add_child(node);
    }
    tree.to_dtb()
}

/// Makes the tree that KHO writes for a root at `luo`, with a map that was not captured.
pub(crate) fn kho_tree(luo: u64) -> Vec<u8> {
    kho_tree_with_map(luo, 0x1234_5000)
}

/// Makes the tree that KHO writes for a root at `luo` and a map of preserved memory at `map`.
pub(crate) fn kho_tree_with_map(luo: u64, map: u64) -> Vec<u8> {
    tree(
        &[("compatible", b"kho-v4\0"), ("preserved-memory-map", &map.to_ne_bytes())],
        vec![handed_over("kexec-metadata", 0x7000, 76), handed_over("LUO", luo, 32)],
    )
}
