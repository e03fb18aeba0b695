//! Finds every set from the root and checks its chain.

use std::ops::Deref;

use anyhow::{Context as _, bail, ensure};
use kho_block::{
    BlockSet, Entries, Entry, MemfdMemory, PhysAddr, ReadMemory, RestoreError, SealedMemfd,
    SetHead, SetView, text,
};
use kho_examples::entries::{MemoryMap, OpenFile, Process};

use crate::entries::{BLOCK_LIMIT, Generation, Snapshot, Synthetic};

/// A memory to restore from: what is sealed is viewed in place, what is ours is claimed. Both give
/// something that reads the same.
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

/// All sets that were handed over.
pub(crate) struct Restored<R: Restore> {
    pub(crate) root: R::Set<Snapshot>,
    pub(crate) processes: R::Set<Process>,
    /// For each process, in order.
    pub(crate) nested: Vec<(R::Set<OpenFile>, R::Set<MemoryMap>)>,
    pub(crate) synthetic: R::Set<Synthetic>,
    pub(crate) generations: R::Set<Generation>,
}

impl<R: Restore> Restored<R> {
    pub(crate) fn restore(memory: R, head: SetHead<Snapshot>) -> anyhow::Result<Self> {
        let root = memory.set(head).context("the root")?;
        ensure!(
            root.len() == 1,
            "the root, block {}, has {} entries, not 1",
            head.addr(),
            root.len()
        );
        // Before a field is used: one of them says how many generations are to follow.
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
                let maps = memory
                    .set(process.maps)
                    .with_context(|| format!("the memory maps of {}", describe(process)))?;
                Ok((files, maps))
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

    /// Calls `visit` for every set: with its number of entries and the addresses of its blocks.
    fn for_each_set(&self, visit: &mut dyn FnMut(usize, &mut dyn Iterator<Item = PhysAddr>)) {
        fn set<T: Entry, M: ReadMemory>(
            visit: &mut dyn FnMut(usize, &mut dyn Iterator<Item = PhysAddr>),
            entries: &Entries<T, M>,
        ) {
            visit(entries.len(), &mut entries.blocks());
        }
        set(visit, &self.root);
        set(visit, &self.processes);
        for (files, maps) in &self.nested {
            set(visit, files);
            set(visit, maps);
        }
        set(visit, &self.synthetic);
        set(visit, &self.generations);
    }

    /// Sets that are not empty, and entries and blocks in all of them.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.for_each_set(&mut |entries, blocks| {
            totals.sets += usize::from(entries > 0);
            totals.entries += entries;
            totals.blocks += blocks.count();
        });
        totals
    }

    /// Checks that no block is in two sets, and that there are as many as were handed over.
    ///
    /// A claim finds that out by itself. Views share: a chain that strays into another with the same
    /// bytes, as forked processes have, would be read without complaint.
    fn check_blocks(&self, expected: u64) -> anyhow::Result<()> {
        let mut blocks = Vec::new();
        self.for_each_set(&mut |_, addrs| blocks.extend(addrs));
        blocks.sort_unstable();
        if let Some(pair) = blocks.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("block {} is in two chains", pair[0]);
        }
        ensure!(
            blocks.len() as u64 == expected,
            "the sets have {} blocks, where {expected} blocks were handed over",
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

/// For messages: the process by its number, and its name if that is text.
pub(crate) fn describe(process: &Process) -> String {
    format!("process {} ({})", process.pid, text::from_field(&process.name).unwrap_or("?"))
}

impl Restored<&MemfdMemory> {
    /// Hands every set over to the next successor. The root stays where it is.
    pub(crate) fn hand_over(mut self) -> anyhow::Result<SetHead<Snapshot>> {
        let blocks = self.totals().blocks as u64;
        for (process, (files, maps)) in self.processes.iter().zip(self.nested) {
            // They were not changed, so the heads in the entry still hold.
            let (files, maps) = (files.hand_over(), maps.hand_over());
            ensure!(
                (files, maps) == (process.files, process.maps),
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
