//! State of a user of the library: tenants with machines with memory slots, in nested sets.

use anyhow::{Context, Result, ensure};
use bytemuck::{Pod, Zeroable};
use kho_block::{BlockSet, Entry, MemfdMemory, SealedMemfd, SetHead, SetView, text};

/// An owner of machines.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "tenant", version = 1)]
pub struct Tenant {
    #[entry(text)]
    name: [u8; 40],
    machines: SetHead<Machine>,
    machine_count: u64,
}

/// A virtual machine.
#[derive(Clone, Copy, Debug, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "machine", version = 3)]
pub struct Machine {
    id: u64,
    slots: SetHead<Slot>,
    slot_count: u64,
    registers: [u64; 8],
    vcpus: u32,
    flags: u32,
}

/// A range of a machine's memory.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable, Entry)]
#[repr(C)]
#[entry(name = "slot", version = 1)]
pub struct Slot {
    guest: u64,
    host: u64,
    len: u64,
    check: u64,
}

const TENANTS: u64 = 20;
const MACHINES: u64 = 50;
const SLOTS: u64 = 99;

/// Number of entries on all three levels.
pub const ENTRIES: u64 = TENANTS + TENANTS * MACHINES + TENANTS * MACHINES * SLOTS;

fn slot(machine: u64, index: u64) -> Slot {
    let guest = index << 21;
    let host = (machine << 32) + guest;
    let len = 1 << 21;
    let check = xxhash_rust::const_xxh3::xxh3_64(bytemuck::bytes_of(&[guest, host, len]));
    Slot { guest, host, len, check }
}

fn registers(machine: u64) -> [u64; 8] {
    core::array::from_fn(|index| machine.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index as u64)
}

fn tenant_name(tenant: u64) -> String {
    format!("tenant {tenant} of {TENANTS}")
}

/// Writes the state and hands it over. Returns its head.
///
/// # Errors
/// Returns an error if there is no memory for it.
pub fn create(memory: &MemfdMemory) -> Result<SetHead<Tenant>> {
    let mut tenants = BlockSet::<Tenant, _>::new_in(memory);
    for tenant in 0..TENANTS {
        let mut machines = BlockSet::<Machine, _>::new_in(memory);
        for number in 0..MACHINES {
            let id = tenant * MACHINES + number;
            let mut slots = BlockSet::<Slot, _>::new_in(memory);
            let mut writer = slots.writer();
            for index in 0..SLOTS {
                writer.push(slot(id, index))?;
            }
            drop(writer);
            let slots = slots.hand_over();
            let registers = registers(id);
            machines.push(Machine {
                id,
                slots,
                slot_count: SLOTS,
                registers,
                vcpus: 4,
                flags: 0,
            })?;
        }
        tenants.push(Tenant {
            name: text::to_field_truncated(&tenant_name(tenant)),
            machines: machines.hand_over(),
            machine_count: MACHINES,
        })?;
    }
    Ok(tenants.hand_over())
}

/// Claims the state and compares each entry. Then frees the blocks that no set has, adds an entry,
/// hands the state over again, seals the memory and views it. Returns the number of entries that came.
///
/// # Errors
/// Returns an error if an entry or a block is not as it was.
pub fn claim(memory: MemfdMemory, head: SetHead<Tenant>) -> Result<u64> {
    let mut tenants = BlockSet::restore(&memory, head).context("tenants")?;
    let mut entries = tenants.len() as u64;
    let mut claimed_machines = Vec::new();
    let mut claimed_slots = Vec::new();
    for (number, tenant) in (0..).zip(&tenants) {
        let machines = BlockSet::restore(&memory, tenant.machines).context("machines")?;
        check_tenant(number, tenant, machines.len())?;
        entries += machines.len() as u64;
        for (index, machine) in (0..).zip(&machines) {
            let slots = BlockSet::restore(&memory, machine.slots).context("slots")?;
            check_machine(number * MACHINES + index, machine, slots.iter())?;
            entries += slots.len() as u64;
            claimed_slots.push(slots);
        }
        claimed_machines.push(machines);
    }
    ensure!(entries == ENTRIES, "{entries} entries");
    memory.free_preserved();
    tenants.push(Tenant { name: text::to_field_truncated("one more"), ..Tenant::zeroed() })?;
    // The entries above have the heads already.
    for slots in claimed_slots {
        let _ = slots.hand_over();
    }
    for machines in claimed_machines {
        let _ = machines.hand_over();
    }
    let head = tenants.hand_over();
    let sealed = memory.seal()?;
    let tenants = SetView::restore(&sealed, head)?;
    ensure!(tenants.len() as u64 == TENANTS + 1, "{} tenants in the view", tenants.len());
    ensure!(text::from_field(&tenants[tenants.len() - 1].name)? == "one more", "the last tenant");
    Ok(entries)
}

/// Views the state in place and compares each entry. Returns the number of entries.
///
/// # Errors
/// Returns an error if an entry is not as it was.
pub fn view(memory: &SealedMemfd, head: SetHead<Tenant>) -> Result<u64> {
    let tenants = SetView::restore(memory, head).context("tenants")?;
    let mut entries = tenants.len() as u64;
    for (number, tenant) in (0..).zip(&tenants) {
        let machines = SetView::restore(memory, tenant.machines).context("machines")?;
        check_tenant(number, tenant, machines.len())?;
        entries += machines.len() as u64;
        for (index, machine) in (0..).zip(&machines) {
            let slots = SetView::restore(memory, machine.slots).context("slots")?;
            check_machine(number * MACHINES + index, machine, slots.iter())?;
            entries += slots.len() as u64;
        }
    }
    ensure!(entries == ENTRIES, "{entries} entries");
    Ok(entries)
}

fn check_tenant(number: u64, tenant: &Tenant, machines: usize) -> Result<()> {
    ensure!(text::from_field(&tenant.name)? == tenant_name(number), "the name of tenant {number}");
    ensure!(
        machines as u64 == MACHINES && tenant.machine_count == MACHINES,
        "tenant {number} has {machines} machines"
    );
    Ok(())
}

fn check_machine<'a>(
    id: u64,
    machine: &Machine,
    slots: impl ExactSizeIterator<Item = &'a Slot>,
) -> Result<()> {
    ensure!(machine.id == id && machine.registers == registers(id), "machine {id}");
    ensure!(
        slots.len() as u64 == SLOTS && machine.slot_count == SLOTS,
        "machine {id} has {} slots",
        slots.len()
    );
    for (index, found) in (0..).zip(slots) {
        ensure!(*found == slot(id, index), "slot {index} of machine {id}");
    }
    Ok(())
}
