//! Chains from outside: whatever their bytes say, `restore` gives the right error, claims nothing
//! and changes nothing.
#![allow(unsafe_code)]
// Tests, on 64 bits.
#![allow(clippy::cast_possible_truncation)]

#[path = "hostile/arena.rs"]
mod arena;
#[path = "hostile/counts.rs"]
mod counts;
#[path = "hostile/lying.rs"]
mod lying;
#[path = "hostile/named.rs"]
mod named;
#[path = "hostile/plan.rs"]
mod plan;
#[path = "hostile/race.rs"]
mod race;
#[path = "hostile/random.rs"]
mod random;
