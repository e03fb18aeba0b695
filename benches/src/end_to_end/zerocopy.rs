//! zerocopy: flat arrays in the file, read in place, behind a header that says how many elements
//! there are. A table of processes is three of them: of processes, files and mappings.

use std::io::Write as _;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, anyhow, ensure};
use kho_block::SealedMemfd;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::entries::{MappingEntry, OpenFileEntry, ProcessEntry, SessionEntry};
use super::kho_block::file_with_room;
use super::{Digest, Format, LiveProcess, Object as _, Output, Session};

/// The format of zerocopy. With `HUGE_PAGES` its file has the same pages as kho-block's memory,
/// which shows the difference between a flat array and a chain of blocks.
pub struct Zerocopy<const HUGE_PAGES: bool>;

/// Number of bytes that are buffered before they are written. They fit in a core's cache.
const PIECE: usize = 256 << 10;

impl<const HUGE_PAGES: bool> Zerocopy<HUGE_PAGES> {
    const NAME: &'static str = if HUGE_PAGES { "zerocopy in huge pages" } else { "zerocopy" };

    fn output(room: usize, len: Option<u64>) -> anyhow::Result<Output> {
        if HUGE_PAGES { Ok(Output::to(file_with_room(room)?)) } else { Output::new(len) }
    }
}

impl<const HUGE_PAGES: bool> Format<Session> for Zerocopy<HUGE_PAGES> {
    const NAME: &'static str = Self::NAME;

    type Prepared = Output;

    type Rest = ();

    fn prepare(live: &[Session], len: Option<u64>) -> anyhow::Result<Output> {
        Self::output(size_of::<u64>() + size_of_val(live), len)
    }

    fn freeze(mut output: Output, live: &[Session]) -> anyhow::Result<(OwnedFd, ())> {
        output.write_all((live.len() as u64).as_bytes())?;
        write_array(&mut output, live.iter().map(SessionEntry::from))?;
        Ok((output.finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let (&count, rest) = u64::ref_from_prefix(file.as_bytes())
            .map_err(|error| anyhow!("not a header: {error}"))?;
        let (sessions, _) = array::<SessionEntry>(rest, count)?;
        let mut digest = Digest::default();
        for session in sessions {
            Session::from(session).add_to(&mut digest);
        }
        Ok(digest)
    }
}

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct Counts {
    processes: u64,
    files: u64,
    mappings: u64,
}

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct FlatProcess {
    /// Number of this process's files, which follow those of the processes before it.
    files: u64,
    /// Number of this process's mappings.
    mappings: u64,
    process: ProcessEntry,
}

impl From<&LiveProcess> for FlatProcess {
    #[inline]
    fn from(live: &LiveProcess) -> Self {
        let (files, mappings) = (live.files.len() as u64, live.mappings.len() as u64);
        Self { files, mappings, process: live.into() }
    }
}

impl Counts {
    fn of(live: &[LiveProcess]) -> Self {
        Self {
            processes: live.len() as u64,
            files: live.iter().map(|process| process.files.len() as u64).sum(),
            mappings: live.iter().map(|process| process.mappings.len() as u64).sum(),
        }
    }
}

impl<const HUGE_PAGES: bool> Format<LiveProcess> for Zerocopy<HUGE_PAGES> {
    const NAME: &'static str = Self::NAME;

    type Prepared = Output;

    type Rest = ();

    fn prepare(live: &[LiveProcess], len: Option<u64>) -> anyhow::Result<Output> {
        let of_one = |process: &LiveProcess| {
            size_of::<FlatProcess>()
                + process.files.len() * size_of::<OpenFileEntry>()
                + process.mappings.len() * size_of::<MappingEntry>()
        };
        Self::output(size_of::<Counts>() + live.iter().map(of_one).sum::<usize>(), len)
    }

    fn freeze(mut output: Output, live: &[LiveProcess]) -> anyhow::Result<(OwnedFd, ())> {
        let files = live.iter().flat_map(|process| &process.files);
        let mappings = live.iter().flat_map(|process| &process.mappings);
        output.write_all(Counts::of(live).as_bytes())?;
        write_array(&mut output, live.iter().map(FlatProcess::from))?;
        write_array(&mut output, files.map(OpenFileEntry::from))?;
        write_array(&mut output, mappings.map(MappingEntry::from))?;
        Ok((output.finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let (counts, rest) = Counts::ref_from_prefix(file.as_bytes())
            .map_err(|error| anyhow!("not a header: {error}"))?;
        let (processes, rest) = array::<FlatProcess>(rest, counts.processes)?;
        let (mut files, rest) = array::<OpenFileEntry>(rest, counts.files)?;
        let (mut mappings, _) = array::<MappingEntry>(rest, counts.mappings)?;
        let mut digest = Digest::default();
        for flat in processes {
            flat.process.process()?.add_to(&mut digest);
            for file in take(&mut files, flat.files)? {
                file.open_file()?.add_to(&mut digest);
            }
            for mapping in take(&mut mappings, flat.mappings)? {
                mapping.mapping()?.add_to(&mut digest);
            }
        }
        ensure!(
            files.is_empty() && mappings.is_empty(),
            "there are files or mappings that belong to no process"
        );
        Ok(digest)
    }
}

fn write_array<T: IntoBytes + Immutable>(
    output: &mut Output,
    mut elements: impl Iterator<Item = T>,
) -> anyhow::Result<()> {
    let mut piece = Vec::with_capacity(PIECE / size_of::<T>());
    loop {
        piece.clear();
        piece.extend(elements.by_ref().take(PIECE / size_of::<T>()));
        if piece.is_empty() {
            return Ok(());
        }
        output.write_all(piece.as_bytes())?;
    }
}

/// Splits an array of `count` elements off the front of bytes.
fn array<T: FromBytes + Immutable>(bytes: &[u8], count: u64) -> anyhow::Result<(&[T], &[u8])> {
    <[T]>::ref_from_prefix_with_elems(bytes, usize::try_from(count)?)
        .map_err(|error| anyhow!("not an array of {count}: {error}"))
}

/// Splits the first `count` elements off.
fn take<'a, T>(elements: &mut &'a [T], count: u64) -> anyhow::Result<&'a [T]> {
    elements
        .split_off(..usize::try_from(count)?)
        .context("a process has more files or mappings than there are")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{awkward_processes, file};
    use super::*;

    #[test]
    fn files_and_maps_of_no_process_are_noticed() {
        let live = awkward_processes();
        let (fd, ()) = Zerocopy::<false>::freeze(Output::new(None).unwrap(), &live).unwrap();
        let bytes = SealedMemfd::open(fd).unwrap().as_bytes().to_vec();
        let changes: [fn(&mut [FlatProcess]); 4] = [
            |processes| processes[1].files -= 1,
            |processes| processes[1].files += 1,
            |processes| processes[2].mappings -= 1,
            |processes| processes[2].mappings += 1,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut bytes = bytes.clone();
            let (_, rest) = Counts::mut_from_prefix(&mut bytes).unwrap();
            let (processes, _) =
                <[FlatProcess]>::mut_from_prefix_with_elems(rest, live.len()).unwrap();
            change(processes);
            let read = <Zerocopy<false> as Format<LiveProcess>>::read(&file(&bytes));
            assert!(read.is_err(), "change {number}");
        }
    }
}
