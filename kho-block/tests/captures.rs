//! Two captures of what Linux 7.2.13 handed over: they decode to what was in the kernel, and what
//! this crate writes of the same sessions is the same, byte for byte.
//!
//! A `.pages` file is records of a little-endian address and a page of 4096 bytes; the `.json`
//! beside it says what they hold.
#![allow(unsafe_code)]
// Tests, on 64 bits.
#![allow(clippy::cast_possible_truncation)]
// The bytes are of x86-64.
#![cfg(all(target_endian = "little", target_pointer_width = "64"))]

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;

use kho_block::bytemuck::{self, Pod, Zeroable};
use kho_block::{
    AllocError, AllocErrorKind, BlockMemory, BlockSet, ChainWalk, ClaimError, ClaimErrorKind,
    ClaimVisitor, DumpMemory, Entry, ForeignSet, PhysAddr, ReadError, ReadErrorKind, ReadMemory,
    SetHead, SetView, claim_each,
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

/// A text field: all behind the text is zero.
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

    /// The files of session `index`.
    fn files(&self, index: usize) -> Vec<FileEntry> {
        let file = |said: &Value| FileEntry {
            compatible: text(&said["compatible"]),
            data: number(&said["data"]),
            token: number(&said["token"]),
        };
        list(&self.said["sessions"][index]["files"]).iter().map(file).collect()
    }

    /// Addresses of the blocks that a list in the JSON names.
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

#[repr(C, align(4096))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Page([u8; PAGE]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Owned,
    Preserved,
}

/// Blocks at addresses that a test chooses: those of a capture.
///
/// # Invariants
/// Every pointer in `pages` came out of a box that it still stands for; pages are never removed
/// before the memory goes.
#[derive(Default)]
struct Placed {
    pages: RefCell<BTreeMap<u64, (NonNull<Page>, State)>>,
    /// The addresses that come next out of `allocate`.
    next: RefCell<VecDeque<u64>>,
}

impl Placed {
    fn preserving(pages: &BTreeMap<u64, Vec<u8>>) -> Self {
        let place = |(addr, bytes): (&u64, &Vec<u8>)| {
            let page: Box<Page> = Box::new(bytemuck::pod_read_unaligned(bytes));
            (*addr, (NonNull::from(Box::leak(page)), State::Preserved))
        };
        Self { pages: RefCell::new(pages.iter().map(place).collect()), next: RefCell::default() }
    }

    fn count(&self, state: State) -> usize {
        self.pages.borrow().values().filter(|page| page.1 == state).count()
    }

    fn set_state(&self, block: NonNull<u8>, from: State, to: State) {
        let mut pages = self.pages.borrow_mut();
        let page = pages.values_mut().find(|page| page.0.cast() == block).unwrap();
        assert_eq!(page.1, from);
        page.1 = to;
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        for (page, _) in self.pages.get_mut().values() {
            // SAFETY: the pointer came out of a box (the type's invariant), once; no set is left,
            // for sets borrow the memory.
            drop(unsafe { Box::from_raw(page.as_ptr()) });
        }
    }
}

impl ReadMemory for Placed {
    fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let error = |kind| Err(ReadError::new(addr, kind));
        let offset = addr.get() as usize % PAGE;
        let pages = self.pages.borrow();
        let Some((page, state)) = pages.get(&(addr.get() - offset as u64)) else {
            return error(ReadErrorKind::Outside);
        };
        if offset + buf.len() > PAGE {
            return error(ReadErrorKind::Outside);
        }
        if *state != State::Preserved {
            return error(ReadErrorKind::NotPreserved);
        }
        // SAFETY: the page is preserved, so nobody has a reference to it; it lives as long as the
        // memory.
        let page = unsafe { page.as_ref() };
        buf.copy_from_slice(&page.0[offset..][..buf.len()]);
        Ok(())
    }
}

// SAFETY:
// G1: a page is a box of its own, aligned to 4096, initialised, freed when the memory is dropped.
// G2, G5: a page is given out when it is new or preserved, and is owned from then on.
// G3: a new page is zero.
// G4: the addresses are those of different pages, as a map has them.
// G6: the type is not `Clone`. It is not `Sync`, either.
unsafe impl BlockMemory for Placed {
    fn allocate<F>(&self, count: usize, mut visit: F) -> Result<(), AllocError>
    where
        F: FnMut(NonNull<u8>),
    {
        for _ in 0..count {
            let none = AllocError::new(AllocErrorKind::Full);
            let addr = self.next.borrow_mut().pop_front().ok_or(none)?;
            let page = NonNull::from(Box::leak(bytemuck::zeroed_box::<Page>()));
            let before = self.pages.borrow_mut().insert(addr, (page, State::Owned));
            assert!(before.is_none(), "an address is given out once");
            visit(page.cast());
        }
        Ok(())
    }

