//! Tests against a real kernel. Boots Linux in QEMU, starts a second kernel with kexec, and reads or
//! replaces what LUO hands over from one to the other. See `README.md`.

mod host;
mod scenario;
mod scenarios;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use kho_linux_source::{Lacking, program, say};

use host::deadline::Deadline;
use host::initramfs;
use host::kernel::Kernel;
use host::settings::Settings;
use host::tools::Missing;
use scenario::{Context, Scenario};

/// Limit for one scenario: a hundred times what it takes on an idle machine.
const SCENARIO_TIME: Duration = Duration::from_secs(300);

/// Limit for all scenarios together. The time to build the kernel does not count.
const SUITE_TIME: Duration = Duration::from_secs(20 * 60);

/// Boot Linux in QEMU, start a second kernel with kexec, and test what LUO hands over between them
///
/// README.md explains KHO_KERNEL_PACKAGE, KHO_KERNEL_CACHE, KHO_LINUX_MIRROR and KHO_REQUIRE_KEXEC.
#[derive(Parser)]
struct Arguments {
    /// Print the names of the scenarios
    #[arg(long, group = "task")]
    list: bool,

    /// Print the Debian packages that this machine lacks
    #[arg(long, group = "task")]
    missing: bool,

    /// Print the name of the newest kernel in the cache; fail if there is none
    #[arg(long, group = "task")]
    cached: bool,

    /// Build the kernel and the agent, and run no scenario
    #[arg(long, group = "task")]
    build_only: bool,

    /// Only scenarios with one of these in their names
    names: Vec<String>,
}

fn main() -> ExitCode {
    program("KHO_REQUIRE_KEXEC", run)
}

/// Returns whether all scenarios passed.
fn run(arguments: &Arguments) -> Result<bool> {
    let scenarios = select(&arguments.names)?;
    if arguments.list {
        scenarios.iter().try_for_each(|scenario| say(&scenario.name))?;
        return Ok(true);
    }
    let settings = Settings::read()?;
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        bail!(Lacking("the tests run on Linux for x86-64 only".to_owned()));
    }
    let cached = Kernel::cached(&settings)?;
    let missing = Missing::find(cached.is_none());
    if arguments.missing {
        return say(missing.packages().join(" ")).map(|()| true);
    }
    if arguments.cached {
        let name = cached.as_ref().map_or("no kernel is in the cache", |kernel| &kernel.name);
        return say(name).map(|()| cached.is_some());
    }
    if let Some(message) = missing.message() {
        bail!(Lacking(message));
    }
    let kernel = Kernel::get(&settings)?;
    say(format!("kernel: {}", kernel.name))?;
    let dir = tempfile::Builder::new().prefix("kho-").tempdir()?;
    let initrd = dir.path().join("initrd");
    initramfs::build(&kernel.image, &initrd)?;
    if arguments.build_only {
        return Ok(true);
    }
    let end = Deadline::after(SUITE_TIME);
    run_all(&scenarios, &Context { kernel, initrd, time: SCENARIO_TIME, end })
}

/// Returns the scenarios with one of these in their names, or all if there are no names.
fn select(names: &[String]) -> Result<Vec<Scenario>> {
    let mut scenarios = scenarios::all();
    for name in names {
        ensure!(
            scenarios.iter().any(|scenario| scenario.name.contains(name)),
            "no scenario has {name:?} in its name; --list prints them all"
        );
    }
    if !names.is_empty() {
        scenarios.retain(|scenario| names.iter().any(|name| scenario.name.contains(name)));
    }
    Ok(scenarios)
}

/// Runs scenarios, one for each processor at a time, since a machine in QEMU keeps one busy. Returns
/// whether all of them passed.
fn run_all(scenarios: &[Scenario], context: &Context) -> Result<bool> {
    let started = Instant::now();
    let queue = Mutex::new(scenarios.iter().enumerate());
    let results = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let work = || -> Result<()> {
        loop {
            let next = queue.lock().map(|mut queue| queue.next());
            let Ok(Some((number, scenario))) = next else { return Ok(()) };
            let started = Instant::now();
            let result = (scenario.run)(context);
            let seconds = started.elapsed().as_secs_f64();
            say(match &result {
                Ok(_) => format!("{} ... ok ({seconds:.1} s)", scenario.name),
                Err(error) => format!("{} ... FAILED ({seconds:.1} s): {error:#}", scenario.name),
            })?;
            if let Ok(mut results) = results.lock() {
                results.push((number, result));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        // A worker that panicked leaves its scenario without a result.
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect::<Result<()>>()
    })?;
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(number, _)| *number);
    say(format!("\n{:<40} result", "scenario"))?;
    for (number, result) in &results {
        let text = match result {
            Ok(text) => format!("ok      {text}"),
            Err(error) => {
                format!("FAILED  {error:#}").lines().next().unwrap_or_default().to_owned()
            }
        };
        say(format!("{:<40} {text}", scenarios[*number].name))?;
    }
    let passed = results.iter().filter(|(_, result)| result.is_ok()).count();
    let failed = scenarios.len() - passed;
    say(format!("\n{passed} passed, {failed} failed"))?;
    say(format!("in {:.1} s on {}", started.elapsed().as_secs_f64(), context.kernel.name))?;
    Ok(failed == 0)
}
