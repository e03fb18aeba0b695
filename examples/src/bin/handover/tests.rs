//! Flips every bit of the headers and many of the entries, and crosses in both ways, without the
//! `exec`.

use std::os::fd::OwnedFd;

use kho_block::{MemfdMemory, SealedMemfd, SetHead};
use kho_examples::entries::Missed;
use kho_examples::live::{LiveFile, LiveMapping, LiveProcess};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{pread, pwrite};

use crate::corrupt::{Block, Flip, all_blocks};
use crate::entries::{Generation, Snapshot, Synthetic};
use crate::jump::{Inherited, claim_memory};
use crate::predecessor::{Reserved, Source};
use crate::successor::Restored;
use crate::verify::verify;

/// Processes with one block of files and up to three of mappings. Two are forks of each other, whose
/// blocks hold the same bytes.
fn source() -> Source {
    let process = |pid, mappings: u64| LiveProcess {
        pid,
        parent: 1,
        start_time: 7,
        resident_bytes: 1 << 20,
        virtual_bytes: 1 << 30,
        state: 'S',
        name: "forked".into(),
        files: vec![LiveFile { number: 2, flags: 0o2, position: 9, target: "/dev/tty".into() }],
        mappings: (0..mappings)
            .map(|i| LiveMapping {
                start: i << 12,
                end: (i + 1) << 12,
                offset: 0,
                inode: 0,
                permissions: "rw-p".into(),
                device: "00:00".into(),
                path: "[heap]".into(),
            })
            .collect(),
    };
    let processes = vec![process(1, 0), process(20, 70), process(21, 70), process(22, 31)];
    Source { processes, missed: Missed::default(), synthetic_count: 300 }
}

/// The bytes of the file that is handed over, its root, and the blocks in it.
struct Frozen {
    bytes: Vec<u8>,
    root: SetHead<Snapshot>,
    blocks: Vec<Block>,
}

fn freeze() -> Frozen {
    let memory = MemfdMemory::new("test").unwrap();
    let source = source();
    let reserved = Reserved::new(&memory, &source).unwrap();
    let root = reserved.freeze(&source, source.snapshot()).unwrap();
    let blocks = all_blocks(&memory, root).unwrap();
    assert_eq!(memory.usage().preserved, blocks.len(), "a block is lost");
    let fd = memory.into_fd();
    let mut bytes = vec![0; usize::try_from(rustix::fs::fstat(&fd).unwrap().st_size).unwrap()];
    assert_eq!(pread(&fd, &mut bytes, 0), Ok(bytes.len()));
    Frozen { bytes, root, blocks }
}

impl Frozen {
    /// Creates a file with these bytes.
    fn file(&self) -> OwnedFd {
        let fd = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        assert_eq!(pwrite(&fd, &self.bytes, 0), Ok(self.bytes.len()));
        fd
    }
}

fn view(fd: OwnedFd, root: SetHead<Snapshot>) -> anyhow::Result<()> {
    fcntl_add_seals(&fd, SealFlags::WRITE | SealFlags::SHRINK)?;
    let memory = SealedMemfd::open(fd)?;
    verify(&Restored::restore(&memory, root)?).map(drop)
}

fn claim(fd: OwnedFd, root: SetHead<Snapshot>) -> anyhow::Result<()> {
    let memory = claim_memory(Inherited::of_test(fd))?;
    verify(&Restored::restore(&memory, root)?).map(drop)
}

#[test]
fn sound_blocks_are_verified() {
    let frozen = freeze();
    view(frozen.file(), frozen.root).unwrap();
    claim(frozen.file(), frozen.root).unwrap();
}

#[test]
fn every_flip_in_a_header_is_noticed() {
    let frozen = freeze();
    assert!(frozen.blocks.len() >= 15, "too few blocks to be a test");
    for block in &frozen.blocks {
        for bit in 0..Flip::HEADER_BITS {
            is_noticed(&frozen, Flip { block: block.addr, bit });
        }
    }
}

