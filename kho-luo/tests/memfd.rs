//! The head of a set, stored in the first block of its memfd.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, MemfdError, MemfdMemory, SealedMemfd, SetHead, SetView};
use kho_luo::{HeadError, MemfdHead, load_head, store_head};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{pread, pwrite};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "counter", version = 1)]
struct Counter {
    value: u64,
}

/// An entry with the size of the other one, but another meaning.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "counter", version = 2)]
struct Newer {
    value: u64,
}

fn file() -> (OwnedFd, SetHead<Counter>) {
    let memory = MemfdMemory::new("kho-luo-test").unwrap();
    let mut set = BlockSet::new_in(&memory);
    for value in 0..1000 {
        set.push(Counter { value }).unwrap();
    }
    let head = set.hand_over();
    (store_head(memory, head).unwrap(), head)
}

#[test]
fn a_sealed_memfd_is_viewed() {
    let (fd, head) = file();
    let sealed = SealedMemfd::seal(fd).unwrap();
    let loaded = load_head::<Counter, 4096>(&sealed).unwrap();
    assert_eq!(loaded, head);
    let view = SetView::restore(&sealed, loaded).unwrap();
    assert_eq!(view.iter().map(|counter| counter.value).sum::<u64>(), 499_500);
}

#[test]
fn an_unsealed_memfd_is_restored_and_written() {
    let (fd, _) = file();
    let head = load_head::<Counter, 4096>(&fd).unwrap();
    // SAFETY: nobody else has the file (I4).
    let memory: MemfdMemory = unsafe { MemfdMemory::from_fd(fd) }.unwrap();
    let mut set = BlockSet::restore(&memory, head).unwrap();
    set.push(Counter { value: 500 }).unwrap();
    let head = set.hand_over();
    let fd = store_head(memory, head).unwrap();
    assert_eq!(load_head::<Counter, 4096>(&fd), Ok(head));
}

#[test]
fn an_empty_set_has_a_null_head() {
    let memory = MemfdMemory::new("kho-luo-test").unwrap();
    let fd = store_head(memory, SetHead::<Counter>::EMPTY).unwrap();
    assert_eq!(load_head::<Counter, 4096>(&fd), Ok(SetHead::EMPTY));
}

/// Compares every byte with the documented format.
#[test]
fn the_head_has_the_documented_bytes() {
    let (fd, head) = file();
    let mut bytes = [0xee; 4096];
    assert_eq!(pread(&fd, &mut bytes, 0), Ok(4096));
    let mut expected = [0; 4096];
    expected[..8].copy_from_slice(b"kho-head");
    expected[8..12].copy_from_slice(&1_u32.to_ne_bytes());
    expected[12..16].copy_from_slice(&4096_u32.to_ne_bytes());
    expected[16..24].copy_from_slice(&head.addr().get().to_ne_bytes());
    expected[24..32].copy_from_slice(&Counter::LAYOUT.fingerprint.to_ne_bytes());
    expected[32..39].copy_from_slice(b"counter");
    assert_eq!(bytes, expected);
    assert_eq!(size_of::<MemfdHead>(), 64);
}

#[test]
fn wrong_heads_are_refused() {
    let refused = |offset: u64, bytes: &[u8]| {
        let (fd, _) = file();
        assert_eq!(pwrite(&fd, bytes, offset), Ok(bytes.len()));
        load_head::<Counter, 4096>(&fd).unwrap_err()
    };
    assert_eq!(refused(0, b"x"), HeadError::NoHead);
    assert_eq!(refused(8, &2_u32.to_ne_bytes()), HeadError::Version { found: 2 });
    assert_eq!(
        refused(12, &16384_u32.to_ne_bytes()),
        HeadError::BlockSize { found: 16384, expected: 4096 }
    );
    // The name is shown, whatever bytes it has.
    let error = refused(24, &[0xff; 40]);
    let HeadError::Entries { found, expected: "counter" } = &error else { panic!("{error}") };
    assert!(found.chars().all(|c| c == char::REPLACEMENT_CHARACTER), "{found}");

    let (fd, _) = file();
    let error = load_head::<Newer, 4096>(&fd).unwrap_err();
    assert_eq!(error, HeadError::Entries { found: "counter".to_owned(), expected: "counter" });
    assert_eq!(
        load_head::<Counter, 16384>(&fd),
        Err(HeadError::BlockSize { found: 4096, expected: 16384 })
    );

    let short = memfd_create("kho-luo-test", MemfdFlags::CLOEXEC).unwrap();
    assert_eq!(load_head::<Counter, 4096>(&short), Err(HeadError::TooShort { len: 0 }));
    pwrite(&short, &[0; 63], 0).unwrap();
    assert_eq!(load_head::<Counter, 4096>(&short), Err(HeadError::TooShort { len: 63 }));
    // The first block of a memfd without a head is zero.
    let plain = MemfdMemory::new("kho-luo-test").unwrap().into_fd();
    assert_eq!(load_head::<Counter, 4096>(&plain), Err(HeadError::NoHead));
    let (reader, _writer) = std::io::pipe().unwrap();
    let error = load_head::<Counter, 4096>(&reader).unwrap_err();
    assert!(matches!(error, HeadError::Memfd(MemfdError::System { call: "pread", .. })), "{error}");
}
