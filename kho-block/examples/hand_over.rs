//! Writes a set into a memfd, seals the file, and reads the set in place as a successor would.
//!
//! ```text
//! cargo run -p kho-block --features memfd --example hand_over
//! ```

use std::error::Error;

use bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, MemfdMemory, SealedMemfd, SetView};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "memory-slot", version = 1)]
struct MemorySlot {
    guest_address: u64,
    bytes: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    // The predecessor reserves blocks while its guest runs, and fills them while the guest is stopped.
    let memory = MemfdMemory::new("slots")?;
    let mut slots = BlockSet::try_with_capacity_in(&memory, 1000)?;
    let mut writer = slots.writer();
    for slot in 0..1000 {
        writer.push_within_capacity(MemorySlot { guest_address: slot << 30, bytes: 1 << 30 })?;
    }
    drop(writer); // publishes the last block

    // Two things cross: a file that nobody can change any more, and the address of the first block.
    let head = slots.hand_over();
    let file = memory.seal()?.into_fd();
    println!("handed over: a sealed memfd with a set at {}", head.addr());

    // The successor checks the chain once, then reads the entries where they are.
    let memory = SealedMemfd::open(file)?;
    let slots = SetView::restore(&memory, head)?;
    let bytes: u64 = slots.iter().map(|slot| slot.bytes).sum();
    println!("restored: {} slots in {} blocks", slots.len(), slots.block_count());
    println!("the last one begins at {:#x}", slots[999].guest_address);
    assert_eq!(bytes, 1000 << 30);
    Ok(())
}
