//! Proof against a real kernel: boots Linux in QEMU, starts a second one with kexec, and reads or
//! replaces what LUO hands over between the two. See `README.md`.

mod host;
mod scenarios;

use std::env;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use host::initramfs;
use host::kernel::{Kernel, has_tool};
use host::machine::QEMU;
use scenarios::{Context, Scenario};

/// For one scenario, on a slow machine that does other things too.
const SCENARIO_TIME: Duration = Duration::from_secs(180);

const HELP: &str =
    "usage: kho-luo-kexec-test [--list] [--build-only] [PART OF A SCENARIO'S NAME]...";

fn main() -> ExitCode {
    match run() {
        Ok(Outcome::Passed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Skipped(why)) => {
            println!("skipped: {why}");
            let required = env::var_os("KHO_REQUIRE_KEXEC").is_some_and(|value| value == "1");
            if required { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

fn run() -> Result<Outcome> {
    let mut scenarios = scenarios::all();
    let mut wanted = Vec::new();
    let mut build_only = false;
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--list" => {
                scenarios.iter().for_each(|scenario| println!("{}", scenario.name));
                return Ok(Outcome::Passed);
            }
            "--build-only" => build_only = true,
            name if !name.starts_with('-') => wanted.push(name.to_owned()),
            _ => bail!("{HELP}"),
        }
    }
    if !wanted.is_empty() {
        scenarios.retain(|scenario| wanted.iter().any(|name| scenario.name.contains(name)));
        if scenarios.is_empty() {
            bail!("no scenario has such a name; --list lists them");
        }
    }

    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Ok(Outcome::Skipped("the test is for Linux on x86-64".to_owned()));
    }
    for (tool, package) in [(QEMU, "qemu-system-x86"), ("setpriv", "util-linux")] {
        if !has_tool(tool) {
            return Ok(Outcome::Skipped(format!("there is no {tool}; install {package}")));
        }
    }
    let kernel = match Kernel::get()? {
        Ok(kernel) => kernel,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    println!("kernel: {}", kernel.name);
    let dir = tempfile::Builder::new().prefix("kho-").tempdir()?;
    let initrd = dir.path().join("initrd");
    initramfs::build(&kernel.image, &initrd)?;
    if build_only {
        return Ok(Outcome::Passed);
    }
    let passed = run_all(&scenarios, &Context { kernel, initrd, time: SCENARIO_TIME });
    Ok(if passed { Outcome::Passed } else { Outcome::Failed })
}

/// Runs as many at a time as there are processors; a machine in QEMU keeps one busy.
fn run_all(scenarios: &[Scenario], context: &Context) -> bool {
    let started = Instant::now();
    let queue = Mutex::new(scenarios.iter().enumerate());
    let results = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().map(|mut queue| queue.next());
                    let Ok(Some((number, scenario))) = next else { break };
                    let started = Instant::now();
                    let result = (scenario.run)(context);
                    let seconds = started.elapsed().as_secs_f64();
                    match &result {
                        Ok(_) => println!("{} ... ok ({seconds:.1} s)", scenario.name),
                        Err(error) => {
                            println!("{} ... FAILED ({seconds:.1} s): {error:#}", scenario.name);
                        }
                    }
                    if let Ok(mut results) = results.lock() {
                        results.push((number, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(number, _)| *number);
    println!("\n{:<40} result", "scenario");
    for (number, result) in &results {
        let text = match result {
            Ok(text) => format!("ok      {text}"),
            Err(error) => {
                format!("FAILED  {error:#}").lines().next().unwrap_or_default().to_owned()
            }
        };
        println!("{:<40} {text}", scenarios[*number].name);
    }
    let passed = results.iter().filter(|(_, result)| result.is_ok()).count();
    // A scenario that panicked has no result.
    let failed = scenarios.len() - passed;
    println!("\n{passed} passed, {failed} failed");
    println!("in {:.1} s on {}", started.elapsed().as_secs_f64(), context.kernel.name);
    failed == 0
}
