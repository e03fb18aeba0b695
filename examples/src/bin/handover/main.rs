//! Hands this machine's process table over to a successor of this very program.
//!
//! ```text
//! cargo run --release -p kho-examples --bin handover -- --entries 10M
//! ```
//!
//! The [`predecessor`] reads `/proc`, writes what it finds into linked blocks in a memfd, and makes
//! the [`jump`]: an `exec`, which ends its address space as a kexec would. Two things cross: a
//! descriptor, and the address of the root, which leads to all other sets. The [`successor`]
//! restores the sets, [verifies](verify) every entry against digests of the original objects, and
//! [reports](report) what it found and how long each step took.
//!
//! By default the file crosses sealed and is read in place. With `--generations N` it crosses
//! writable, through N successors: each claims all sets, adds an entry, and hands them over again.

use std::process::ExitCode;

use anyhow::{anyhow, ensure};
use clap::{Parser, Subcommand};
use kho_examples::program;
use parse_size::ByteSuffix;

mod corrupt;
mod entries;
mod jump;
mod predecessor;
mod report;
mod successor;
#[cfg(test)]
mod tests;
mod verify;

/// Hand this machine's process table over to a successor of this program, and verify it there
///
/// N may be written as 10000000, 10_000_000, 1e7 or 10M.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    /// Add N synthetic entries of 32 bytes
    #[arg(long, value_name = "N", default_value = "0", value_parser = count)]
    entries: u64,
    /// Hand over N times, through a writable file; each successor adds an entry
    #[arg(long, value_name = "N", value_parser = generations)]
    generations: Option<u64>,
    /// Flip one bit before the first jump, which the successor must notice; SEED selects the bit,
    /// by default at random
    #[arg(long, value_name = "SEED", num_args = 0..=1)]
    corrupt: Option<Option<u64>>,
    /// Show the N largest processes
    #[arg(long, value_name = "N", default_value = "10", value_parser = count)]
    top: u64,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Takes over: how the program starts itself
    #[command(hide = true)]
    Successor {
        /// Number of the inherited descriptor
        fd: i32,
        /// Address of the root
        #[arg(value_parser = parse_address)]
        root: u64,
    },
}

/// The largest number of generations: more would take hours.
const MAX_GENERATIONS: u64 = 1_000_000;

fn main() -> ExitCode {
    let entered = entries::now();
    program::run(env!("CARGO_BIN_NAME"), |args| run(args, entered))
}

fn run(args: Args, entered: u64) -> anyhow::Result<()> {
    if let Some(Role::Successor { fd, root }) = args.role {
        return successor::run(fd, root, entered);
    }
    let options = predecessor::Options {
        synthetic_count: args.entries,
        generations: args.generations.unwrap_or(0),
        rows: args.top,
        corrupt: args.corrupt.map(|seed| seed.unwrap_or(entered)),
    };
    match predecessor::run(&options)? {}
}

/// Parses a number such as 10_000_000, 1e7 or 10M.
fn count(text: &str) -> anyhow::Result<u64> {
    let config = parse_size::Config::new().with_byte_suffix(ByteSuffix::Deny);
    config.parse_size(text).map_err(|_| anyhow!("not a number such as 10000000, 1e7 or 10M"))
}

fn generations(text: &str) -> anyhow::Result<u64> {
    let number = count(text)?;
    ensure!((1..=MAX_GENERATIONS).contains(&number), "not a number from 1 to {MAX_GENERATIONS}");
    Ok(number)
}

/// Parses an address as it is printed: in hexadecimal, after `0x`.
fn parse_address(text: &str) -> Result<u64, String> {
    text.strip_prefix("0x")
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| "not an address such as 0x1000".into())
}
