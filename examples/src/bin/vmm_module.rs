//! A preservation module for a virtual machine monitor, to copy from.
//!
//! ```text
//! cargo run -p kho-examples --bin vmm_module
//! ```
//!
//! The module saves what a guest needs to go on in the monitor's successor: the registers of the
//! vCPUs, the memory slots and the devices, each in a set of its own, and a root that leads to them.
//! It works in two steps:
//!
//! - [`prepare`](Module::prepare) reserves blocks while the guest runs. If that fails, nothing has
//!   changed.
//! - [`freeze`](Module::freeze) stops the guest and saves its state, without allocating. If a device
//!   refuses, the entries are rolled back and the guest goes on: the update can be tried again later.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Parser;
use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::{
    BlockMemory, BlockSet, Entry, HeapMemory, PushError, ReserveError, SetHead, Writer,
    text::{self, TextError},
};
use kho_examples::program;

#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "vcpu", version = 1)]
struct Vcpu {
    general: [u64; 16],
    rip: u64,
    rflags: u64,
    control: [u64; 4],
    efer: u64,
    apic_id: u32,
    halted: u32, // not `bool`: only two of its bit patterns are valid
}

#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "memory-slot", version = 1)]
struct MemorySlot {
    guest_address: u64,
    bytes: u64,
    /// Token of the memfd with the memory, which is preserved by itself: guest memory is not copied.
    token: u64,
    flags: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "device", version = 1)]
struct Device {
    #[entry(text)]
    name: [u8; 16],
    features: u64,
    queue: [u16; 4],
}

/// The root: the only entry of the only set whose head has to be kept.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "machine", version = 1)]
struct Machine {
    vcpus: SetHead<Vcpu>,
    slots: SetHead<MemorySlot>,
    devices: SetHead<Device>,
}

/// The parts of a running guest that matter here.
struct Guest {
    vcpus: Vec<Vcpu>,
    slots: Vec<MemorySlot>,
    devices: Vec<LiveDevice>,
    running: bool,
}

struct LiveDevice {
    state: Device,
    /// Whether requests are in flight, so that it can't be frozen.
    busy: bool,
    frozen: bool,
}

#[derive(Debug, thiserror::Error)]
enum FreezeError {
    #[error("device {0} can't be frozen: it has requests in flight")]
    Busy(String),
    #[error("the guest has grown since the blocks were reserved")]
    Grown,
}

// The entry that a `PushError` gives back is not needed: the guest still has it.
impl<T> From<PushError<T>> for FreezeError {
    fn from(_: PushError<T>) -> Self {
        Self::Grown
    }
}

struct Module<M: BlockMemory> {
    machine: BlockSet<Machine, M>,
    vcpus: BlockSet<Vcpu, M>,
    slots: BlockSet<MemorySlot, M>,
    devices: BlockSet<Device, M>,
}

impl<M: BlockMemory + Clone> Module<M> {
    /// Reserves room for the whole guest. If one set gets none, the sets before it are dropped, which
    /// frees their blocks.
    fn prepare(memory: M, guest: &Guest) -> Result<Self, ReserveError> {
        Ok(Self {
            machine: BlockSet::try_with_capacity_in(memory.clone(), 1)?,
            vcpus: BlockSet::try_with_capacity_in(memory.clone(), guest.vcpus.len())?,
            slots: BlockSet::try_with_capacity_in(memory.clone(), guest.slots.len())?,
            devices: BlockSet::try_with_capacity_in(memory, guest.devices.len())?,
        })
    }

    /// Stops the guest and saves its state. After an error the guest runs, and the sets are empty and
    /// keep their blocks for another try.
    fn freeze(&mut self, guest: &mut Guest) -> Result<(), FreezeError> {
        // A transaction that fails rolls its own set back. Nested like this, an error anywhere rolls
        // all three back, the innermost first.
        let result = self.vcpus.transaction(|vcpus| {
            guest.running = false;
            for vcpu in &guest.vcpus {
                vcpus.push_within_capacity(*vcpu)?;
            }
            self.slots.transaction(|slots| {
                for slot in &guest.slots {
                    slots.push_within_capacity(*slot)?;
                }
                self.devices.transaction(|devices| freeze_devices(&mut guest.devices, devices))
            })
        });
        if result.is_err() {
            // The sets have rolled back. Waking the guest is up to this module.
            for device in &mut guest.devices {
                device.frozen = false;
            }
            guest.running = true;
        }
        result
    }

    /// Hands all sets over, the root last: from then on the successor can find them.
    fn hand_over(mut self) -> Result<SetHead<Machine>, FreezeError> {
        self.machine.writer().push_within_capacity(Machine {
            vcpus: self.vcpus.hand_over(),
            slots: self.slots.hand_over(),
            devices: self.devices.hand_over(),
        })?;
        Ok(self.machine.hand_over())
    }
}

