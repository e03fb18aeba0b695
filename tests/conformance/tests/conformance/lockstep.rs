//! Random operations, the same on both sides. After each the chains are equal, byte for byte.

use kho_block::bytemuck::bytes_of;
use kho_block::{
    BlockSet, DumpMemory, Entry, ForeignSet, PhysAddr, RestoreErrorKind, SetHead, SetView,
};
use kho_linux_c::{Arena, CSet, PAGE, Refusal};

use crate::cases::{Random, run};
use crate::entries::{Bytes, Wide, Words, sample, with_entry};

const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;

/// A set on each side, and the entries that both should hold.
struct Pair<'a, T: Entry> {
    arena: &'a Arena,
    c: CSet<'a>,
    rust: BlockSet<T, &'a Arena>,
    model: Vec<T>,
    /// Number of blocks on each side.
    blocks: usize,
    /// A set was cleared: our unused bytes may hold old entries, and those of C are zero.
    cleared: bool,
    /// The C set was restored, so it can't grow.
    incoming: bool,
    /// The C iterator is past the last entry.
    at_end: bool,
    seed: u64,
}

impl<'a, T: Entry + PartialEq> Pair<'a, T> {
    const FIT: usize = BlockSet::<T, &'a Arena>::COUNT_PER_BLOCK;

    fn new(arena: &'a Arena, seed: u64) -> Self {
        let c = CSet::new(arena, size_of::<T>());
        assert_eq!(c.count_per_block(), Self::FIT as u64);
        let rust = BlockSet::new_in(arena);
        let model = Vec::new();
        Self {
            arena,
            c,
            rust,
            model,
            blocks: 0,
            cleared: false,
            incoming: false,
            at_end: false,
            seed,
        }
    }

    fn capacity(&self) -> usize {
        self.blocks * Self::FIT
    }

    /// Makes room for `total` entries, at times with few pages or few of C's objects left.
    fn grow(&mut self, total: usize, pages: usize, objects: usize) {
        if self.incoming {
            assert_eq!(self.c.grow(total as u64), Err(EINVAL));
            return;
        }
        let missing = total.div_ceil(Self::FIT).saturating_sub(self.blocks);
        let usage = self.arena.usage();
        self.arena.limit_pages(pages);
        self.arena.limit_objects(objects);
        let grown = self.c.grow(total as u64);
        assert_eq!(grown, if missing <= pages.min(objects) { Ok(()) } else { Err(ENOMEM) });
        if grown.is_err() {
            self.compare();
            assert_eq!(self.arena.usage().c, usage.c, "C rolls back");
            self.arena.limit_pages(pages);
        }
        if grown.is_err() && missing <= pages {
            // C ran out of objects, of which kho-block needs none. Again, with enough.
            self.arena.limit_objects(usize::MAX);
            self.c.grow(total as u64).unwrap();
        }
        self.arena.limit_objects(usize::MAX);
        self.arena.limit_pages(pages);
        let reserved = self.rust.try_reserve(total.saturating_sub(self.model.len()));
        self.arena.limit_pages(usize::MAX);
        assert_eq!(reserved.is_ok(), missing <= pages);
        if reserved.is_ok() {
            // A C iterator that was made before the first block never sees any.
            self.at_end &= self.blocks > 0;
            self.blocks += missing;
        } else {
            assert_eq!(self.arena.usage().rust, usage.rust, "we roll back");
        }
    }

    fn fresh(&mut self, count: usize) -> Vec<T> {
        let first = self.seed;
        self.seed += count as u64;
        (first..self.seed).map(sample).collect()
    }

    /// Moves the C iterator past the last entry.
    fn seek_end(&mut self, by_reading: bool) {
        self.c.rewind();
        for entry in &self.model {
            if by_reading {
                assert!(self.c.read() == Some(bytes_of(entry)));
            } else {
                assert!(self.c.rewrite());
            }
        }
        self.at_end = true;
    }

    /// Appends entries, perhaps more than fit.
    fn append(&mut self, count: usize, random: &mut Random) {
        if !self.at_end || random.once_in(4) {
            self.seek_end(random.once_in(2));
        }
        let room = self.capacity() - self.model.len();
        let entries = self.fresh(count);
        let mut writer = self.rust.writer();
        for (index, entry) in entries.iter().enumerate() {
            let written = index < room;
            assert_eq!(self.c.write(bytes_of(entry)), written);
            assert_eq!(writer.push_within_capacity(*entry).is_ok(), written);
        }
        drop(writer);
        self.model.extend_from_slice(&entries[..count.min(room)]);
    }

