//! Writes a set into a memfd, and executes itself anew to read the set in place.
//!
//! ```text
//! cargo run -p kho-block --features memfd --example hand_over
//! ```

use std::env;
use std::error::Error;
use std::os::fd::AsFd;
use std::process::Command;

use bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, MemfdMemory, SealedMemfd, SetHead, SetView};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "memory-slot", version = 1)]
struct MemorySlot {
    guest_address: u64,
    bytes: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    match env::var("HEAD") {
        Ok(head) => successor(head.parse()?),
        Err(_) => predecessor(),
    }
}

/// Reserves blocks while the guest runs, and fills them while it is stopped.
fn predecessor() -> Result<(), Box<dyn Error>> {
    let memory = MemfdMemory::new("slots")?;
    let mut slots = BlockSet::try_with_capacity_in(&memory, 1000)?;
    let mut writer = slots.writer();
    for slot in 0..1000 {
        writer.push_within_capacity(MemorySlot { guest_address: slot << 30, bytes: 1 << 30 })?;
    }
    drop(writer); // publishes the last block

    // Two things cross: the address of the first block, and a file that nobody can change any more.
    let head = slots.hand_over();
    let file = memory.seal()?.into_fd();
    println!("handed over: a sealed memfd with a set at {head}");
    let status =
        Command::new("/proc/self/exe").env("HEAD", head.to_string()).stdin(file).status()?;
    assert!(status.success());
    Ok(())
}

/// Checks the chain once, then reads the entries where they are.
fn successor(head: SetHead<MemorySlot>) -> Result<(), Box<dyn Error>> {
    let memory = SealedMemfd::open(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    let slots = SetView::restore(&memory, head)?;
    println!("restored: {} slots in {} blocks", slots.len(), slots.block_count());
    println!("the last one begins at {:#x}", slots[999].guest_address);
    assert_eq!(slots.iter().map(|slot| slot.bytes).sum::<u64>(), 1000 << 30);
    Ok(())
}
