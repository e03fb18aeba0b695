//! Every format brings the same across, and notices the damage that it can notice.

use ::kho_block::SealedMemfd;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::pwrite;

use super::output::seal;
use super::*;

/// Runs a check with every format.
macro_rules! with_every_format {
    ($check:ident($($argument:expr),*)) => {
        $check::<_, KhoBlock>($($argument),*);
        $check::<_, Rkyv>($($argument),*);
        $check::<_, Zerocopy<false>>($($argument),*);
        $check::<_, Zerocopy<true>>($($argument),*);
        $check::<_, Postcard>($($argument),*);
        $check::<_, Bitcode>($($argument),*);
        $check::<_, SerdeJson>($($argument),*);
    };
}

/// Returns processes with the texts that a format may get wrong: empty, with quotes, with
/// characters of several bytes, and as long as the field.
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
        mappings: Vec::new(),
    };
    let mut processes = vec![process(1, ""), process(2, "\"\\\n"), process(3, &"ä".repeat(34))];
    processes[1].files = (0..40)
        .map(|number| OpenFile { number, flags: !number, position: 7, target: "/ü\t".repeat(22) })
        .collect();
    processes[2].mappings = (0..40)
        .map(|page| Mapping {
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

fn digest<Live: Object>(live: &[Live]) -> Digest {
    let mut digest = Digest::default();
    live.iter().for_each(|object| object.add_to(&mut digest));
    digest
}

fn crosses_whole<Live: Object, F: Format<Live>>(live: &[Live]) {
    let expected = digest(live);
    let first = cross::<Live, F>(live, None).expect(F::NAME);
    assert_eq!(first.digest, expected, "{} of {}", F::NAME, live.len());
    let again = cross::<Live, F>(live, Some(first.len)).expect(F::NAME);
    assert_eq!((again.digest, again.len), (expected, first.len), "{}, allocated", F::NAME);
}

#[test]
fn every_format_brings_all_sessions_across() {
    for count in [1, 126, 127, 128, 20_000] {
        with_every_format!(crosses_whole(&sessions(count)));
    }
}

#[test]
fn every_format_brings_all_processes_across() {
    with_every_format!(crosses_whole(&awkward_processes()));
    with_every_format!(crosses_whole(&processes(1000)));
}

#[test]
fn processes_have_the_shape_that_is_claimed() {
    let processes = processes(1000);
    let files: usize = processes.iter().map(|process| process.files.len()).sum();
    let mappings: usize = processes.iter().map(|process| process.mappings.len()).sum();
    assert_eq!([files, mappings].map(|count| (count + 500) / 1000), [8, 45]);
}

#[test]
fn a_digest_shows_what_is_missing_or_swapped() {
    let whole = digest(&awkward_processes());
    let changes: [fn(&mut Vec<LiveProcess>); 5] = [
        |live| drop(live.pop()),
        |live| drop(live[1].files.pop()),
        |live| live[2].mappings[9].path.push('x'),
        |live| live[0].start_time = std::mem::replace(&mut live[0].virtual_bytes, 1 << 40),
        |live| {
            for mapping in &mut live[2].mappings {
                std::mem::swap(&mut mapping.start, &mut mapping.end);
            }
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut live = awkward_processes();
        change(&mut live);
        assert_ne!(digest(&live), whole, "change {number}");
    }
}

/// Returns the file with these bytes, as a successor gets it.
pub(super) fn file(bytes: &[u8]) -> SealedMemfd {
    let fd = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    assert_eq!(pwrite(&fd, bytes, 0), Ok(bytes.len()));
    SealedMemfd::open(seal(fd).unwrap()).unwrap()
}

fn written<Live, F: Format<Live>>(live: &[Live]) -> SealedMemfd {
    let (fd, _) = F::freeze(F::prepare(live, None).unwrap(), live).unwrap();
    SealedMemfd::open(fd).unwrap()
}

/// Flips bits of bytes that are not zero. A flip is noticed if it gives an error or another digest.
fn notices_flips<Live, F: Format<Live>>(live: &[Live]) {
    let written = written::<Live, F>(live);
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
    // rkyv pads short text with bytes that mean nothing.
    let may_miss = if F::NAME == "rkyv" { positions.len() / 10 } else { 0 };
    assert!(missed <= may_miss, "{} missed {missed} of {}", F::NAME, positions.len());
}

#[test]
fn every_format_notices_flips() {
    with_every_format!(notices_flips(&sessions(140)));
    with_every_format!(notices_flips(&awkward_processes()));
}

/// Cuts the file off in the middle of its content.
fn notices_a_cut<Live, F: Format<Live>>(live: &[Live]) {
    let written = written::<Live, F>(live);
    let end = written.as_bytes().iter().rposition(|byte| *byte != 0).unwrap();
    let cut = file(&written.as_bytes()[..end / 2]);
    let digest = F::read(&written).unwrap();
    assert!(F::read(&cut).ok() != Some(digest), "{}", F::NAME);
}

#[test]
fn every_format_notices_a_cut() {
    with_every_format!(notices_a_cut(&sessions(140)));
    with_every_format!(notices_a_cut(&awkward_processes()));
}