    /// Keeps the first `len` entries and no spare blocks.
    fn truncate(&mut self, len: usize) {
        self.model.truncate(len);
        let len = self.model.len();
        self.c.shrink(len as u64);
        // C lowers a count only when the last entry is reserved again.
        self.seek_end(false);
        self.rust.truncate(len);
        self.rust.shrink_to_fit();
        self.blocks = len.div_ceil(Self::FIT);
    }

    /// Replaces all entries by others.
    fn rewrite(&mut self, count: usize) {
        self.cleared |= !self.model.is_empty();
        self.c.clear();
        self.c.rewind();
        self.rust.clear();
        self.model = self.fresh(count.min(self.capacity()));
        let mut writer = self.rust.writer();
        for entry in &self.model {
            assert!(self.c.write(bytes_of(entry)));
            writer.push_within_capacity(*entry).unwrap();
        }
        self.at_end = true;
    }

    /// Checks that the chains have equal bytes, except for addresses and for empty blocks that C
    /// links.
    fn compare(&self) {
        let (ours, theirs) = (self.rust.blocks(), self.c.blocks());
        assert_eq!(theirs.len(), self.blocks);
        assert_eq!(self.rust.capacity(), self.capacity());
        assert_eq!(ours.len(), self.model.len().div_ceil(Self::FIT));
        assert_eq!(self.c.is_empty(), self.blocks == 0);
        assert_eq!(self.c.head(), theirs.first().copied().unwrap_or(PhysAddr::NULL));
        let used = ours.len();
        for (position, addr) in ours.enumerate() {
            // SAFETY: nobody has a reference into a page here.
            let ours = unsafe { self.arena.page(addr) };
            // SAFETY: as before.
            let theirs_page = unsafe { self.arena.page(theirs[position]) };
            let next = self.rust.blocks().nth(position + 1).unwrap_or(PhysAddr::NULL);
            self.compare_page(position, &ours, next, &theirs_page, theirs.get(position + 1));
        }
        for addr in &theirs[used..] {
            // SAFETY: as before.
            let page = unsafe { self.arena.page(*addr) };
            assert_eq!(page[8..16], [0; 8], "what C has not written counts nothing");
        }
    }

    fn compare_page(
        &self,
        position: usize,
        ours: &[u8],
        our_next: PhysAddr,
        theirs: &[u8],
        their_next: Option<&PhysAddr>,
    ) {
        let their_next = their_next.map_or(0, |next| next.get());
        assert_eq!(ours[..8], our_next.get().to_ne_bytes());
        assert_eq!(theirs[..8], their_next.to_ne_bytes());
        let start = position * Self::FIT;
        let entries = &self.model[start..self.model.len().min(start + Self::FIT)];
        assert_eq!(ours[8..16], (entries.len() as u64).to_ne_bytes());
        assert_eq!(ours[8..16], theirs[8..16]);
        let used = 16 + size_of_val(entries);
        for (entry, bytes) in entries.iter().zip(ours[16..].chunks_exact(size_of::<T>())) {
            assert!(bytes == bytes_of(entry));
        }
        assert!(ours[16..used] == theirs[16..used]);
        assert!(self.cleared || ours[used..] == theirs[used..], "unused bytes");
        let slots = 16 + Self::FIT * size_of::<T>();
        assert!(ours[slots..].iter().chain(&theirs[slots..]).all(|byte| *byte == 0));
    }

    /// Hands both sets over. Each side restores what the other wrote.
    fn cross(self) -> Self {
        let Self { arena, c, rust, model, cleared, seed, .. } = self;
        let blocks = rust.block_count();
        let usage = arena.usage();
        let (from_c, from_rust) = (SetHead::<T>::new(c.hand_over()), rust.hand_over());
        assert_eq!((arena.usage().rust, arena.usage().c), (0, 0));
        assert_eq!(arena.usage().preserved, usage.preserved + 2 * blocks);

        read_in_every_way(arena, from_c, &model);
        let mut c = CSet::restore(arena, size_of::<T>(), from_rust.addr()).unwrap();
        let rust = BlockSet::restore(arena, from_c).unwrap();
        assert!(rust.is_uniform());
        assert!(rust.iter().copied().eq(model.iter().copied()));
        for entry in &model {
            assert!(c.read() == Some(bytes_of(entry)));
        }
        assert!(c.read().is_none());
        for entry in model.iter().rev() {
            assert!(c.prev() == Some(bytes_of(entry)));
        }
        assert!(c.prev().is_none());
        c.rewind();
        Self { arena, c, rust, model, blocks, cleared, incoming: true, at_end: false, seed }
    }

