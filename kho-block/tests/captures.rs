//! Two captures of what Linux 7.2.13 handed over: they decode to what the kernel had, and this
//! crate writes the same sessions to the same bytes.
//!
//! A `.pages` file is records of a little-endian address and a page of 4096 bytes; the `.json`
//! beside it says what they hold.
// The captures are from x86-64.
#![cfg(all(target_endian = "little", target_pointer_width = "64"))]

use std::collections::BTreeMap;

use kho_block::bytemuck::{self, Pod, Zeroable};
use kho_block::{
    BlockSet, ChainWalk, DumpMemory, Entry, ForeignSet, PageMemory, PhysAddr, ReadMemory, SetHead,
    SetView,
};
use serde_json::Value;

const PAGE: usize = 4096;

/// C: `struct luo_ser`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Root {
    compatible: [u8; 8],
    liveupdate_num: u64,
    sessions: SetHead<Session>,
    flbs: PhysAddr,
}

/// C: `struct luo_session_ser`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "session", version = 5)]
struct Session {
    #[entry(text)]
    name: [u8; 64],
    files: SetHead<FileEntry>,
    file_count: u64,
}

/// C: `struct luo_file_ser`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "file", version = 5)]
struct FileEntry {
    #[entry(text)]
    compatible: [u8; 48],
    data: u64,
    token: u64,
}

struct Capture {
    pages: BTreeMap<u64, Vec<u8>>,
    said: Value,
}

fn captures() -> [Capture; 2] {
    let capture = |pages: &[u8], json: &str| {
        let records = pages.chunks_exact(8 + PAGE);
        assert!(records.remainder().is_empty());
        let record = |record: &[u8]| {
            let (addr, page) = record.split_first_chunk().unwrap();
            (u64::from_le_bytes(*addr), page.to_vec())
        };
        let said: Value = serde_json::from_str(json).unwrap();
        let pages: BTreeMap<_, _> = records.map(record).collect();
        assert_eq!(pages.len() as u64, number(&said["pages"]));
        Capture { pages, said }
    };
    [
        capture(
            include_bytes!("data/block-boundaries.pages"),
            include_str!("data/block-boundaries.json"),
        ),
        capture(
            include_bytes!("data/sessions-100-files-328.pages"),
            include_str!("data/sessions-100-files-328.json"),
        ),
    ]
}

#[track_caller]
fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[track_caller]
fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// Reads a text field. All bytes after the text are zero.
fn text<const N: usize>(value: &Value) -> [u8; N] {
    let text = value.as_str().unwrap().as_bytes();
    let mut field = [0; N];
    field[..text.len()].copy_from_slice(text);
    field
}

impl Capture {
    fn image(&self) -> DumpMemory<'_> {
        let mut image = DumpMemory::new();
        for (addr, page) in &self.pages {
            image.insert(PhysAddr::new(*addr), page).unwrap();
        }
        image
    }

    fn root(&self) -> Root {
        let page = &self.pages[&number(&self.said["luo_pa"])];
        bytemuck::pod_read_unaligned(&page[..size_of::<Root>()])
    }

    fn sessions(&self) -> Vec<Session> {
        let session = |said: &Value| Session {
            name: text(&said["name"]),
            files: SetHead::new(PhysAddr::new(number(&said["files_pa"]))),
            file_count: number(&said["count"]),
        };
        list(&self.said["sessions"]).iter().map(session).collect()
    }

    /// Returns the files of session `index`.
    fn files(&self, index: usize) -> Vec<FileEntry> {
        let file = |said: &Value| FileEntry {
            compatible: text(&said["compatible"]),
            data: number(&said["data"]),
            token: number(&said["token"]),
        };
        list(&self.said["sessions"][index]["files"]).iter().map(file).collect()
    }

    /// Returns the addresses of the blocks that a list in the JSON names.
    fn addrs(blocks: &Value) -> Vec<u64> {
        list(blocks).iter().map(|block| number(&block["pa"])).collect()
    }
}

/// Checks a set's blocks as `ChainWalk` sees them against a list in the JSON.
fn assert_blocks<T: Entry>(memory: &impl ReadMemory, head: SetHead<T>, said: &Value) {
    let said = list(said).iter().map(|block| ["pa", "count", "next"].map(|k| number(&block[k])));
    let seen = ChainWalk::new(memory, head.addr(), size_of::<T>())
        .map(|link| link.unwrap())
        .map(|link| [link.addr.get(), link.count as u64, link.next.get()]);
    assert!(seen.eq(said));
}

/// Checks all sessions, read by `sessions`, and all their files, read by `files`.
fn assert_decodes(
    capture: &Capture,
    memory: &impl ReadMemory,
    sessions: impl Fn(SetHead<Session>) -> Vec<Session>,
    files: impl Fn(SetHead<FileEntry>) -> Vec<FileEntry>,
) {
    let head = capture.root().sessions;
    assert_blocks(memory, head, &capture.said["session_blocks"]);
    let decoded = sessions(head);
    assert_eq!(decoded, capture.sessions());
    for (index, session) in decoded.iter().enumerate() {
        assert_blocks(memory, session.files, &capture.said["sessions"][index]["file_blocks"]);
        let decoded = files(session.files);
        assert_eq!(decoded, capture.files(index));
        assert_eq!(decoded.len() as u64, session.file_count);
    }
}

