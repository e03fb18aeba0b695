//! Lists LUO's sessions from a dump: pages of physical memory, captured in a file.
//!
//! ```text
//! cargo run -p kho-examples --bin read_dump [DUMP HEAD]
//! ```
//!
//! A dump is a file of records, each a physical address (`u64`, little endian) and the 4096 bytes
//! of the page there. HEAD is the address of the first block of sessions, such as `0x69f000`.
//! Without arguments the program reads the dump that comes with it, captured from Linux 7.2 at the
//! moment of a handover.
//!
//! The dump is not trusted. For any content the program prints a listing, or an error that names
//! the block, and it reads each page at most once. It exits with 1 if any session can't be read.

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
///
/// # References
/// - `include/linux/kho/abi/luo.h`
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-session", version = 5)]
struct Session {
    #[entry(text)]
    name: [u8; 64],
    files: SetHead<PreservedFile>,
    file_count: u64,
}

/// `struct luo_file_ser` of Linux 7.2.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-file", version = 5)]
struct PreservedFile {
    #[entry(text)]
    compatible: [u8; 48],
    data: PhysAddr,
    token: u64,
}

/// List the sessions of Linux's Live Update Orchestrator in captured physical memory
///
/// A dump is a file of records, each a physical address (u64, little endian) and the 4096 bytes of
/// the page there. Without arguments, the dump that comes with this example is read.
#[derive(Parser)]
struct Args {
    /// File of pages, each with its address
    #[arg(requires = "head")]
    dump: Option<PathBuf>,
    /// Address of the first block of sessions, such as 0x69f000, 69f000 or 6942720
    #[arg(value_parser = parse_address)]
    head: Option<PhysAddr>,
}

const SHIPPED_DUMP: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/block-boundaries.pages"));
const SHIPPED_HEAD: PhysAddr = PhysAddr::new(0x69_f000);

const FORMAT: &str = "a dump is a file of records, each a physical address (u64, little endian) \
                      and the 4096 bytes of the page there";
const PAGE: usize = 4096;
const RECORD: usize = size_of::<u64>() + PAGE;
/// The most pages a dump may have: 1 GiB.
const MAX_PAGES: usize = 1 << 18;

fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run)
}

fn run(args: Args) -> anyhow::Result<()> {
    let dump = match &args.dump {
        Some(path) => open(path).with_context(|| format!("can't read {}", path.display()))?,
        None => load(SHIPPED_DUMP)?,
    };
    let head = SetHead::new(args.head.unwrap_or(SHIPPED_HEAD));
    list(&dump, head, &mut program::stdout())
}

fn open(path: &Path) -> anyhow::Result<DumpMemory<'static>> {
    load(File::open(path)?)
}

/// Reads a dump record by record, to stop early in other files, even a device without an end.
fn load(mut file: impl Read) -> anyhow::Result<DumpMemory<'static>> {
    let mut dump = DumpMemory::new();
    for number in 0_usize.. {
        let mut record = Vec::with_capacity(RECORD);
        file.by_ref().take(RECORD as u64).read_to_end(&mut record)?;
        if number == 0 {
            ensure!(!record.is_empty(), "the file is empty; {FORMAT}");
            if let Some(other) = other_format(&record) {
                bail!("the file is {other}; {FORMAT}");
            }
        }
        if record.is_empty() {
            break;
        }
        ensure!(
            record.len() == RECORD,
            "the file is not a whole number of records: the one at byte {} has {} of {RECORD} bytes; \
             {FORMAT}",
            number * RECORD,
            record.len(),
        );
        ensure!(number < MAX_PAGES, "the file has more than {MAX_PAGES} pages");
        let (addr, page) = record.split_first_chunk().context("the record has no address")?;
        let addr = PhysAddr::new(u64::from_le_bytes(*addr));
        ensure!(
            addr.get() % PAGE as u64 == 0,
            "the record at byte {} has the address {addr}, where no page begins; {FORMAT}",
            number * RECORD
        );
        dump.insert(addr, page.to_vec())?;
    }
    Ok(dump)
}

/// Returns what kind of file begins like this, if it is another format for captured memory, or a
/// compressed file. No dump begins like this: the first byte of a page's address is zero.
fn other_format(start: &[u8]) -> Option<&'static str> {
    let formats: [(&[u8], _); 9] = [
        (b"\x7fELF", "an ELF file, such as /proc/vmcore or a core dump"),
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

/// Prints every session with its files, and goes on with the next one after an error.
fn list(dump: &DumpMemory<'_>, head: SetHead<Session>, out: &mut impl Write) -> anyhow::Result<()> {
    // Not a view, which needs aligned pages: those of a dump lie in memory as they were read.
    let sessions = ForeignSet::restore(dump, head).context("the sessions")?;
    let mut seen: HashSet<_> = sessions.blocks().iter().copied().collect();
    let mut file_count = 0;
    let mut failed = 0;
    for session in &sessions {
        let session = session?;
        match read_files(dump, &session, &mut seen) {
            Ok(files) => {
                writeln!(out, "{}, files: {}", text(&session.name), files.len())?;
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
    writeln!(out, "sessions: {}, files: {file_count}", sessions.len())?;
    ensure!(failed == 0, "sessions that could not be read: {failed}");
    Ok(())
}

/// Reads the files of a session: a set whose head is a field of the session's entry.
///
/// A chain may be valid by itself and still lead into that of another session. It is walked block
/// by block so that each block is read once: thousands of sessions could share one long chain.
fn read_files(
    dump: &DumpMemory<'_>,
    session: &Session,
    seen: &mut HashSet<PhysAddr>,
) -> anyhow::Result<Vec<PreservedFile>> {
    let head = session.files.addr();
    let mut files = Vec::new();
    for block in ChainWalk::new(dump, head, size_of::<PreservedFile>()) {
        let block = block?;
        ensure!(seen.insert(block.addr), "block {} is already in another chain", block.addr);
        for index in 0..block.count {
            files.push(block.read_entry(dump, index)?);
        }
    }
    // No block tells how long its chain is. If its end was lost, only this count shows it.
    ensure!(
        files.len() as u64 == session.file_count,
        "the chain at {head} has {} files, but the session counts {}",
        files.len(),
        session.file_count
    );
    Ok(files)
}

/// Returns the text in a field, escaped: a dump may have anything there, such as control codes.
fn text(field: &[u8]) -> String {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).escape_debug().to_string()
}

/// Parses an address in hexadecimal, with or without `0x`, or in decimal.
///
/// Without `0x` it is taken as hexadecimal if a page begins there, that is, if it ends in three
/// zeros.
fn parse_address(text: &str) -> Result<PhysAddr, &'static str> {
    let parse = |digits: &str, radix| {
        // `from_str_radix` would accept a sign.
        let signed = digits.starts_with(['+', '-']);
        u64::from_str_radix(digits, radix).ok().filter(|_| !signed)
    };
    let addr = match text.strip_prefix("0x") {
        Some(digits) => parse(digits, 16),
        None => parse(text, 16).filter(|addr| addr % PAGE as u64 == 0).or_else(|| parse(text, 10)),
    };
    addr.map(PhysAddr::new).ok_or("not the address of a page, such as 0x69f000, of up to 64 bits")
}