    fn step(&mut self, random: &mut Random) {
        let most = if random.once_in(300) { 60 } else { 3 };
        let few = if size_of::<T>() < 16 { Self::FIT } else { most * Self::FIT };
        match random.below(10) {
            0..3 => {
                let pages = if random.once_in(3) { random.below(4) } else { usize::MAX };
                let objects = if random.once_in(4) { random.below(4) } else { usize::MAX };
                let total = random.below(self.capacity() + few + 1);
                self.grow(total, pages, objects);
            }
            3..7 => {
                let room = self.capacity() - self.model.len();
                self.append(random.below(room.min(few) + 2), random);
            }
            7 => self.truncate(random.below(self.model.len() + 1)),
            8 => self.rewrite(random.below(self.capacity() + 1)),
            _ => {
                self.c.shrink(self.model.len() as u64);
                self.at_end = false;
                self.rust.shrink_to_fit();
                self.blocks = self.model.len().div_ceil(Self::FIT);
            }
        }
        self.compare();
    }
}

/// Checks that a view and a foreign set read what C wrote.
fn read_in_every_way<T: Entry + PartialEq>(arena: &Arena, head: SetHead<T>, model: &[T]) {
    let foreign = ForeignSet::restore(arena, head).unwrap();
    assert!(foreign.iter().map(Result::unwrap).eq(model.iter().copied()));
    let pages = arena.preserved();
    let mut dump = DumpMemory::<PAGE>::new_with_block_size();
    for (addr, page) in &pages {
        assert_eq!(page.len(), PAGE);
        dump.insert(*addr, page).unwrap();
    }
    let view = SetView::restore(&dump, head).unwrap();
    assert!(view.iter().copied().eq(model.iter().copied()));
    assert!(view.iter().rev().copied().eq(model.iter().rev().copied()));
}

fn case<T: Entry + PartialEq>(arena: &mut Arena, random: &mut Random) {
    arena.reset();
    let arena = &*arena;
    let mut pair = Pair::<T>::new(arena, random.next() >> 16);
    for _ in 0..random.below(9) {
        pair.step(random);
    }
    let empty_blocks = pair.blocks > pair.rust.block_count();
    if empty_blocks && random.once_in(2) {
        refused_by_both(pair);
        return;
    }
    pair.c.shrink(pair.model.len() as u64);
    pair.rust.shrink_to_fit();
    let warnings = arena.events().warnings;
    let mut pair = pair.cross();
    pair.compare();
    for _ in 0..random.below(4) {
        pair.step(random);
    }
    assert!(arena.events().warnings >= warnings);
    pair.c.shrink(pair.model.len() as u64);
    pair.rust.shrink_to_fit();
    pair.blocks = pair.model.len().div_ceil(Pair::<T>::FIT);
    let mut pair = pair.cross();
    pair.c.destroy();
    drop(pair);
    let (usage, events) = (arena.usage(), arena.events());
    assert_eq!((usage.rust, usage.c, usage.preserved, usage.stray), (0, 0, 0, 0), "leaked");
    assert_eq!((events.objects, events.bad_frees, events.wild), (0, 0, None));
}

/// C links blocks while they are empty, and then refuses the chain itself.
fn refused_by_both<T: Entry + PartialEq>(pair: Pair<'_, T>) {
    let used = pair.rust.block_count();
    let first_empty = pair.c.blocks()[used];
    let (arena, head) = (pair.arena, SetHead::<T>::new(pair.c.hand_over()));
    let error = ForeignSet::restore(arena, head).map(drop).unwrap_err();
    assert_eq!((error.kind, error.position), (RestoreErrorKind::NoEntries, used));
    let error = BlockSet::restore(arena, head).map(drop).unwrap_err();
    assert_eq!((error.kind, error.position), (RestoreErrorKind::NoEntries, used));
    assert_eq!(error.addr, first_empty);
    let refusal = CSet::restore(arena, size_of::<T>(), head.addr()).map(drop);
    assert_eq!(refusal, Err(Refusal::Errno(EINVAL)));
    assert_eq!(arena.usage().preserved, 0, "C frees what it refuses");
}

#[test]
fn the_same_operations() {
    let mut arena = Arena::new(2048);
    run("the same operations", 60, |random| {
        with_entry!(random.below(1000), case(&mut arena, random));
    });
}
