//! kho-block and the kernel's C code do the same, or differ as docs/kernel.md says.
//!
//! Without the C code every test prints `skipped: why` and passes; with `KHO_REQUIRE_LINUX=1` it
//! fails. `KHO_CASES` is how many random cases there are in all, 100,000 by default; `KHO_SEED` takes
//! others than usual.
// Tests, on 64 bits.
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

/// Says on a line of its own, past the capture of test output, what was tested or why not.
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
