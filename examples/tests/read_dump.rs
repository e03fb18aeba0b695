//! Runs the example that reads captured memory.

use std::path::PathBuf;
use std::process::{Command, Output};

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/block-boundaries.pages");
const RECORD: usize = 8 + 4096;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_read_dump")).args(args).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[track_caller]
fn refusal(output: &Output) -> &str {
    let message = std::str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("read_dump: "), "{message}");
    message
}

/// Sessions with their files' tokens.
fn sessions(listing: &str) -> Vec<(&str, Vec<u64>)> {
    let mut sessions: Vec<(&str, Vec<u64>)> = Vec::new();
    for line in listing.lines() {
        if let Some(file) = line.strip_prefix("    token 0x") {
            let (token, rest) = file.split_once("  ").unwrap();
            assert!(rest.starts_with("memfd-v2 at 0x"), "{line}");
            sessions.last_mut().unwrap().1.push(u64::from_str_radix(token, 16).unwrap());
        } else if let Some((name, count)) = line.split_once(": ") {
            assert!(count.ends_with(" files"), "{line}");
            sessions.push((name, Vec::new()));
        }
    }
    sessions
}

#[test]
fn lists_the_shipped_image() {
    let output = run(&[]);
    assert!(output.status.success());
    let listing = stdout(&output);
    assert!(listing.ends_with("\n52 sessions, 488 files\n"), "{listing}");
    let sessions = sessions(listing);
    assert_eq!(sessions.len(), 52);
    // What the kernel was told to preserve: at the boundaries of blocks of 63 files.
    let counts: Vec<_> = sessions.iter().map(|(_, tokens)| tokens.len()).collect();
    assert_eq!(counts[..6], [0, 62, 63, 64, 126, 127]);
    assert!(counts[6..].iter().all(|count| *count == 1));
    for (index, (name, tokens)) in sessions.iter().enumerate() {
        assert_eq!(*name, format!("D-session-{index:03}"));
        for (file, token) in (0_u32..).zip(tokens) {
            let session = 0x4400_0001 + index as u64;
            assert_eq!(*token, session << 32 | u64::from(file.wrapping_mul(0x9e37_79b1)));
        }
    }
    // The same by arguments; the head in decimal, as the kernel's log may have it.
    assert_eq!(stdout(&run(&[IMAGE, "6942720"])), listing);
    assert_eq!(stdout(&run(&[IMAGE, "0x69f000"])), listing);
    assert_eq!(stdout(&run(&[IMAGE, "69f000"])), listing);
    assert_eq!(stdout(&run(&[IMAGE, "0069F000"])), listing);
}

