//! Every format brings across what every other does, and says what it notices.

use kho_examples::live::{LiveFile, LiveMap, LiveProcess};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::pwrite;

use super::output::seal;
use super::*;

/// Runs a check with every format.
macro_rules! with_every_format {
    ($check:ident::<$live:ty>($($argument:expr),*)) => {
        $check::<$live, Blocks>($($argument),*);
        $check::<$live, Rkyv>($($argument),*);
        $check::<$live, Zerocopy>($($argument),*);
        $check::<$live, ZerocopyHuge>($($argument),*);
        $check::<$live, Postcard>($($argument),*);
        $check::<$live, Bitcode>($($argument),*);
        $check::<$live, SerdeJson>($($argument),*);
        $check::<$live, Flatbuffers>($($argument),*);
    };
}

/// Processes whose text has everything that a format may stumble over: nothing, quotes, more than
/// one byte to a character, as much as fits.
pub(super) fn awkward_processes() -> Vec<LiveProcess> {
    let process = |pid: i32, name: &str| LiveProcess {
        pid,
        parent: -1,
        start_time: 1 << 40,
        resident_bytes: 0,
        virtual_bytes: u64::MAX,
        state: 'Z',
        name: name.into(),
        files: Vec::new(),
        maps: Vec::new(),
    };
    let mut processes = vec![process(1, ""), process(2, "\"\\\n"), process(3, &"ä".repeat(34))];
    processes[1].files = (0..40)
        .map(|number| LiveFile { number, flags: !number, position: 7, target: "/ü\t".repeat(22) })
        .collect();
    processes[2].maps = (0..40)
        .map(|page| LiveMap {
            start: page << 12,
            end: (page + 1) << 12,
            offset: page << 2,
            inode: page << 1,
            permissions: "rw-p".into(),
            device: "fe:01".into(),
            path: if page % 2 == 0 { String::new() } else { "/path".repeat(16) },
        })
        .collect();
    processes
}

fn sum_of_sessions(live: &[LiveSession]) -> Digest {
    let mut digest = Digest::default();
    live.iter().for_each(|session| session.to_session().add_to(&mut digest));
    digest
}

fn sum_of_processes(live: &[LiveProcess]) -> Digest {
    let mut digest = Digest::default();
    for live in live {
        let file = |file: &LiveFile| File {
            number: file.number,
            flags: file.flags,
            position: file.position,
            target: file.target.clone(),
        };
        let map = |map: &LiveMap| Map {
            start: map.start,
            end: map.end,
            offset: map.offset,
            inode: map.inode,
            permissions: map.permissions.clone(),
            device: map.device.clone(),
            path: map.path.clone(),
        };
        let process = Process {
            pid: live.pid,
            parent: live.parent,
            start_time: live.start_time,
            resident_bytes: live.resident_bytes,
            virtual_bytes: live.virtual_bytes,
            state: live.state,
            name: live.name.clone(),
            files: live.files.iter().map(file).collect(),
            maps: live.maps.iter().map(map).collect(),
        };
        process.add_to(&mut digest);
    }
    digest
}

fn crosses_whole<Live, F: Format<Live>>(live: &[Live], expected: Digest) {
    let first = cross::<Live, F>(live, None).expect(F::NAME);
    assert_eq!(first.digest, expected, "{} of {}", F::NAME, live.len());
    let again = cross::<Live, F>(live, Some(first.len)).expect(F::NAME);
    assert_eq!((again.digest, again.len), (expected, first.len), "{}, allocated", F::NAME);
}

#[test]
fn every_format_brings_all_sessions_across() {
    for count in [1, 126, 127, 128, 20_000] {
        let live = sessions(count);
        with_every_format!(crosses_whole::<LiveSession>(&live, sum_of_sessions(&live)));
        crosses_whole::<_, ParallelBlocks>(&live, sum_of_sessions(&live));
    }
}

#[test]
fn every_format_brings_all_processes_across() {
    let live = awkward_processes();
    with_every_format!(crosses_whole::<LiveProcess>(&live, sum_of_processes(&live)));
    let live = processes(50).unwrap();
    assert_eq!(live.len(), 50);
    with_every_format!(crosses_whole::<LiveProcess>(&live, sum_of_processes(&live)));
}

#[test]
fn a_digest_shows_what_is_missing_or_swapped() {
    let whole = sum_of_processes(&awkward_processes());
    let changes: [fn(&mut Vec<LiveProcess>); 5] = [
        |live| drop(live.pop()),
        |live| drop(live[1].files.pop()),
        |live| live[2].maps[9].path.push('x'),
        |live| live[0].start_time = std::mem::replace(&mut live[0].virtual_bytes, 1 << 40),
        |live| live[2].maps.iter_mut().for_each(|map| std::mem::swap(&mut map.start, &mut map.end)),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut live = awkward_processes();
        change(&mut live);
        assert_ne!(sum_of_processes(&live), whole, "change {number}");
    }
}

/// The file with these bytes, as a successor gets it.
pub(super) fn file(bytes: &[u8]) -> SealedMemfd {
    let fd = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    assert_eq!(pwrite(&fd, bytes, 0), Ok(bytes.len()));
    SealedMemfd::open(seal(fd).unwrap()).unwrap()
}

/// Formats that have bytes with no meaning: rkyv fills short text up, flatbuffers' tables tell their
/// lengths.
const PADDED: [&str; 2] = ["rkyv", "flatbuffers"];

/// Flips bits where the file holds something, which is where it is not zero. A flip is noticed if it
/// gives an error, or a digest that differs.
fn notices_flips<Live, F: Format<Live>>(live: &[Live]) {
    let (fd, _) = F::freeze(F::prepare(live, None).unwrap(), live).unwrap();
    let written = SealedMemfd::open(fd).unwrap();
    let digest = F::read(&written).unwrap();
    let mut bytes = written.as_bytes().to_vec();
    let mut missed = 0;
    let positions = (0..bytes.len()).filter(|position| written.as_bytes()[*position] != 0);
    let positions: Vec<_> = positions.step_by(7).collect();
    for &position in &positions {
        let flip = 1 << (position % 8);
        bytes[position] ^= flip;
        missed += usize::from(F::read(&file(&bytes)).is_ok_and(|read| read == digest));
        bytes[position] ^= flip;
    }
    let may_miss = if PADDED.contains(&F::NAME) { positions.len() / 10 } else { 0 };
    assert!(missed <= may_miss, "{} missed {missed} of {}", F::NAME, positions.len());
}

#[test]
fn every_format_notices_flips() {
    with_every_format!(notices_flips::<LiveSession>(&sessions(140)));
    with_every_format!(notices_flips::<LiveProcess>(&awkward_processes()));
}

/// The end is missing.
fn notices_a_cut<Live, F: Format<Live>>(live: &[Live]) {
    let (fd, _) = F::freeze(F::prepare(live, None).unwrap(), live).unwrap();
    let written = SealedMemfd::open(fd).unwrap();
    let end = written.as_bytes().iter().rposition(|byte| *byte != 0).unwrap();
    let cut = file(&written.as_bytes()[..end / 2]);
    let digest = F::read(&written).unwrap();
    assert!(F::read(&cut).ok() != Some(digest), "{}", F::NAME);
}

#[test]
fn every_format_notices_a_cut() {
    with_every_format!(notices_a_cut::<LiveSession>(&sessions(140)));
    with_every_format!(notices_a_cut::<LiveProcess>(&awkward_processes()));
}
