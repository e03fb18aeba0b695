//! State of a process that crosses a kernel update: the side before, and the side after.
//!
//! ```text
//! cargo run -p kho-luo --example preserve -- before    # waits; start the update: kexec -e
//! cargo run -p kho-luo --example preserve -- after     # in the new kernel
//! ```

use std::io::{self, Write as _};
use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod two_sides {
    use std::error::Error;
    use std::io::{self, Write as _};

    use kho_block::bytemuck::{Pod, Zeroable};
    use kho_block::{BlockSet, Entry, MemfdMemory, SetHead, SetView, text};
    use kho_luo::LiveUpdate;

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    #[entry(name = "memory-slot", version = 1)]
    struct MemorySlot {
        guest: u64,
        len: u64,
    }

    #[derive(Clone, Copy, Pod, Zeroable, Entry)]
    #[repr(C)]
    #[entry(name = "vm", version = 1)]
    struct Vm {
        #[entry(text)]
        name: [u8; 32],
        slots: SetHead<MemorySlot>,
    }

    const SESSION: &str = "kho-luo-example";
    const STATE: u64 = 1;

    /// Writes the state, preserves it, and waits for the update with the session open.
    pub(super) fn before() -> Result<(), Box<dyn Error>> {
        // First the device: without it all else is for nothing.
        let luo = LiveUpdate::open()?;
        let memory = MemfdMemory::new("vms")?;
        let mut vms = BlockSet::new_in(&memory);
        for (name, megabytes) in [("web", 512), ("database", 4096)] {
            let mut slots = BlockSet::new_in(&memory);
            slots.push(MemorySlot { guest: 0, len: 0xa_0000 })?;
            slots.push(MemorySlot { guest: 0x10_0000, len: (megabytes << 20) - 0x10_0000 })?;
            vms.push(Vm { name: text::to_field_truncated(name), slots: slots.hand_over() })?;
        }
        let head = vms.hand_over();

        let session = luo.create_session(SESSION)?;
        session.preserve_sealed(memory, head, STATE)?;
        drop(luo); // Others may want the device.
        writeln!(io::stdout(), "preserved in session {}; start the update", session.name()?)?;
        loop {
            // The session is undone when its last descriptor is closed.
            std::thread::park();
        }
    }

    /// Retrieves the state, reads it, and finishes the session.
    pub(super) fn after() -> Result<(), Box<dyn Error>> {
        let session = LiveUpdate::open()?.retrieve_session(SESSION)?;
        let (memory, head) = session.retrieve_sealed::<Vm, 4096>(STATE)?;
        for vm in &SetView::restore(&memory, head)? {
            let slots = SetView::restore(&memory, vm.slots)?;
            let bytes: u64 = slots.iter().map(|slot| slot.len).sum();
            let name = text::from_field(&vm.name)?;
            writeln!(io::stdout(), "{name}: {} slots, {bytes} bytes", slots.len())?;
        }
        session.finish()?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    // Not `args`, `println` and `eprintln`, which panic at what is not UTF-8 and where nobody reads.
    let side = std::env::args_os().nth(1);
    let result = match side.as_ref().and_then(|side| side.to_str()) {
        Some("before") => two_sides::before(),
        Some("after") => two_sides::after(),
        _ => Err("say which side: before or after".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "preserve: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    let _ = writeln!(io::stderr(), "preserve: LUO is a part of Linux");
    ExitCode::FAILURE
}
