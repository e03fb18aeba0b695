//! The program after the jump: restores every set from the root, then verifies the sets or hands
//! them over again.

use std::io::Write as _;
use std::ops::Deref;
use std::os::fd::{AsFd as _, RawFd};

use anyhow::{Context as _, bail, ensure};
use kho_block::{
    BlockSet, Entries, Entry, MemfdMemory, PhysAddr, ReadMemory, RestoreError, SealedMemfd,
    SetHead, SetView, text,
};
use kho_examples::entries::{Mapping, OpenFile, Process};
use kho_examples::program;
use rustix::fs::{SealFlags, fcntl_get_seals};

use crate::entries::{BLOCK_LIMIT, Generation, Snapshot, Synthetic, now};
use crate::jump::{self, Crossing, Inherited};
use crate::report::Report;
use crate::verify::verify;

/// Takes over, and returns after the last generation. `entered` is when `main` began.
pub(crate) fn run(fd: RawFd, root: u64, entered: u64) -> anyhow::Result<()> {
    let file = jump::take(fd)?;
    let root = SetHead::new(PhysAddr::new(root));
    let seals = fcntl_get_seals(file.as_fd()).context("the descriptor is not a memfd")?;
    if seals.contains(SealFlags::WRITE) {
        view(file, root, entered)
    } else {
        claim(file, root, entered)
    }
}

/// Reads the sets in place: the file is sealed.
fn view(file: Inherited, root: SetHead<Snapshot>, entered: u64) -> anyhow::Result<()> {
    let memory =
        SealedMemfd::open(file.into_fd()).context("can't open the memfd that was handed over")?;
    let restored = Restored::restore(&memory, root)?;
    finish(&restored, entered, now())
}

/// Claims the sets, and hands them to the next generation if one is wanted. The file is ours alone.
fn claim(file: Inherited, root: SetHead<Snapshot>, entered: u64) -> anyhow::Result<()> {
    let memory = jump::claim_memory(file)?;
    let mut restored = Restored::restore(&memory, root)?;
    // The file grows in steps, so some of its blocks belong to no set. They too arrive as
    // preserved. Without this call nobody would use them, and the file would grow with each
    // generation.
    memory.free_preserved();
    let claimed = now();

    let number = restored.generations.len() as u64 + 1;
    let is_last = number >= restored.snapshot().generations_wanted;
    let entries = restored.totals().entries as u64;
    let pid = u64::from(std::process::id());
    let left = if is_last { 0 } else { now() };
    restored
        .generations
        .push(Generation { number, pid, entered, claimed, left, entries })
        .context("can't add a generation")?;
    if !is_last {
        let root = restored.hand_over()?;
        let owned = memory.usage().owned;
        ensure!(owned == 0, "{owned} blocks were not handed over");
        match jump::jump(memory, root, Crossing { sealed: false, corrupt: None })? {}
    }
    finish(&restored, entered, claimed)?;
    let before = memory.usage();
    drop(restored);
    let after = memory.usage();
    ensure!(
        (after.owned, after.preserved) == (0, 0),
        "{} blocks are still owned and {} preserved",
        after.owned,
        after.preserved
    );
    writeln!(program::stdout(), "freed all {} blocks", before.owned)?;
    Ok(())
}

fn finish<R: Restore>(restored: &Restored<R>, entered: u64, claimed: u64) -> anyhow::Result<()> {
    let processes = verify(restored)?;
    Report { restored, processes: &processes, entered, restored_at: claimed, read_at: now() }
        .print()
}

/// A memory to restore sets from. The sets of a sealed file are viewed in place, those of our own
/// are claimed; both are read as [`Entries`].
pub(crate) trait Restore: Copy {
    type Memory: ReadMemory;
    type Set<T: Entry>: Deref<Target = Entries<T, Self::Memory>>;

    fn set<T: Entry>(self, head: SetHead<T>) -> Result<Self::Set<T>, RestoreError>;
}

impl<'m> Restore for &'m SealedMemfd {
    type Memory = SealedMemfd;
    type Set<T: Entry> = SetView<'m, T, SealedMemfd>;

    fn set<T: Entry>(self, head: SetHead<T>) -> Result<Self::Set<T>, RestoreError> {
        SetView::restore_with_limit(self, head, BLOCK_LIMIT)
    }
}

impl<'m> Restore for &'m MemfdMemory {
    type Memory = &'m MemfdMemory;
    type Set<T: Entry> = BlockSet<T, &'m MemfdMemory>;

    fn set<T: Entry>(self, head: SetHead<T>) -> Result<Self::Set<T>, RestoreError> {
        BlockSet::restore_with_limit(self, head, BLOCK_LIMIT)
    }
}

