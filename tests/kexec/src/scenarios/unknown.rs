//! State that the second kernel does not recognise: a version, a file's handler, the number of
//! sessions, pages that KHO does not preserve.

use std::mem::offset_of;

use anyhow::{Context as _, Result, bail, ensure};
use kho_block::{PhysAddr, ReadMemory};
use kho_luo::{CompatibleName, LuoFile, Warning};
use kho_luo_kexec_test::content::PAGE_SIZE;

use super::refusals::Reaction::{PanicsAtBoot, RefusesToOpen};
use super::refusals::{refused, written};
use crate::host::machine::{Answer, GuestRam, Machine};
use crate::host::preserved::{COUNT, HEADER_SIZE, NEXT};
use crate::scenario::{
    Context, Expected, Scenario, check_no_warnings, check_second_kernel, read_state, words,
};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = vec![
        Scenario::new("unknown-root-version", root_version),
        Scenario::new("unknown-sessions-behind-a-low-count", low_count),
    ];
    // A handler that nobody has, and the next version of one that the kernel has.
    for handler in ["nobody-v1", "memfd-v3"] {
        let name = format!("unknown-handler-{handler}");
        scenarios.push(Scenario::new(name, move |context| unknown_handler(context, handler)));
    }
    for (name, place) in
        [("root", Place::Root), ("sessions", Place::Sessions), ("files", Place::Files)]
    {
        let name = format!("unpreserved-page-of-{name}");
        scenarios.push(Scenario::new(name, move |context| unpreserved(context, place)));
    }
    scenarios
}

/// A block in the middle counts fewer sessions than it has. The number of all sessions is not
/// handed over, so the kernel does not miss the others.
fn low_count(context: &Context) -> Result<String> {
    let (mut prepared, state, head) = written(context)?;
    prepared.stage.set(state.session_blocks[0], COUNT, COUNTED as u64)?;
    prepared.store(head)?;
    let read = read_state(&mut prepared.machine)?;
    let ours = match &read.warnings[..] {
        [warning @ Warning::ShortBlock { .. }] => warning.to_string(),
        other => bail!("we warn of {other:?}"),
    };
    let mut expected: Vec<Expected> =
        prepared.sessions.into_iter().map(|(session, _)| session).collect();
    let lost: Vec<Expected> = expected.drain(COUNTED..51).collect();
    check_second_kernel(&mut prepared.machine, &expected)?;
    prepared.machine.tell_each("absent", &words(&lost))?;
    check_no_warnings(&mut prepared.machine)?;
    Ok(format!("we: {ours}; kernel: accepts it, {} sessions are lost", lost.len()))
}

/// The number of sessions that the block counts, of 51.
const COUNTED: usize = 20;

fn root_version(context: &Context) -> Result<String> {
    let (mut prepared, state, _) = written(context)?;
    prepared.machine.ram().write(state.root_addr, b"luo-v6\0\0")?;
    let ours = refused(&mut prepared, "version is \"luo-v6\"")?;
    let kernel = PanicsAtBoot.expect(&mut prepared.machine, "incompatible with 'luo-v5'")?;
    Ok(format!("we: {ours}; kernel: {kernel}"))
}

/// One file of one session names a handler that the kernel does not have.
fn unknown_handler(context: &Context, handler: &str) -> Result<String> {
    let (mut prepared, state, head) = written(context)?;
    let block = state.session("big").context("no big session")?.file_blocks[1];
    let offset = HEADER_SIZE + 5 * size_of::<LuoFile>() + offset_of!(LuoFile, compatible);
    prepared.stage.write(block, offset, &CompatibleName::new(handler)?.to_field())?;
    prepared.store(head)?;
    let read = read_state(&mut prepared.machine)?;
    let files = &read.session("big").context("no big session")?.files;
    ensure!(files[63 + 5].compatible == handler, "another file has the handler");
    let ours = match &read.warnings[..] {
        [warning @ Warning::UnknownHandler { .. }] => warning.to_string(),
        other => bail!("we warn of {other:?}"),
    };
    let mut machine = prepared.machine;
    let said = format!("No registered handler for compatible '{handler}'");
    let kernel = RefusesToOpen.expect(&mut machine, &said)?;
    // It fails until the next boot, whatever the other sessions hold.
    let again = machine.ask("open")?;
    ensure!(matches!(&again, Answer::Failed(error) if error.contains("(EIO)")), "{again:?}");
    Ok(format!("we: {ours}; kernel: {kernel}"))
}