fn freeze_devices<M: BlockMemory>(
    devices: &mut [LiveDevice],
    writer: &mut Writer<'_, Device, M>,
) -> Result<(), FreezeError> {
    for device in devices {
        if device.busy {
            return Err(FreezeError::Busy(name(&device.state).to_owned()));
        }
        device.frozen = true;
        writer.push_within_capacity(device.state)?;
    }
    Ok(())
}

/// Claims every set that the root leads to, in the successor.
///
/// An error names the block at fault. A guest with half of its state must not be resumed.
fn resume<M: BlockMemory + Clone>(memory: M, head: SetHead<Machine>) -> anyhow::Result<Guest> {
    let machine = BlockSet::restore(memory.clone(), head).context("the machine")?;
    ensure!(machine.len() == 1, "there are {} machines, not 1", machine.len());
    let Machine { vcpus, slots, devices } = machine[0];
    let vcpus = BlockSet::restore(memory.clone(), vcpus).context("the vCPUs")?;
    let slots = BlockSet::restore(memory.clone(), slots).context("the memory slots")?;
    let devices = BlockSet::restore(memory, devices).context("the devices")?;
    let device = |state: &Device| LiveDevice { state: *state, busy: false, frozen: false };
    Ok(Guest {
        vcpus: vcpus.iter().copied().collect(),
        slots: slots.iter().copied().collect(),
        devices: devices.iter().map(device).collect(),
        running: true,
    }) // the sets are dropped here, which frees their blocks: the state is in the guest again
}

fn name(device: &Device) -> &str {
    text::from_field(&device.name).unwrap_or("without a name")
}

fn guest() -> Result<Guest, TextError> {
    let vcpu = |id: u32| Vcpu {
        general: std::array::from_fn(|register| u64::from(id) << 32 | register as u64),
        rip: 0xffff_ffff_8100_0000 + u64::from(id),
        rflags: 0x202,
        control: [0x8005_0033, 0, 0x10_0000, 0x37_06b0],
        efer: 0xd01,
        apic_id: id,
        halted: u32::from(id > 0),
    };
    let slot = |guest_address, bytes, token| MemorySlot { guest_address, bytes, token, flags: 0 };
    let device = |name| {
        // Checked: the successor finds its devices by these names, and two that were cut could be one.
        let name = text::to_field(name)?;
        let state = Device { name, features: 0x1_3000_0000, queue: [256, 17, 17, 1] };
        Ok(LiveDevice { state, busy: false, frozen: false })
    };
    Ok(Guest {
        vcpus: (0..64).map(vcpu).collect(),
        slots: vec![slot(0, 0xc000_0000, 1), slot(0x1_0000_0000, 0x4000_0000, 2)],
        devices: ["console", "net", "disk", "rng"]
            .into_iter()
            .map(device)
            .collect::<Result<_, _>>()?,
        running: true,
    })
}

/// Save the state of a guest, roll back when a device refuses, try again, and resume the guest
#[derive(Parser)]
struct Args {}

fn run(_: Args) -> anyhow::Result<()> {
    let out = &mut program::stdout();
    // Use `MemfdMemory` if the successor is another process. The module stays as it is.
    let memory = HeapMemory::new();
    let mut guest = guest()?;

    let mut module = Module::prepare(&memory, &guest)?;
    let reserved = memory.usage();
    writeln!(out, "prepare: {} blocks reserved while the guest runs", reserved.owned)?;

    guest.devices[2].busy = true;
    let error = module.freeze(&mut guest).err().context("a busy device was frozen")?;
    writeln!(out, "first freeze: {error}")?;
    ensure!(
        guest.running && !guest.devices.iter().any(|device| device.frozen),
        "the guest does not run"
    );
    ensure!(module.vcpus.is_empty() && module.slots.is_empty() && module.devices.is_empty());
    ensure!(memory.usage() == reserved, "the first freeze has changed the blocks");
    writeln!(out, "    rolled back: the guest runs, and the blocks are still reserved")?;

    guest.devices[2].busy = false;
    module.freeze(&mut guest)?;
    ensure!(memory.usage() == reserved, "the second freeze has changed the blocks");
    let head = module.hand_over()?;
    let preserved = memory.usage().preserved;
    ensure!(memory.usage().owned == 0, "some blocks were not handed over");
    writeln!(out, "second freeze: {preserved} blocks handed over, root at {}", head.addr())?;

    let successor = resume(&memory, head)?;
    let states =
        |guest: &Guest| guest.devices.iter().map(|device| device.state).collect::<Vec<_>>();
    ensure!(successor.vcpus == guest.vcpus, "the vCPUs differ");
    ensure!(successor.slots == guest.slots, "the memory slots differ");
    ensure!(states(&successor) == states(&guest), "the devices differ");
    ensure!(successor.running, "the guest was not resumed");
    ensure!((memory.usage().owned, memory.usage().preserved) == (0, 0), "a block has leaked");
    writeln!(
        out,
        "successor: {} vCPUs, {} memory slots and {} devices restored and verified",
        successor.vcpus.len(),
        successor.slots.len(),
        successor.devices.len(),
    )?;
    Ok(())
}

fn main() -> ExitCode {
    program::run(env!("CARGO_BIN_NAME"), run)
}
