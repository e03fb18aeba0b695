//! Differential tests: kho-block and the kernel's C code do the same, or differ as docs/kernel.md
//! says.
//!
//! Without the C code there is one test, which prints `skipped: why` and passes, or fails if
//! `KHO_REQUIRE_LINUX` is 1. `KHO_CASES` is the number of random cases, 100,000 unless set.
//! `KHO_SEED` is the first seed.
// The tests run on 64 bits only.
#![allow(clippy::cast_possible_truncation)]
#![allow(unsafe_code)]

#[cfg(kho_linux)]
mod cases;
#[cfg(kho_linux)]
mod entries;
#[cfg(kho_linux)]
mod every_size;
#[cfg(kho_linux)]
mod facts;
#[cfg(kho_linux)]
mod hostile;
#[cfg(kho_linux)]
mod limits;
#[cfg(kho_linux)]
mod lockstep;
#[cfg(kho_linux)]
mod plan;
#[cfg(kho_linux)]
mod shapes;

/// Prints the version of the tested C code, or why there is none, even if the output of tests is
/// captured.
#[test]
fn c_code() {
    use std::io::Write;
    let line = match kho_linux_c::linux() {
        Ok(version) => format!("C code of {version}"),
        Err(why) => {
            assert!(std::env::var("KHO_REQUIRE_LINUX").as_deref() != Ok("1"), "{why}");
            format!("skipped: {why}")
        }
    };
    writeln!(std::io::stderr(), "\n{line}").unwrap();
}