/// The sets that were handed over.
pub(crate) struct Restored<R: Restore> {
    pub(crate) root: R::Set<Snapshot>,
    pub(crate) processes: R::Set<Process>,
    /// The sets of each process, in the order of the processes.
    pub(crate) nested: Vec<(R::Set<OpenFile>, R::Set<Mapping>)>,
    pub(crate) synthetic: R::Set<Synthetic>,
    pub(crate) generations: R::Set<Generation>,
}

impl<R: Restore> Restored<R> {
    /// Restores every set that the root leads to.
    pub(crate) fn restore(memory: R, head: SetHead<Snapshot>) -> anyhow::Result<Self> {
        let root = memory.set(head).context("the root")?;
        ensure!(
            root.len() == 1,
            "the root, block {}, has {} entries, not 1",
            head.addr(),
            root.len()
        );
        // Checked before any field is used: one of them says how many generations follow.
        ensure!(
            root[0].digest == root[0].expected_digest(),
            "the digest of the root, block {}, is wrong",
            head.addr()
        );
        let Snapshot { processes, synthetic, generations, blocks, .. } = root[0];
        let processes = memory.set(processes).context("the processes")?;
        let nested = processes
            .iter()
            .map(|process| {
                let files = memory
                    .set(process.files)
                    .with_context(|| format!("the open files of {}", describe(process)))?;
                let mappings = memory
                    .set(process.mappings)
                    .with_context(|| format!("the mappings of {}", describe(process)))?;
                Ok((files, mappings))
            })
            .collect::<anyhow::Result<_>>()?;
        let synthetic = memory.set(synthetic).context("the synthetic entries")?;
        let generations = memory.set(generations).context("the generations")?;
        let restored = Self { root, processes, nested, synthetic, generations };
        restored.check_blocks(blocks)?;
        Ok(restored)
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.root[0]
    }

    /// Calls `visit` for every set, with the number of its entries and the addresses of its blocks.
    fn for_each_set(&self, visit: &mut dyn FnMut(usize, &mut dyn Iterator<Item = PhysAddr>)) {
        fn set<T: Entry, M: ReadMemory>(
            visit: &mut dyn FnMut(usize, &mut dyn Iterator<Item = PhysAddr>),
            entries: &Entries<T, M>,
        ) {
            visit(entries.len(), &mut entries.blocks());
        }
        set(visit, &self.root);
        set(visit, &self.processes);
        for (files, mappings) in &self.nested {
            set(visit, files);
            set(visit, mappings);
        }
        set(visit, &self.synthetic);
        set(visit, &self.generations);
    }

    /// Counts the sets that are not empty, and the entries and blocks of all sets.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.for_each_set(&mut |entries, blocks| {
            totals.sets += usize::from(entries > 0);
            totals.entries += entries;
            totals.blocks += blocks.count();
        });
        totals
    }

    /// Checks that no block is in two sets, and that as many were found as were handed over.
    ///
    /// A claim would find a block in two sets by itself, but views share blocks. If a chain strayed
    /// into another one with the same bytes, as forked processes have, no digest would notice.
    fn check_blocks(&self, expected: u64) -> anyhow::Result<()> {
        let mut blocks = Vec::new();
        self.for_each_set(&mut |_, addrs| blocks.extend(addrs));
        blocks.sort_unstable();
        if let Some(pair) = blocks.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("block {} is in two chains", pair[0]);
        }
        ensure!(
            blocks.len() as u64 == expected,
            "the sets have {} blocks, but {expected} blocks were handed over",
            blocks.len()
        );
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) sets: usize,
    pub(crate) entries: usize,
    pub(crate) blocks: usize,
}

/// Returns what messages call the process: its number, and its name if that is text.
pub(crate) fn describe(process: &Process) -> String {
    format!("process {} ({})", process.pid, text::from_field(&process.name).unwrap_or("?"))
}

impl Restored<&MemfdMemory> {
    /// Hands every set over to the next successor, the root last.
    pub(crate) fn hand_over(mut self) -> anyhow::Result<SetHead<Snapshot>> {
        let blocks = self.totals().blocks as u64;
        for (process, (files, mappings)) in self.processes.iter().zip(self.nested) {
            // These sets were not changed, so the heads in the entry are still right.
            let (files, mappings) = (files.hand_over(), mappings.hand_over());
            ensure!(
                (files, mappings) == (process.files, process.mappings),
                "the sets of {} have moved",
                describe(process)
            );
        }
        let snapshot = &mut self.root[0];
        snapshot.processes = self.processes.hand_over();
        snapshot.synthetic = self.synthetic.hand_over();
        snapshot.generations = self.generations.hand_over();
        snapshot.blocks = blocks;
        snapshot.digest = snapshot.expected_digest();
        Ok(self.root.hand_over())
    }
}