    unsafe fn claim<C: ClaimVisitor>(
        &self,
        first: PhysAddr,
        visitor: &mut C,
    ) -> Result<(), C::Error> {
        let claim = |_: &mut (), addr: PhysAddr| {
            let error = |kind| Err(ClaimError::new(addr, kind));
            match self.pages.borrow_mut().get_mut(&addr.get()) {
                None => error(ClaimErrorKind::Outside),
                Some((_, State::Owned)) => error(ClaimErrorKind::Owned),
                Some((page, state)) => {
                    *state = State::Owned;
                    Ok(page.cast())
                }
            }
        };
        let hand_over = |_: &mut (), block| self.set_state(block, State::Owned, State::Preserved);
        claim_each(&mut (), first, visitor, claim, hand_over)
    }

    fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
        let pages = self.pages.borrow();
        PhysAddr::new(*pages.iter().find(|(_, page)| page.0.cast() == block).unwrap().0)
    }

    unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        // A page that was freed is of no interest here; it waits with the preserved ones.
        blocks.for_each(|block| self.set_state(block, State::Owned, State::Preserved));
    }

    unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
        blocks.for_each(|block| self.set_state(block, State::Owned, State::Preserved));
    }
}

#[test]
fn claimed() {
    for capture in captures() {
        let memory = Placed::preserving(&capture.pages);
        let total = capture.pages.len();
        assert_decodes(
            &capture,
            &memory,
            |head| {
                let set = BlockSet::restore(&memory, head).unwrap();
                assert_eq!(memory.count(State::Owned), set.block_count());
                let sessions = set.iter().copied().collect();
                assert!(set.hand_over() == head);
                sessions
            },
            |head| {
                let set = BlockSet::restore(&memory, head).unwrap();
                assert_eq!(memory.count(State::Owned), set.block_count());
                let files = set.iter().copied().collect();
                assert!(set.hand_over() == head);
                files
            },
        );
        assert_eq!(memory.count(State::Preserved), total);
        for (addr, page) in &capture.pages {
            let mut bytes = vec![0; PAGE];
            memory.read(PhysAddr::new(*addr), &mut bytes).unwrap();
            assert!(bytes == *page, "the page at {addr:#x} changed");
        }
    }
}

/// Writes the sets that the JSON describes at the addresses it names.
fn write_again(capture: &Capture, memory: &Placed) -> SetHead<Session> {
    let mut sessions = capture.sessions();
    for (index, session) in sessions.iter_mut().enumerate() {
        let said = &capture.said["sessions"][index];
        memory.next.borrow_mut().extend(Capture::addrs(&said["file_blocks"]));
        let files = capture.files(index);
        let mut set = BlockSet::new_in(memory);
        // One way to write for each session in turn.
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
        assert!(memory.next.borrow().is_empty());
    }
    memory.next.borrow_mut().extend(Capture::addrs(&capture.said["session_blocks"]));
    let mut set = BlockSet::new_in(memory);
    let mut writer = set.writer();
    sessions.iter().for_each(|session| writer.push(*session).unwrap());
    drop(writer);
    set.hand_over()
}

#[test]
fn written_again_the_same_bytes() {
    for capture in captures() {
        let memory = Placed::default();
        let head = write_again(&capture, &memory);
        assert!(head == capture.root().sessions);
        let written: BTreeMap<u64, Vec<u8>> = memory.pages.borrow().iter().fold(
            BTreeMap::new(),
            |mut pages, (addr, (page, state))| {
                assert_eq!(*state, State::Preserved);
                // SAFETY: the page is preserved, so nobody has a reference to it.
                pages.insert(*addr, unsafe { page.as_ref() }.0.to_vec());
                pages
            },
        );
        // All that was captured but the root.
        let mut captured = capture.pages.clone();
        captured.remove(&number(&capture.said["luo_pa"]));
        assert!(written.keys().eq(captured.keys()));
        for (addr, page) in &captured {
            assert!(written[addr] == *page, "the page at {addr:#x} differs");
        }
    }
}

/// The captures are as they are known to be: the numbers, without the JSON.
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
