//! zerocopy: flat arrays of entries in the file, read in place, behind a header that says how many
//! there are. A table of processes is three of them, of processes, files and maps.
//!
//! And the same in huge pages, which a memfd does not have by itself: the pages are kho-block's, all
//! else is as before. It shows what is left between a flat array and a chain of blocks.

use std::io::Write as _;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, anyhow, ensure};
use kho_block::{SealedMemfd, SetHead, text};
use kho_examples::entries::{self, NAME_LEN};
use kho_examples::live::{LiveFile, LiveMap, LiveProcess};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::blocks::{memory_map, open_file};
use super::{Digest, Format, LiveSession, Output, Process, Session};

/// zerocopy.
pub struct Zerocopy;

/// How many bytes of entries are made before they are written: no more than stay in a core's cache.
const CHUNK: usize = 256 << 10;

#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct FlatSession {
    id: u64,
    owner: u64,
    expires: u64,
    flags: u64,
}

impl Format<LiveSession> for Zerocopy {
    const NAME: &'static str = "zerocopy";

    type Prepared = Output;

    type Rest = ();

    fn prepare(_: &[LiveSession], len: Option<u64>) -> anyhow::Result<Output> {
        Output::new(len)
    }

    fn freeze(mut output: Output, live: &[LiveSession]) -> anyhow::Result<(OwnedFd, ())> {
        output.write_all((live.len() as u64).as_bytes())?;
        let sessions = live.iter().map(|session| {
            let Session { id, owner, expires, flags } = session.to_session();
            FlatSession { id, owner, expires, flags }
        });
        write_array(&mut output, sessions)?;
        Ok((output.finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let (&count, rest) = u64::ref_from_prefix(file.as_bytes())
            .map_err(|error| anyhow!("not a header: {error}"))?;
        let (sessions, _) = array::<FlatSession>(rest, count)?;
        let mut digest = Digest::default();
        for &FlatSession { id, owner, expires, flags } in sessions {
            Session { id, owner, expires, flags }.add_to(&mut digest);
        }
        Ok(digest)
    }
}

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct Counts {
    processes: u64,
    files: u64,
    maps: u64,
}

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct FlatProcess {
    pid: i32,
    parent: i32,
    start_time: u64,
    resident_bytes: u64,
    virtual_bytes: u64,
    /// How many of the files that follow those of the processes before are its.
    files: u64,
    /// The same of the maps.
    maps: u64,
    state: u32,
    name: [u8; NAME_LEN],
}

impl From<&LiveProcess> for FlatProcess {
    #[inline]
    fn from(live: &LiveProcess) -> Self {
        let entry = live.to_entry(SetHead::EMPTY, SetHead::EMPTY);
        Self {
            pid: entry.pid,
            parent: entry.parent,
            start_time: entry.start_time,
            resident_bytes: entry.resident_bytes,
            virtual_bytes: entry.virtual_bytes,
            files: live.files.len() as u64,
            maps: live.maps.len() as u64,
            state: entry.state,
            name: entry.name,
        }
    }
}

impl FlatProcess {
    fn own_fields(&self) -> anyhow::Result<Process<&str>> {
        Ok(Process {
            pid: self.pid,
            parent: self.parent,
            start_time: self.start_time,
            resident_bytes: self.resident_bytes,
            virtual_bytes: self.virtual_bytes,
            state: char::from_u32(self.state).context("the state is not a character")?,
            name: text::from_field(&self.name)?,
            files: Vec::new(),
            maps: Vec::new(),
        })
    }
}

impl Format<LiveProcess> for Zerocopy {
    const NAME: &'static str = "zerocopy";

    type Prepared = Output;

    type Rest = ();

    fn prepare(_: &[LiveProcess], len: Option<u64>) -> anyhow::Result<Output> {
        Output::new(len)
    }

    fn freeze(mut output: Output, live: &[LiveProcess]) -> anyhow::Result<(OwnedFd, ())> {
        let files = || live.iter().flat_map(|process| &process.files);
        let maps = || live.iter().flat_map(|process| &process.maps);
        let counts = Counts {
            processes: live.len() as u64,
            files: live.iter().map(|process| process.files.len() as u64).sum(),
            maps: live.iter().map(|process| process.maps.len() as u64).sum(),
        };
        output.write_all(counts.as_bytes())?;
        write_array(&mut output, live.iter().map(FlatProcess::from))?;
        write_array(&mut output, files().map(LiveFile::to_entry))?;
        write_array(&mut output, maps().map(LiveMap::to_entry))?;
        Ok((output.finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let (counts, rest) = Counts::ref_from_prefix(file.as_bytes())
            .map_err(|error| anyhow!("not a header: {error}"))?;
        let (processes, rest) = array::<FlatProcess>(rest, counts.processes)?;
        let (mut files, rest) = array::<entries::OpenFile>(rest, counts.files)?;
        let (mut maps, _) = array::<entries::MemoryMap>(rest, counts.maps)?;
        let mut digest = Digest::default();
        for process in processes {
            process.own_fields()?.add_to(&mut digest);
            for file in take(&mut files, process.files)? {
                open_file(file)?.add_to(&mut digest);
            }
            for map in take(&mut maps, process.maps)? {
                memory_map(map)?.add_to(&mut digest);
            }
        }
        ensure!(files.is_empty() && maps.is_empty(), "files or maps of no process");
        Ok(digest)
    }
}

/// zerocopy in a file of huge pages.
pub struct ZerocopyHuge;

impl Format<LiveSession> for ZerocopyHuge {
    const NAME: &'static str = "zerocopy, huge pages";

    type Prepared = Output;

    type Rest = ();

    fn prepare(live: &[LiveSession], _: Option<u64>) -> anyhow::Result<Output> {
        Output::in_huge_pages(size_of::<u64>() + size_of_val(live))
    }

    fn freeze(output: Output, live: &[LiveSession]) -> anyhow::Result<(OwnedFd, ())> {
        Zerocopy::freeze(output, live)
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        <Zerocopy as Format<LiveSession>>::read(file)
    }
}

impl Format<LiveProcess> for ZerocopyHuge {
    const NAME: &'static str = "zerocopy, huge pages";

    type Prepared = Output;

    type Rest = ();

    fn prepare(live: &[LiveProcess], _: Option<u64>) -> anyhow::Result<Output> {
        let len = |process: &LiveProcess| {
            size_of::<FlatProcess>()
                + process.files.len() * size_of::<entries::OpenFile>()
                + process.maps.len() * size_of::<entries::MemoryMap>()
        };
        Output::in_huge_pages(size_of::<Counts>() + live.iter().map(len).sum::<usize>())
    }

    fn freeze(output: Output, live: &[LiveProcess]) -> anyhow::Result<(OwnedFd, ())> {
        Zerocopy::freeze(output, live)
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        <Zerocopy as Format<LiveProcess>>::read(file)
    }
}

fn write_array<T: IntoBytes + Immutable>(
    output: &mut Output,
    mut entries: impl Iterator<Item = T>,
) -> anyhow::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK / size_of::<T>());
    loop {
        chunk.clear();
        chunk.extend(entries.by_ref().take(CHUNK / size_of::<T>()));
        if chunk.is_empty() {
            return Ok(());
        }
        output.write_all(chunk.as_bytes())?;
    }
}

/// The array of `count` entries in front of other bytes.
fn array<T: FromBytes + Immutable>(bytes: &[u8], count: u64) -> anyhow::Result<(&[T], &[u8])> {
    <[T]>::ref_from_prefix_with_elems(bytes, usize::try_from(count)?)
        .map_err(|error| anyhow!("not an array of {count}: {error}"))
}

/// Takes the first `count` entries off.
fn take<'a, T>(entries: &mut &'a [T], count: u64) -> anyhow::Result<&'a [T]> {
    entries.split_off(..usize::try_from(count)?).context("a process has more than there are")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{awkward_processes, file};
    use super::*;

    #[test]
    fn files_and_maps_of_no_process_are_noticed() {
        let live = awkward_processes();
        let (fd, ()) = Zerocopy::freeze(Output::new(None).unwrap(), &live).unwrap();
        let bytes = SealedMemfd::open(fd).unwrap().as_bytes().to_vec();
        let changes: [fn(&mut [FlatProcess]); 4] = [
            |processes| processes[1].files -= 1,
            |processes| processes[1].files += 1,
            |processes| processes[2].maps -= 1,
            |processes| processes[2].maps += 1,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut bytes = bytes.clone();
            let (_, rest) = Counts::mut_from_prefix(&mut bytes).unwrap();
            let (processes, _) =
                <[FlatProcess]>::mut_from_prefix_with_elems(rest, live.len()).unwrap();
            change(processes);
            let read = <Zerocopy as Format<LiveProcess>>::read(&file(&bytes));
            assert!(read.is_err(), "change {number}");
        }
    }
}
