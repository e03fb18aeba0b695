//! Runs the example `read_dump`.

use std::path::PathBuf;
use std::process::{Command, Output};

const DUMP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/block-boundaries.pages");
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

/// Returns the sessions of a listing with the tokens of their files.
fn sessions(listing: &str) -> Vec<(&str, Vec<u64>)> {
    let mut sessions: Vec<(&str, Vec<u64>)> = Vec::new();
    let (listing, _total) = listing.trim_end().rsplit_once('\n').unwrap();
    for line in listing.lines() {
        if let Some(file) = line.strip_prefix("    token 0x") {
            let (token, rest) = file.split_once("  ").unwrap();
            assert!(rest.starts_with("memfd-v2 at 0x"), "{line}");
            sessions.last_mut().unwrap().1.push(u64::from_str_radix(token, 16).unwrap());
        } else if let Some((name, _)) = line.split_once(", files: ") {
            sessions.push((name, Vec::new()));
        }
    }
    sessions
}

#[test]
fn lists_the_shipped_dump() {
    let output = run(&[]);
    assert!(output.status.success());
    let listing = stdout(&output);
    assert!(listing.ends_with("\nsessions: 52, files: 488\n"), "{listing}");
    let sessions = sessions(listing);
    assert_eq!(sessions.len(), 52);
    // The numbers of files that the kernel was told to preserve, around those that fill blocks of
    // 63.
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
    // By arguments, with the head in each of its forms; the kernel's log may have it in decimal.
    assert_eq!(stdout(&run(&[DUMP, "6942720"])), listing);
    assert_eq!(stdout(&run(&[DUMP, "0x69f000"])), listing);
    assert_eq!(stdout(&run(&[DUMP, "69f000"])), listing);
    assert_eq!(stdout(&run(&[DUMP, "0069F000"])), listing);
}

#[test]
fn addresses_have_several_forms() {
    // Hexadecimal if that is the address of a page, even if all digits are decimal.
    for (written, addr) in [
        ("691000", "0x691000"),
        ("0x6942720", "0x6942720"),
        ("4096", "0x1000"),
        ("4097", "0x1001"),
        ("18446744073709547520", "0xfffffffffffff000"),
        ("fffffffffffff000", "0xfffffffffffff000"),
    ] {
        let output = run(&[DUMP, written]);
        let message = refusal(&output);
        assert!(message.contains(&format!("block 0 of the chain, at {addr}: ")), "{message}");
    }
    for written in
        ["", "0x", "x", "69f001", "0x69g000", "+69f000", "0x+69f000", "18446744073709551616"]
    {
        let output = run(&[DUMP, written]);
        assert_eq!(output.status.code(), Some(2), "{written}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("not the address of a page, such as 0x69f000"), "{message}");
    }
}

/// Runs the program on a dump that was changed by `change`.
fn run_changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Output {
    let mut bytes = std::fs::read(DUMP).unwrap();
    change(&mut bytes);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    run(&[path.to_str().unwrap(), "0x69f000"])
}

/// Returns where the page at `addr` begins in the dump.
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

    // Its link leads to itself.
    let output = run_changed("cycle.pages", |bytes| {
        let page = page(bytes, 0x69_f000);
        bytes[page..page + 8].copy_from_slice(&0x69_f000_u64.to_le_bytes());
    });
    assert!(refusal(&output).contains("at 0x69f000: the chain comes back to this block"));

    // The head of one session's files is wrong. The other sessions are still listed.
    let output = run_changed("files.pages", |bytes| {
        let page = page(bytes, 0x69_f000);
        bytes[page + 16 + 80 + 64..][..8].copy_from_slice(&0x1000_u64.to_le_bytes());
    });
    let listing = stdout(&output);
    let expected = "D-session-001: block 0 of the chain, at 0x1000: outside the memory\n";
    assert!(listing.contains(expected), "{listing}");
    assert!(listing.ends_with("sessions: 52, files: 426\n"), "{listing}");
    assert!(refusal(&output).contains("sessions that could not be read: 1"));

    // The end of one chain is cut off, which only the count in the session shows.
    let output = run_changed("end.pages", |bytes| {
        let page = page(bytes, 0x85_b000);
        bytes[page..page + 8].fill(0);
    });
    let expected = "D-session-003: the chain at 0x85b000 has 63 files, but the session counts 64";
    assert!(stdout(&output).contains(expected));
    refusal(&output);

    // One session leads into the chain of another, which is valid by itself.
    let output = run_changed("shared.pages", |bytes| {
        let session = |number: usize| page(bytes, 0x69_f000) + 16 + number * 80;
        let (one, other) = (session(1), session(2));
        bytes.copy_within(one + 64..one + 80, other + 64);
    });
    let listing = stdout(&output);
    assert!(listing.contains("D-session-001, files: 62\n"), "{listing}");
    let expected = "D-session-002: block 0x6ae000 is already in another chain\n";
    assert!(listing.contains(expected), "{listing}");
    refusal(&output);
}

#[test]
fn refuses_other_files() {
    let output = run_changed("short.pages", |bytes| bytes.truncate(RECORD * 3 - 1));
    assert!(refusal(&output).contains("not a whole number of records"));
    let output = run_changed("twice.pages", |bytes| bytes.extend_from_within(..RECORD));
    assert!(refusal(&output).contains("overlaps another"));
    let output = run_changed("unaligned.pages", |bytes| bytes[RECORD] = 8);
    assert!(refusal(&output).contains("the record at byte 4104 has the address"));
    assert!(refusal(&run(&["no-such-file", "0x1000"])).contains("can't read no-such-file"));
    assert!(refusal(&run(&["/proc/self", "0x1000"])).contains("can't read /proc/self: "));
    // A device without an end is refused at its second record.
    assert!(refusal(&run(&["/dev/zero", "0x1000"])).contains("overlaps another"));
    assert_eq!(run(&[DUMP]).status.code(), Some(2), "a dump needs a head");
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
        // Longer than a record, and shorter.
        for len in [RECORD * 2, start.len()] {
            let output = run_changed("other.pages", |bytes| {
                bytes.truncate(if start.is_empty() { 0 } else { len });
                bytes[..start.len()].copy_from_slice(start);
            });
            let message = refusal(&output);
            let name =
                if name.starts_with("not a") && len > RECORD { "no page begins" } else { name };
            assert!(message.contains(name), "{message}");
            // The message also says what a dump is.
            assert!(message.contains("a physical address (u64, little endian) and the 4096 bytes"));
        }
    }
}