#[test]
fn roots_are_what_was_said() {
    for capture in captures() {
        let root = capture.root();
        assert_eq!(root.compatible, text(&capture.said["compatible"]));
        assert_eq!(root.liveupdate_num, number(&capture.said["liveupdate_num"]));
        assert_eq!(root.sessions.addr().get(), number(&capture.said["sessions_pa"]));
        assert_eq!(root.flbs.get(), number(&capture.said["flbs_pa"]));
    }
}

#[test]
fn copied_out() {
    for capture in captures() {
        let image = capture.image();
        assert_decodes(
            &capture,
            &image,
            |head| {
                let set = ForeignSet::restore(&image, head).unwrap();
                let blocks: Vec<_> = set.blocks().iter().map(|addr| addr.get()).collect();
                assert_eq!(blocks, Capture::addrs(&capture.said["session_blocks"]));
                set.iter().map(Result::unwrap).collect()
            },
            |head| ForeignSet::restore(&image, head).unwrap().iter().map(Result::unwrap).collect(),
        );
    }
}

#[test]
fn viewed_in_place() {
    for capture in captures() {
        let image = capture.image();
        assert_decodes(
            &capture,
            &image,
            |head| SetView::restore(&image, head).unwrap().iter().copied().collect(),
            |head| SetView::restore(&image, head).unwrap().iter().copied().collect(),
        );
    }
}

/// A page, aligned as blocks are.
#[repr(C, align(16))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Page([u8; PAGE]);

#[test]
fn claimed() {
    for capture in captures() {
        let mut pages: Vec<Page> =
            capture.pages.values().map(|bytes| bytemuck::pod_read_unaligned(bytes)).collect();
        let memory = PageMemory::new();
        for (addr, page) in capture.pages.keys().zip(&mut pages) {
            memory.add_preserved(PhysAddr::new(*addr), &mut page.0).unwrap();
        }
        assert_decodes(
            &capture,
            &memory,
            |head| {
                let set = BlockSet::restore(&memory, head).unwrap();
                assert_eq!(memory.usage().owned, set.block_count());
                let sessions = set.iter().copied().collect();
                assert!(set.hand_over() == head);
                sessions
            },
            |head| {
                let set = BlockSet::restore(&memory, head).unwrap();
                assert_eq!(memory.usage().owned, set.block_count());
                let files = set.iter().copied().collect();
                assert!(set.hand_over() == head);
                files
            },
        );
        assert_eq!(memory.usage().preserved, capture.pages.len());
        for (addr, page) in &capture.pages {
            let mut bytes = vec![0; PAGE];
            memory.read(PhysAddr::new(*addr), &mut bytes).unwrap();
            assert!(bytes == *page, "the page at {addr:#x} changed");
        }
    }
}

/// Writes the sets that the JSON describes into a memory whose pages come in the order in which the
/// kernel allocated them.
fn write_again(capture: &Capture, memory: &PageMemory<'_>) -> SetHead<Session> {
    let mut sessions = capture.sessions();
    for (index, session) in sessions.iter_mut().enumerate() {
        let said = &capture.said["sessions"][index];
        let files = capture.files(index);
        let mut set = BlockSet::new_in(memory);
        // Each session is written in a different way.
        match index % 3 {
            0 => files.iter().for_each(|file| set.push(*file).unwrap()),
            1 => set.writer().extend_from_slice(&files).unwrap(),
            _ => {
                set.try_reserve(files.len()).unwrap();
                let mut writer = set.writer();
                files.iter().for_each(|file| writer.push_within_capacity(*file).unwrap());
            }
        }
        session.files = set.hand_over();
        assert_eq!(session.files.addr().get(), number(&said["files_pa"]));
    }
    let mut set = BlockSet::new_in(memory);
    let mut writer = set.writer();
    sessions.iter().for_each(|session| writer.push(*session).unwrap());
    drop(writer);
    set.hand_over()
}

#[test]
fn written_again_the_same_bytes() {
    for capture in captures() {
        // In the order in which the kernel allocated them.
        let files = list(&capture.said["sessions"]).iter().map(|said| &said["file_blocks"]);
        let addrs: Vec<u64> =
            files.chain([&capture.said["session_blocks"]]).flat_map(Capture::addrs).collect();
        let mut written = vec![Page::zeroed(); addrs.len()];
        let memory = PageMemory::new();
        for (addr, page) in addrs.iter().zip(&mut written) {
            memory.add_free(PhysAddr::new(*addr), &mut page.0).unwrap();
        }
        assert!(write_again(&capture, &memory) == capture.root().sessions);
        assert_eq!(memory.usage().preserved, addrs.len());
        drop(memory);
        // Everything that was captured except the root.
        assert_eq!(addrs.len(), capture.pages.len() - 1);
        for (addr, page) in addrs.iter().zip(&written) {
            assert!(page.0 == *capture.pages[addr], "the page at {addr:#x} differs");
        }
    }
}

/// Checks known numbers of the captures without the JSON.
#[test]
fn known_numbers() {
    let counts = captures().map(|capture| {
        let image = capture.image();
        let sessions = SetView::restore(&image, capture.root().sessions).unwrap();
        let files: u64 = sessions.iter().map(|session| session.file_count).sum();
        let longest = sessions.iter().map(|session| session.file_count).max();
        (capture.pages.len(), sessions.len(), sessions.block_count(), files, longest)
    });
    assert_eq!(counts, [(58, 52, 2, 488, Some(127)), (85, 100, 2, 328, Some(130))]);
}
