//! Reads LUO's sessions out of captured physical memory.
//!
//! ```text
//! cargo run -p kho-examples --bin read_image [IMAGE HEAD]
//! ```
//!
//! An image is a file of records: a physical address, `u64` in little endian, and the 4096 bytes of
//! the page there. HEAD is the address of the first block of sessions, such as `0x69f000`. Without
//! arguments it reads the image that comes with this example, taken from Linux 7.2 at the moment of
//! a handover.
//!
//! The image is not trusted: whatever is in it, the answer is a listing or an error that names the
//! block. Exits with 1 if any session could not be read.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Parser;
use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{Entry, ForeignSet, ImageMemory, PhysAddr, SetHead};

/// `struct luo_session_ser` of Linux 7.2.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-session", version = 5)]
struct Session {
    #[entry(text)]
    name: [u8; 64],
    files: SetHead<File>,
    file_count: u64,
}

/// `struct luo_file_ser`.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "luo-file", version = 5)]
struct File {
    #[entry(text)]
    compatible: [u8; 48],
    data: PhysAddr,
    token: u64,
}

/// List the sessions in captured physical memory
#[derive(Parser)]
struct Args {
    /// File of pages, each with its address
    #[arg(requires = "head")]
    image: Option<PathBuf>,
    /// Address of the first block of sessions
    #[arg(value_parser = parse_address)]
    head: Option<u64>,
}

const SHIPPED_IMAGE: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/block-boundaries.pages"));
const SHIPPED_HEAD: u64 = 0x69_f000;

const PAGE: usize = 4096;
const RECORD: usize = size_of::<u64>() + PAGE;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("read_image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let bytes = match &args.image {
        Some(path) => {
            fs::read(path).with_context(|| format!("can't read {}", path.display()))?.into()
        }
        None => Cow::Borrowed(SHIPPED_IMAGE),
    };
    let image = load(&bytes)?;
    let head = SetHead::new(PhysAddr::new(args.head.unwrap_or(SHIPPED_HEAD)));
    list(&image, head, &mut io::stdout().lock())
}

/// The image with its pages borrowed from the file's bytes.
fn load(bytes: &[u8]) -> anyhow::Result<ImageMemory<'_>> {
    let records = bytes.chunks_exact(RECORD);
    ensure!(
        records.remainder().is_empty(),
        "the image has {} bytes, not a whole number of records of {RECORD}",
        bytes.len()
    );
    let mut image = ImageMemory::new();
    for record in records {
        let (addr, page) = record.split_first_chunk().context("a record without an address")?;
        image.insert(PhysAddr::new(u64::from_le_bytes(*addr)), page)?;
    }
    Ok(image)
}

/// Prints every session with its files; goes on with the next one after an error.
fn list(
    image: &ImageMemory<'_>,
    head: SetHead<Session>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    // Foreign, not viewed: a page in a file of records is not aligned, so entries are copied out.
    let sessions = ForeignSet::restore(image, head).context("the sessions")?;
    let mut file_count = 0;
    let mut failed = 0;
    for session in &sessions {
        let session = session?;
        match read_files(image, &session) {
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
fn read_files(image: &ImageMemory<'_>, session: &Session) -> anyhow::Result<Vec<File>> {
    let files = ForeignSet::restore(image, session.files)?;
    // Nothing in a block says how long its chain is; only here can a lost end show.
    ensure!(
        files.len() as u64 == session.file_count,
        "the chain at {} has {} files, the session counts {}",
        session.files.addr(),
        files.len(),
        session.file_count
    );
    Ok(files.iter().collect::<Result<_, _>>()?)
}

/// The text in a field, fit to be shown: whoever wrote the image may have put anything there.
fn text(field: &[u8]) -> String {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).escape_debug().to_string()
}

/// An address as it is printed, in hexadecimal after `0x`, or in decimal.
fn parse_address(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}
