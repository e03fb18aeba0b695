//! Reads LUO's sessions out of captured physical memory.
//!
//! ```text
//! cargo run -p kho-examples --bin read_dump [IMAGE HEAD]
//! ```
//!
//! An image is a file of records: a physical address, `u64` in little endian, and the 4096 bytes of
//! the page there. HEAD is the address of the first block of sessions, such as `0x69f000`. Without
//! arguments it reads the image that comes with this example, taken from Linux 7.2 at the moment of
//! a handover.
//!
//! The image is not trusted: whatever is in it, the answer is a listing or an error that names the
//! block, and takes no longer than reading each page once. Exits with 1 if any session could not be
//! read.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{ChainWalk, DumpMemory, Entry, ForeignSet, PhysAddr, SetHead};
use kho_examples::program;

/// `struct luo_session_ser` of Linux 7.2.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-session", version = 5)]
struct Session {
    #[entry(text)]
    name: [u8; 64],
    files: SetHead<PreservedFile>,
    file_count: u64,
}

/// `struct luo_file_ser`.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-file", version = 5)]
struct PreservedFile {
    #[entry(text)]
    compatible: [u8; 48],
    data: PhysAddr,
    token: u64,
}

/// List the sessions in captured physical memory
///
/// An image is a file of records: a physical address, u64 in little endian, and the 4096 bytes of the
/// page there. Without arguments, the image that comes with this example is read.
#[derive(Parser)]
struct Args {
    /// File of pages, each with its address
    #[arg(requires = "head")]
    image: Option<PathBuf>,
    /// Address of the first block of sessions: 0x69f000, 69f000, or 6942720 in decimal
    #[arg(value_parser = parse_address)]
    head: Option<PhysAddr>,
}

const SHIPPED_IMAGE: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/block-boundaries.pages"));
const SHIPPED_HEAD: PhysAddr = PhysAddr::new(0x69_f000);

const FORMAT: &str = "an image is a file of records, each a physical address (u64, little endian) \
                      and the 4096 bytes of the page there";
const PAGE: usize = 4096;
const RECORD: usize = size_of::<u64>() + PAGE;
/// The most pages that are kept in memory: 1 GiB.
const MAX_PAGES: usize = 1 << 18;

fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run)
}

fn run(args: Args) -> anyhow::Result<()> {
    let image = match &args.image {
        Some(path) => open(path).with_context(|| format!("can't read {}", path.display()))?,
        None => load(SHIPPED_IMAGE)?,
    };
    let head = SetHead::new(args.head.unwrap_or(SHIPPED_HEAD));
    list(&image, head, &mut program::stdout())
}

fn open(path: &Path) -> anyhow::Result<DumpMemory<'static>> {
    load(File::open(path)?)
}

/// Reads an image record by record, so that what is none ends early: a device that never does, too.
fn load(mut file: impl Read) -> anyhow::Result<DumpMemory<'static>> {
    let mut image = DumpMemory::new();
    for number in 0_usize.. {
        let mut record = Vec::with_capacity(RECORD);
        file.by_ref().take(RECORD as u64).read_to_end(&mut record)?;
        if number == 0 {
            ensure!(!record.is_empty(), "it is empty; {FORMAT}");
            if let Some(other) = other_format(&record) {
                bail!("it is {other}; {FORMAT}");
            }
        }
        if record.is_empty() {
            break;
        }
        ensure!(
            record.len() == RECORD,
            "it is not a whole number of records: the one at byte {} has {} bytes of {RECORD}; \
             {FORMAT}",
            number * RECORD,
            record.len(),
        );
        ensure!(number < MAX_PAGES, "it has more than {MAX_PAGES} pages");
        let (addr, page) = record.split_first_chunk().context("a record has an address")?;
        let addr = PhysAddr::new(u64::from_le_bytes(*addr));
        ensure!(
            addr.get() % PAGE as u64 == 0,
            "the record at byte {} is for {addr}, where no page begins; {FORMAT}",
            number * RECORD
        );
        image.insert(addr, page.to_vec())?;
    }
    Ok(image)
}

