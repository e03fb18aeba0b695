//! Restores a set from untrusted bytes. Damage gives an error that names the block.
//!
//! ```text
//! cargo run -p kho-block --features memfd --example damaged
//! ```

use std::error::Error;

use bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, ChainWalk, Entry, ForeignSet, MemfdMemory, PhysAddr, SliceMemory};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "record", version = 1)]
struct Record {
    number: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let memory = MemfdMemory::new("records")?;
    let mut records = BlockSet::new_in(&memory);
    records.try_extend((0..2000).map(|number| Record { number }))?;
    let third = records.blocks().nth(2).ok_or("the set is too small")?;
    let head = records.hand_over();

    // A copy of the blocks, as it may come from a file or a socket, with one bit flipped: the
    // header of the third block now counts more entries than fit.
    let mut bytes = memory.seal()?.as_bytes().to_vec();
    let count = usize::try_from(third.get())? + 8;
    bytes[count + 2] ^= 1;
    let received = SliceMemory::new(PhysAddr::NULL, &bytes);
    let error = ForeignSet::restore(&received, head).map(drop).unwrap_err();
    println!("refused: {error}");
    assert_eq!(error.addr, third);

    // The entries before the damage can still be read.
    let walk = ChainWalk::new(&received, head.addr(), size_of::<Record>());
    let good: usize = walk.map_while(Result::ok).map(|block| block.count).sum();
    println!("readable before the damage: {good} records");

    // The refusal changed nothing: once the bit is flipped back, the set is whole.
    bytes[count + 2] ^= 1;
    let received = SliceMemory::new(PhysAddr::NULL, &bytes);
    let records = ForeignSet::restore(&received, head)?;
    println!("repaired: {} records", records.len());
    assert!(records.iter().zip(0..2000).all(|(record, n)| record.is_ok_and(|r| r.number == n)));
    Ok(())
}