#[test]
fn addresses_are_read_as_they_are_written() {
    // Hexadecimal if that is the address of a page, also where it would be a number in decimal.
    for (written, addr) in [
        ("691000", "0x691000"),
        ("0x6942720", "0x6942720"),
        ("4096", "0x1000"),
        ("4097", "0x1001"),
        ("18446744073709547520", "0xfffffffffffff000"),
        ("fffffffffffff000", "0xfffffffffffff000"),
    ] {
        let output = run(&[IMAGE, written]);
        let message = refusal(&output);
        assert!(message.contains(&format!("block 0 of the chain, at {addr}: ")), "{message}");
    }
    for written in
        ["", "0x", "x", "69f001", "0x69g000", "+69f000", "0x+69f000", "18446744073709551616"]
    {
        let output = run(&[IMAGE, written]);
        assert_eq!(output.status.code(), Some(2), "{written}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("not the address of a page, such as 0x69f000"), "{message}");
    }
}

/// Writes an image that was changed by `change` and runs on it.
fn run_changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Output {
    let mut bytes = std::fs::read(IMAGE).unwrap();
    change(&mut bytes);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    run(&[path.to_str().unwrap(), "0x69f000"])
}

/// Where the page at `addr` begins in the image.
fn page(bytes: &[u8], addr: u64) -> usize {
    let mut records = bytes.chunks_exact(RECORD);
    records.position(|record| record[..8] == addr.to_le_bytes()).unwrap() * RECORD + 8
}

#[test]
fn errors_name_the_block() {
    // The first block of sessions counts one more than fit.
    let output = run_changed("count.pages", |bytes| {
        let page = page(bytes, 0x69_f000);
        bytes[page + 8] = 52;
    });
    let expected = "block 0 of the chain, at 0x69f000: the header counts 52 entries";
    assert!(refusal(&output).contains(expected));

    // Its successor is the block itself.
    let output = run_changed("cycle.pages", |bytes| {
        let page = page(bytes, 0x69_f000);
        bytes[page..page + 8].copy_from_slice(&0x69_f000_u64.to_le_bytes());
    });
    assert!(refusal(&output).contains("at 0x69f000: the chain comes back to this block"));

    // One session has lost its files: the others are listed all the same.
    let output = run_changed("files.pages", |bytes| {
        let page = page(bytes, 0x69_f000);
        bytes[page + 16 + 80 + 64..][..8].copy_from_slice(&0x1000_u64.to_le_bytes());
    });
    let listing = stdout(&output);
    let expected = "D-session-001: block 0 of the chain, at 0x1000: outside the memory\n";
    assert!(listing.contains(expected), "{listing}");
    assert!(listing.ends_with("52 sessions, 426 files\n"), "{listing}");
    assert!(refusal(&output).contains("1 sessions could not be read"));

    // One has lost the end of its chain, which only the count in the session tells.
    let output = run_changed("end.pages", |bytes| {
        let page = page(bytes, 0x85_b000);
        bytes[page..page + 8].fill(0);
    });
    let expected = "D-session-003: the chain at 0x85b000 has 63 files, the session counts 64";
    assert!(stdout(&output).contains(expected));
    refusal(&output);

    // One leads into the chain of another, which is as good as its own.
    let output = run_changed("shared.pages", |bytes| {
        let session = |number: usize| page(bytes, 0x69_f000) + 16 + number * 80;
        let (one, other) = (session(1), session(2));
        bytes.copy_within(one + 64..one + 80, other + 64);
    });
    let listing = stdout(&output);
    assert!(listing.contains("D-session-001: 62 files\n"), "{listing}");
    let expected = "D-session-002: block 0x6ae000 is in a chain already\n";
    assert!(listing.contains(expected), "{listing}");
    refusal(&output);
}

#[test]
fn refuses_what_is_no_image() {
    let output = run_changed("short.pages", |bytes| bytes.truncate(RECORD * 3 - 1));
    assert!(refusal(&output).contains("not a whole number of records"));
    let output = run_changed("twice.pages", |bytes| bytes.extend_from_within(..RECORD));
    assert!(refusal(&output).contains("overlaps another"));
    let output = run_changed("unaligned.pages", |bytes| bytes[RECORD] = 8);
    assert!(refusal(&output).contains("the record at byte 4104 is for"));
    assert!(refusal(&run(&["no-such-file", "0x1000"])).contains("can't read no-such-file"));
    assert!(refusal(&run(&["/proc/self", "0x1000"])).contains("can't read /proc/self: "));
    // What has no end is no image from its first or second page on.
    assert!(refusal(&run(&["/dev/zero", "0x1000"])).contains("overlaps another"));
    assert_eq!(run(&[IMAGE]).status.code(), Some(2), "an image needs a head");
}

#[test]
fn names_other_formats() {
    for (start, name) in [
        (&b""[..], "empty"),
        (b"\x7fELF\x02\x01\x01", "an ELF file"),
        (b"KDUMP   \x06\0\0\0", "kdump"),
        (b"DISKDUMP", "diskdump"),
        (b"makedumpfile\0\0\0\0", "makedumpfile"),
        (b"EMiL\x01\0\0\0", "LiME"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\xfd7zXZ\0\0\x04", "xz"),
        (b"\x28\xb5\x2f\xfd\x24", "zstd"),
        (b"BZh9", "bzip2"),
        (b"some text", "not a whole number of records"),
    ] {
        // As long as an image, and shorter than a record.
        for len in [RECORD * 2, start.len()] {
            let output = run_changed("other.pages", |bytes| {
                bytes.truncate(if start.is_empty() { 0 } else { len });
                bytes[..start.len()].copy_from_slice(start);
            });
            let message = refusal(&output);
            let name =
                if name.starts_with("not a") && len > RECORD { "no page begins" } else { name };
            assert!(message.contains(name), "{message}");
            // And says what it wants.
            assert!(message.contains("a physical address (u64, little endian) and the 4096 bytes"));
        }
    }
}