/// What a file is that begins like this, if it is of a format in which memory is captured or packed.
/// No image begins so: the first byte of a page's address is zero.
fn other_format(start: &[u8]) -> Option<&'static str> {
    let formats: [(&[u8], _); 9] = [
        (b"\x7fELF", "an ELF file, as /proc/vmcore is and a core dump"),
        (b"KDUMP   ", "a kdump-compressed dump"),
        (b"DISKDUMP", "a diskdump"),
        (b"makedumpfile", "a flattened dump of makedumpfile"),
        (b"EMiL", "a LiME dump"),
        (b"\x1f\x8b", "compressed by gzip"),
        (b"\xfd7zXZ\0", "compressed by xz"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (b"BZh", "compressed by bzip2"),
    ];
    formats.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, name)| *name)
}

/// Prints every session with its files; goes on with the next one after an error.
fn list(
    image: &DumpMemory<'_>,
    head: SetHead<Session>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    // Foreign, not viewed: whoever wrote the image need not have aligned what is in its pages.
    let sessions = ForeignSet::restore(image, head).context("the sessions")?;
    let mut seen: HashSet<_> = sessions.blocks().iter().copied().collect();
    let mut file_count = 0;
    let mut failed = 0;
    for session in &sessions {
        let session = session?;
        match read_files(image, &session, &mut seen) {
            Ok(files) => {
                writeln!(out, "{}: {} files", text(&session.name), files.len())?;
                file_count += files.len();
                for file in files {
                    let compatible = text(&file.compatible);
                    writeln!(out, "    token {:#018x}  {compatible} at {}", file.token, file.data)?;
                }
            }
            Err(error) => {
                writeln!(out, "{}: {error:#}", text(&session.name))?;
                failed += 1;
            }
        }
    }
    writeln!(out, "{} sessions, {file_count} files", sessions.len())?;
    ensure!(failed == 0, "{failed} sessions could not be read");
    Ok(())
}

/// The files of a session: a set whose head is a field of the session's entry.
///
/// Walked by hand, since each session's chain is good by itself and may still lead into that of
/// another: a block is followed once, or thousands of sessions could share one long chain.
fn read_files(
    image: &DumpMemory<'_>,
    session: &Session,
    seen: &mut HashSet<PhysAddr>,
) -> anyhow::Result<Vec<PreservedFile>> {
    let head = session.files.addr();
    let mut files = Vec::new();
    for link in ChainWalk::new(image, head, size_of::<PreservedFile>()) {
        let link = link?;
        ensure!(seen.insert(link.addr), "block {} is in a chain already", link.addr);
        for index in 0..link.count {
            files.push(link.read_entry(image, index)?);
        }
    }
    // Nothing in a block says how long its chain is; only here can a lost end show.
    ensure!(
        files.len() as u64 == session.file_count,
        "the chain at {head} has {} files, the session counts {}",
        files.len(),
        session.file_count
    );
    Ok(files)
}

/// The text in a field, fit to be shown: whoever wrote the image may have put anything there.
fn text(field: &[u8]) -> String {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).escape_debug().to_string()
}

/// An address in hexadecimal, with `0x` or without, or in decimal. Without `0x` it is hexadecimal if
/// that is where a page begins, which three zeros at the end say.
fn parse_address(text: &str) -> Result<PhysAddr, &'static str> {
    let parse = |digits: &str, radix| {
        // By itself it takes a sign, too.
        let signed = digits.starts_with(['+', '-']);
        u64::from_str_radix(digits, radix).ok().filter(|_| !signed)
    };
    let addr = match text.strip_prefix("0x") {
        Some(digits) => parse(digits, 16),
        None => parse(text, 16).filter(|addr| addr % PAGE as u64 == 0).or_else(|| parse(text, 10)),
    };
    addr.map(PhysAddr::new).ok_or("not the address of a page, such as 0x69f000, of up to 64 bits")
}