/// Flips every bit of the root, and in other entries every 61st, which reaches all fields and also the
/// bytes after the end of a text.
#[test]
fn flips_in_entries_are_noticed() {
    let frozen = freeze();
    for block in &frozen.blocks {
        let is_root = block.addr == frozen.root.addr();
        let bits = Flip::HEADER_BITS..Flip::HEADER_BITS + block.entry_bytes * 8;
        for bit in bits.step_by(if is_root { 1 } else { 61 }) {
            is_noticed(&frozen, Flip { block: block.addr, bit });
        }
    }
}

/// Only bytes that count are flipped, in headers and in entries.
#[test]
fn seeds_lead_to_headers_and_entries() {
    let blocks = freeze().blocks;
    let mut in_headers = 0;
    for seed in 0..1000 {
        let flip = Flip::from_seed(&blocks, seed);
        let block = blocks.iter().find(|block| block.addr == flip.block).unwrap();
        assert!(flip.bit < Flip::HEADER_BITS + block.entry_bytes * 8, "{flip}");
        let in_header = flip.bit < Flip::HEADER_BITS;
        assert_eq!(flip.to_string().contains("header"), in_header);
        in_headers += usize::from(in_header);
    }
    assert!((400..600).contains(&in_headers), "{in_headers}");
}

#[track_caller]
fn is_noticed(frozen: &Frozen, flip: Flip) {
    for (way, restore) in [("view", view as fn(_, _) -> _), ("claim", claim)] {
        let fd = frozen.file();
        flip.apply(&fd).unwrap();
        let error: anyhow::Error =
            restore(fd, frozen.root).expect_err(&format!("{way} missed {flip}"));
        let message = format!("{error:#}");
        assert!(message.contains("block") || message.contains("digest"), "{message}");
    }
}

/// Flips of `next` reach few blocks. This points every link to every block.
#[test]
fn every_link_to_another_block_is_noticed() {
    let frozen = freeze();
    let targets = || frozen.blocks.iter().map(|block| block.addr.get()).chain([0]);
    for &Block { addr: block, .. } in &frozen.blocks {
        for target in targets() {
            let fd = frozen.file();
            let mut next = [0; 8];
            pread(&fd, &mut next, block.get()).unwrap();
            if next == target.to_ne_bytes() {
                continue;
            }
            pwrite(&fd, &target.to_ne_bytes(), block.get()).unwrap();
            assert!(view(fd, frozen.root).is_err(), "missed a link from {block} to {target:#x}");
        }
    }
}

#[test]
fn a_wrong_entry_is_noticed() {
    let frozen = freeze();
    let memory = claim_memory(Inherited::of_test(frozen.file())).unwrap();
    let mut restored = Restored::restore(&memory, frozen.root).unwrap();

    restored.synthetic[123] = Synthetic::new(124);
    let message = format!("{:#}", verify(&restored).unwrap_err());
    let addr = restored.synthetic.addr_of(123).unwrap();
    assert!(message.contains("digest") && message.contains(&addr.to_string()), "{message}");
    restored.synthetic[123] = Synthetic::new(123);
    verify(&restored).unwrap();

    restored.nested[2].1[69].path[1] = b'H';
    let message = format!("{:#}", verify(&restored).unwrap_err());
    assert!(message.contains("the digest of the processes"), "{message}");
    restored.nested[2].1[69].path[1] = 0xff;
    let message = format!("{:#}", verify(&restored).unwrap_err());
    assert!(message.contains("process 21 (forked): text is not UTF-8"), "{message}");
}

#[test]
fn handing_over_again_loses_nothing() {
    let frozen = freeze();
    let memory = claim_memory(Inherited::of_test(frozen.file())).unwrap();
    let mut restored = Restored::restore(&memory, frozen.root).unwrap();
    memory.free_preserved();
    let generation = Generation { number: 1, pid: 1, entered: 1, claimed: 1, left: 1, entries: 0 };
    restored.generations.push(generation).unwrap();
    let before = memory.usage();
    assert_eq!(before.owned, frozen.blocks.len() + 1);
    let root = restored.hand_over().unwrap();
    assert_eq!((memory.usage().owned, memory.usage().preserved), (0, before.owned));

    let restored = Restored::restore(&memory, root).unwrap();
    assert_eq!(restored.generations.len(), 1);
    drop(restored);
    assert_eq!((memory.usage().owned, memory.usage().preserved), (0, 0));
}
