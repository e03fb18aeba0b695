//! Keeps the C code that `kho-linux-c` compiles in a cache. See `README.md`.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser;
use kho_linux_source::{CCode, Package, mirror, mirrors, program, say};

/// Get kho_block.c and its headers from Debian's newest package of kernel sources, unless the cache
/// has them already
///
/// README.md explains KHO_LINUX_CACHE, KHO_LINUX_MIRROR and KHO_REQUIRE_LINUX.
#[derive(Parser)]
struct Arguments {
    /// Get the newest version, even if the cache has another
    #[arg(long)]
    update: bool,

    /// Print Debian's mirrors that this machine's apt uses, and get nothing
    #[arg(long, conflicts_with_all = ["update", "series"])]
    mirrors: bool,

    /// The Linux version to get and use from now on, such as 7.2, the oldest with the code
    #[arg(value_parser = package)]
    series: Option<Package>,
}

fn package(series: &str) -> Result<Package> {
    format!("linux-source-{series}").parse()
}

fn main() -> ExitCode {
    program("KHO_REQUIRE_LINUX", |arguments| run(arguments).map(|()| true))
}

fn run(arguments: &Arguments) -> Result<()> {
    if arguments.mirrors {
        // The output must be a list of mirrors only, so a failure is an error and never `skipped:
        // why`.
        let mirrors = mirrors(mirror()?.as_deref()).map_err(|error| anyhow!("{error:#}"))?;
        return mirrors.iter().try_for_each(say);
    }
    let code = CCode::from_env()?;
    if !arguments.update && code.report(arguments.series)? {
        return Ok(());
    }
    code.update(arguments.series)
}
