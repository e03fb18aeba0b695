//! kho-block: sets in a `MemfdMemory`, viewed in place. The head is at the start of the file's
//! first block, which no set gets. A process has a set of files and one of mappings.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use anyhow::Context as _;
use kho_block::abi::DEFAULT_BLOCK_SIZE;
use kho_block::{
    BlockSet, Entry, MemfdMemory, PhysAddr, ReserveError, SealedMemfd, SetHead, SetView,
};
use rustix::io::pwrite;

use super::entries::{MappingEntry, OpenFileEntry, ProcessWithSets, SessionEntry};
use super::output::seal;
use super::{Digest, Format, LiveProcess, Object as _, Session};

/// The format kho-block.
pub struct KhoBlock;

type Set<T> = BlockSet<T, Rc<MemfdMemory>>;

impl Format<Session> for KhoBlock {
    const NAME: &'static str = "kho-block";

    type Prepared = (Rc<MemfdMemory>, Set<SessionEntry>);

    type Rest = ();

    fn prepare(live: &[Session], _: Option<u64>) -> anyhow::Result<Self::Prepared> {
        let memory = Rc::new(MemfdMemory::new("end-to-end")?);
        let set = reserve(&memory, live.len())?;
        Ok((memory, set))
    }

    fn freeze(
        (memory, mut set): Self::Prepared,
        live: &[Session],
    ) -> anyhow::Result<(OwnedFd, ())> {
        let mut writer = set.writer();
        for session in live {
            writer.push_within_capacity(session.into())?;
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

/// Sets with room for a table of processes.
pub struct Reserved {
    memory: Rc<MemfdMemory>,
    processes: Set<ProcessWithSets>,
    /// Two sets for each process.
    of_each: Vec<(Set<OpenFileEntry>, Set<MappingEntry>)>,
}

impl Format<LiveProcess> for KhoBlock {
    const NAME: &'static str = <Self as Format<Session>>::NAME;

    type Prepared = Reserved;

    type Rest = ();

    fn prepare(live: &[LiveProcess], _: Option<u64>) -> anyhow::Result<Reserved> {
        let memory = Rc::new(MemfdMemory::new("end-to-end")?);
        let processes = reserve(&memory, live.len())?;
        let sets = |process: &LiveProcess| {
            Ok((reserve(&memory, process.files.len())?, reserve(&memory, process.mappings.len())?))
        };
        let of_each = live.iter().map(sets).collect::<Result<_, ReserveError>>()?;
        Ok(Reserved { memory, processes, of_each })
    }

    fn freeze(
        Reserved { memory, mut processes, of_each }: Reserved,
        live: &[LiveProcess],
    ) -> anyhow::Result<(OwnedFd, ())> {
        let mut writer = processes.writer();
        for (process, (mut files, mut mappings)) in live.iter().zip(of_each) {
            push_all(&mut files, &process.files)?;
            push_all(&mut mappings, &process.mappings)?;
            writer.push_within_capacity(ProcessWithSets {
                files: files.hand_over(),
                mappings: mappings.hand_over(),
                process: process.into(),
            })?;
        }
        drop(writer);
        Ok((hand_over(memory, processes)?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for entry in &SetView::restore(file, head::<ProcessWithSets>(file)?)? {
            entry.process.process()?.add_to(&mut digest);
            for entry in &SetView::restore(file, entry.files)? {
                entry.open_file()?.add_to(&mut digest);
            }
            for entry in &SetView::restore(file, entry.mappings)? {
                entry.mapping()?.add_to(&mut digest);
            }
        }
        Ok(digest)
    }
}

fn push_all<'l, Live, T>(set: &mut Set<T>, live: &'l [Live]) -> anyhow::Result<()>
where
    T: Entry + From<&'l Live> + Send + Sync,
{
    let mut writer = set.writer();
    for object in live {
        writer.push_within_capacity(object.into())?;
    }
    Ok(())
}

fn reserve<T: Entry>(memory: &Rc<MemfdMemory>, count: usize) -> Result<Set<T>, ReserveError> {
    let mut set = BlockSet::new_in(Rc::clone(memory));
    set.try_reserve(count)?;
    Ok(set)
}

/// Returns a file with memory for at least `len` bytes of blocks, in huge pages if the system has
/// them, and without a block in use.
pub(super) fn file_with_room(len: usize) -> anyhow::Result<OwnedFd> {
    let memory = Rc::new(MemfdMemory::new("end-to-end")?);
    let blocks = len.div_ceil(DEFAULT_BLOCK_SIZE);
    drop(reserve::<SessionEntry>(&memory, blocks * Set::<SessionEntry>::COUNT_PER_BLOCK)?);
    Ok(Rc::into_inner(memory).context("a set still has the memory")?.into_fd())
}

/// Hands the set over, and returns the sealed file with its head at the start.
fn hand_over<T: Entry>(memory: Rc<MemfdMemory>, set: Set<T>) -> anyhow::Result<OwnedFd> {
    let head = set.hand_over().addr().get().to_ne_bytes();
    let fd = Rc::into_inner(memory).context("a set has not been handed over")?.into_fd();
    pwrite(&fd, &head, 0).context("can't write the head")?;
    seal(fd)
}

/// Returns the head at the start of the file.
fn head<T>(file: &SealedMemfd) -> anyhow::Result<SetHead<T>> {
    let head = file.as_bytes().first_chunk().context("the file has no head")?;
    Ok(SetHead::new(PhysAddr::new(u64::from_ne_bytes(*head))))
}