/// The content of a page that KHO does not preserve.
#[derive(Clone, Copy)]
enum Place {
    Root,
    /// The second block of sessions.
    Sessions,
    /// The second block of files of the session `big`.
    Files,
}

/// An address leads to a page that KHO does not preserve, which is free memory for the second
/// kernel.
fn unpreserved(context: &Context, place: Place) -> Result<String> {
    let (mut prepared, state, _) = written(context)?;
    let files = &state.session("big").context("no big session")?.file_blocks;
    // The part that moves to the page, its old address, and the place of the address that leads to
    // it.
    let (what, from, link) = match place {
        Place::Root => {
            ("LUO's root", state.root_addr, link_to_root(&mut prepared.machine, state.root_addr)?)
        }
        Place::Sessions => {
            ("the sessions", state.session_blocks[1], field(state.session_blocks[0], NEXT)?)
        }
        Place::Files => ("the files of session 56", files[1], field(files[0], NEXT)?),
    };
    let mut page = [0; PAGE_SIZE];
    prepared.machine.ram().read(from, &mut page)?;
    let to = unused_page(prepared.machine.ram())?;
    prepared.machine.ram().write(to, &page)?;
    prepared.machine.ram().write(link, bytemuck::bytes_of(&to))?;
    let ours = refused(&mut prepared, &format!("{to}, which belongs to {what}"))?;
    ensure!(ours.ends_with("is not preserved"), "we refused it for another reason: {ours}");

    // The kernel may use the page. Then there is no telling what it finds.
    prepared.machine.go_on_to_luo()?;
    let mut now = [0; PAGE_SIZE];
    prepared.machine.ram().read(to, &mut now)?;
    ensure!(now == page, "the kernel has used the page, as it may");
    let expected: Vec<Expected> =
        prepared.sessions.into_iter().map(|(session, _)| session).collect();
    check_second_kernel(&mut prepared.machine, &expected)?;
    let said = prepared.machine.message("WARNING: kernel/liveupdate/kexec_handover.c")?;
    ensure!(said.contains("kho_restore_page"), "another warning: {said}");
    Ok(format!("we: {ours}; kernel: accepts it, and warns when it frees the page: {said:?}"))
}

/// Returns the address of a field of a block.
fn field(block: PhysAddr, offset: usize) -> Result<PhysAddr> {
    block.checked_add(offset as u64).context("past the end")
}

/// Returns where in KHO's device tree the root's address is.
fn link_to_root(machine: &mut Machine, root: PhysAddr) -> Result<PhysAddr> {
    let tree = machine.kho_device_tree()?;
    let mut page = [0; PAGE_SIZE];
    machine.ram().read(tree, &mut page)?;
    let mut places =
        page.windows(8).zip(0..).filter(|(word, _)| *word == bytemuck::bytes_of(&root));
    let place = places.next().context("the tree does not lead to the root")?.1;
    ensure!(places.next().is_none(), "the tree has the root's address twice");
    field(tree, place)
}

/// Returns a page of zeros, far from the memory that is given out first.
fn unused_page(ram: &GuestRam) -> Result<PhysAddr> {
    let mut page = [0; PAGE_SIZE];
    for addr in (ram.len() / 2..ram.len()).step_by(PAGE_SIZE).map(PhysAddr::new) {
        ram.read(addr, &mut page)?;
        if page.iter().all(|byte| *byte == 0) {
            return Ok(addr);
        }
    }
    bail!("every page is used")
}
