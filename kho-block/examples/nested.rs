//! Nests sets in a set: each session has a set of files, found by a head in the session's entry.
//!
//! ```text
//! cargo run -p kho-block --example nested
//! ```

use std::error::Error;

use bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, HeapMemory, SetHead, text};

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "session", version = 1)]
struct Session {
    #[entry(text)]
    name: [u8; 32],
    files: SetHead<File>,
}

#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "file", version = 1)]
struct File {
    token: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let memory = HeapMemory::new();
    let mut sessions = BlockSet::new_in(&memory);
    for (name, count) in [("vm1", 3), ("vm2", 1000), ("idle", 0)] {
        let mut files = BlockSet::new_in(&memory);
        files.try_extend((0..count).map(|token| File { token }))?;
        // The inner set is handed over first: its head is a field of the outer entry.
        sessions.push(Session { name: text::to_field(name)?, files: files.hand_over() })?;
    }
    let head: SetHead<Session> = sessions.hand_over();
    println!("handed over {} blocks, found from {}", memory.usage().preserved, head.addr());

    // The successor needs one head. The types of all sets follow from it.
    let sessions = BlockSet::restore(&memory, head)?;
    for session in &sessions {
        let files = BlockSet::restore(&memory, session.files)?;
        let name = text::from_field(&session.name)?;
        println!("{name:4}  files: {:4}  blocks: {}", files.len(), files.block_count());
    }
    drop(sessions);
    assert_eq!(memory.usage().preserved, 0, "a block was not claimed");
    Ok(())
}
