//! kho-block: sets in a `MemfdMemory`, viewed in place. The head is at the start of the file's first
//! block, which no set gets.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use anyhow::Context as _;
use bytemuck::{Pod, Zeroable};
use kho_block::abi::DEFAULT_BLOCK_SIZE;
use kho_block::{
    BlockSet, Entry, MemfdMemory, PhysAddr, ReserveError, SealedMemfd, SetHead, SetView, text,
};
use kho_examples::entries;
use kho_examples::live::LiveProcess;
use rustix::io::pwrite;

use super::output::seal;
use super::{Digest, File, Format, LiveSession, Map, Process, Session};

/// kho-block.
pub struct Blocks;

type Set<T> = BlockSet<T, Rc<MemfdMemory>>;

/// A session as it crosses.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "end-to-end-session", version = 1)]
pub struct SessionEntry {
    id: u64,
    owner: u64,
    expires: u64,
    flags: u64,
}

impl From<Session> for SessionEntry {
    #[inline]
    fn from(Session { id, owner, expires, flags }: Session) -> Self {
        Self { id, owner, expires, flags }
    }
}

impl From<&SessionEntry> for Session {
    #[inline]
    fn from(&SessionEntry { id, owner, expires, flags }: &SessionEntry) -> Self {
        Self { id, owner, expires, flags }
    }
}

impl Format<LiveSession> for Blocks {
    const NAME: &'static str = "kho-block";

    type Prepared = (Rc<MemfdMemory>, Set<SessionEntry>);

    fn prepare(live: &[LiveSession], _: Option<u64>) -> anyhow::Result<Self::Prepared> {
        let memory = Rc::new(MemfdMemory::new("end-to-end")?);
        let set = reserve(&memory, live.len())?;
        Ok((memory, set))
    }

    type Rest = ();

    fn freeze(
        (memory, mut set): Self::Prepared,
        live: &[LiveSession],
    ) -> anyhow::Result<(OwnedFd, ())> {
        let mut writer = set.writer();
        for session in live {
            writer.push_within_capacity(session.to_session().into())?;
        }
        drop(writer);
        Ok((hand_over(memory, set)?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let sessions = SetView::restore(file, head::<SessionEntry>(file)?)?;
        Ok(sessions.iter().fold(Digest::default(), |mut digest, entry| {
            Session::from(entry).add_to(&mut digest);
            digest
        }))
    }
}

/// Sets with room for everything.
pub struct Reserved {
    memory: Rc<MemfdMemory>,
    processes: Set<entries::Process>,
    /// For each process, in order.
    nested: Vec<(Set<entries::OpenFile>, Set<entries::MemoryMap>)>,
}

impl Format<LiveProcess> for Blocks {
    const NAME: &'static str = "kho-block";

    type Prepared = Reserved;

    fn prepare(live: &[LiveProcess], _: Option<u64>) -> anyhow::Result<Reserved> {
        let memory = Rc::new(MemfdMemory::new("end-to-end")?);
        let processes = reserve(&memory, live.len())?;
        let nested = |process: &LiveProcess| {
            Ok((reserve(&memory, process.files.len())?, reserve(&memory, process.maps.len())?))
        };
        let nested = live.iter().map(nested).collect::<Result<_, ReserveError>>()?;
        Ok(Reserved { memory, processes, nested })
    }

    type Rest = ();

    fn freeze(
        Reserved { memory, mut processes, nested }: Reserved,
        live: &[LiveProcess],
    ) -> anyhow::Result<(OwnedFd, ())> {
        let mut writer = processes.writer();
        for (process, (mut files, mut maps)) in live.iter().zip(nested) {
            let mut nested = files.writer();
            for file in &process.files {
                nested.push_within_capacity(file.to_entry())?;
            }
            drop(nested);
            let mut nested = maps.writer();
            for map in &process.maps {
                nested.push_within_capacity(map.to_entry())?;
            }
            drop(nested);
            writer.push_within_capacity(process.to_entry(files.hand_over(), maps.hand_over()))?;
        }
        drop(writer);
        Ok((hand_over(memory, processes)?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for entry in &SetView::restore(file, head::<entries::Process>(file)?)? {
            process(entry)?.add_to(&mut digest);
            for entry in &SetView::restore(file, entry.files)? {
                open_file(entry)?.add_to(&mut digest);
            }
            for entry in &SetView::restore(file, entry.maps)? {
                memory_map(entry)?.add_to(&mut digest);
            }
        }
        Ok(digest)
    }
}

fn reserve<T: Entry>(memory: &Rc<MemfdMemory>, count: usize) -> Result<Set<T>, ReserveError> {
    let mut set = BlockSet::new_in(Rc::clone(memory));
    set.set_block_limit(usize::MAX);
    set.try_reserve(count)?;
    Ok(set)
}

/// A file with at least `len` bytes for blocks, and none in it.
pub(super) fn empty_file(len: usize) -> anyhow::Result<OwnedFd> {
    let memory = Rc::new(MemfdMemory::new("end-to-end")?);
    let blocks = len.div_ceil(DEFAULT_BLOCK_SIZE);
    drop(reserve::<SessionEntry>(&memory, blocks * Set::<SessionEntry>::COUNT_PER_BLOCK)?);
    Ok(Rc::into_inner(memory).context("the set was dropped")?.into_fd())
}

/// Gives out the file, with the set's head in front.
pub(super) fn hand_over<T: Entry>(memory: Rc<MemfdMemory>, set: Set<T>) -> anyhow::Result<OwnedFd> {
    let head = set.hand_over().addr().get().to_ne_bytes();
    let fd = Rc::into_inner(memory).context("a set has not been handed over")?.into_fd();
    pwrite(&fd, &head, 0).context("can't write the head")?;
    seal(fd)
}

/// The head in front of the file.
pub(super) fn head<T>(file: &SealedMemfd) -> anyhow::Result<SetHead<T>> {
    let head = file.as_bytes().first_chunk().context("the file has no head")?;
    Ok(SetHead::new(PhysAddr::new(u64::from_ne_bytes(*head))))
}

fn process(entry: &entries::Process) -> anyhow::Result<Process<&str>> {
    Ok(Process {
        pid: entry.pid,
        parent: entry.parent,
        start_time: entry.start_time,
        resident_bytes: entry.resident_bytes,
        virtual_bytes: entry.virtual_bytes,
        state: char::from_u32(entry.state).context("the state is not a character")?,
        name: text::from_field(&entry.name)?,
        files: Vec::new(),
        maps: Vec::new(),
    })
}

/// The file that an entry describes.
#[inline]
pub(super) fn open_file(entry: &entries::OpenFile) -> anyhow::Result<File<&str>> {
    Ok(File {
        number: entry.number,
        flags: entry.flags,
        position: entry.position,
        target: text::from_field(&entry.target)?,
    })
}

/// The memory map that an entry describes.
#[inline]
pub(super) fn memory_map(entry: &entries::MemoryMap) -> anyhow::Result<Map<&str>> {
    Ok(Map {
        start: entry.start,
        end: entry.end,
        offset: entry.offset,
        inode: entry.inode,
        permissions: text::from_field(&entry.permissions)?,
        device: text::from_field(&entry.device)?,
        path: text::from_field(&entry.path)?,
    })
}
