//! LUO's state: read, verified and written, from captures of a real kernel and from hostile memory.
// The captures are those of x86-64.
#![cfg(all(target_endian = "little", target_pointer_width = "64"))]
#![allow(clippy::cast_possible_truncation)]

mod captures;
mod cost;
mod find;
mod hostile;
mod preserved;
mod props;
mod warnings;
mod world;
mod write;
