//! The state of a process survives a kernel update.
//!
//! ```text
//! cargo run -p kho-luo --example preserve -- before    # then start the update: kexec -e
//! cargo run -p kho-luo --example preserve -- after     # in the new kernel
//! ```

use std::error::Error;
use std::io::{Write as _, stdout};

use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, MemfdMemory, SetView};
use kho_luo::LiveUpdate;

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "memory-slot", version = 1)]
struct MemorySlot {
    guest: u64,
    len: u64,
}

/// Preserves the state, and keeps the session open until the update.
fn before() -> Result<(), Box<dyn Error>> {
    let luo = LiveUpdate::open()?;
    let memory = MemfdMemory::new("vm1")?;
    let mut slots = BlockSet::new_in(&memory);
    slots.push(MemorySlot { guest: 0, len: 0xa_0000 })?;
    slots.push(MemorySlot { guest: 0x10_0000, len: 0x1ff0_0000 })?;
    let head = slots.hand_over();
    let session = luo.create_session("vm1")?;
    session.seal_and_preserve_memfd(memory, head, 1)?;
    drop(luo); // Only one process can have the device open.
    writeln!(stdout(), "preserved in session {}", session.name()?)?;
    loop {
        std::thread::park();
    }
}

/// Retrieves the state from the session, and finishes the session.
fn after() -> Result<(), Box<dyn Error>> {
    let session = LiveUpdate::open()?.retrieve_session("vm1")?;
    let (memory, head) = session.retrieve_sealed_memfd::<MemorySlot, 4096>(1)?;
    for slot in &SetView::restore(&memory, head)? {
        writeln!(stdout(), "{} bytes at {:#x}", slot.len, slot.guest)?;
    }
    Ok(session.finish()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(side) if side == "before" => before(),
        Some(side) if side == "after" => after(),
        _ => Err("which side: before or after?".into()),
    }
}
