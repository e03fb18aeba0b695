//! The walk through all that hangs on LUO's root.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};

use bytemuck::Zeroable;
use kho_block::abi::{DEFAULT_BLOCK_LIMIT, count_per_block};
use kho_block::{
    ChainWalk, Entry, PhysAddr, ReadError, ReadErrorKind, ReadMemory, RestoreError,
    RestoreErrorKind, SetHead,
};

use crate::abi::{
    FILE_HANDLERS, FlbHeader, LUO_COMPATIBLE_FIELD, LuoFlb, LuoRoot, LuoSession, MEMFD_HANDLER,
    flb_capacity,
};
use crate::error::{
    FileErrorKind, FlbErrorKind, Part, RootErrorKind, SessionErrorKind, StateError,
};
use crate::faults::Faults;
use crate::name::{Compatible, SessionName};
use crate::preserved::{MapError, MapErrorKind, Preserved, PreservedMap};
use crate::state::{FileState, FlbState, LuoState, SessionState};
use crate::tree::{TreeError, TreeErrorKind};
use crate::warning::Warning;

/// The most blocks and pages that are read in all: 4 GiB with pages of 4 KiB. Nothing in the format
/// bounds their number, and memory may be made up as it is read.
const MAX_BLOCKS: usize = 1 << 20;

/// What a walk has brought.
pub(crate) struct Walked {
    pub(crate) state: LuoState,
    pub(crate) faults: Faults<StateError>,
}

/// The walk has read as much as it may.
struct Stop;

/// What was read of a chain.
struct Read<T> {
    entries: Vec<T>,
    blocks: Vec<PhysAddr>,
    complete: bool,
}

pub(crate) struct Walk<'m, M> {
    memory: &'m M,
    faults: Faults<StateError>,
    warnings: Faults<Warning>,
    /// Every block and page met so far, and what it is part of.
    blocks: HashMap<PhysAddr, Part>,
    /// The handlers that there was a warning of.
    unknown: HashSet<Compatible>,
    /// Where to look pages up, as long as that makes sense.
    map: Option<PreservedMap<'m, M>>,
    preserved: Preserved,
    /// How many pages the map does not have.
    missing: usize,
}

impl<'m, M: ReadMemory> Walk<'m, M> {
    /// A walk that keeps the `limit` worst faults.
    pub(crate) fn new(memory: &'m M, limit: usize) -> Self {
        Self {
            memory,
            faults: Faults::new(limit),
            warnings: Faults::new(LuoState::MAX_FAULTS),
            blocks: HashMap::new(),
            unknown: HashSet::new(),
            map: None,
            preserved: Preserved::NoTree,
            missing: 0,
        }
    }

    /// Has each page looked up in the map of preserved memory at `map`, to which the device tree at
    /// `tree` leads.
    pub(crate) fn with_map(mut self, tree: PhysAddr, map: PhysAddr) -> Result<Self, StateError> {
        if map.is_null() {
            // The next kernel ignores such a tree.
            return Err(TreeError { addr: tree, kind: TreeErrorKind::NoMemoryMap }.into());
        }
        let map = PreservedMap::new(self.memory, map);
        // KHO preserves the page of its tree. If the map does not say so, it is not to be believed.
        self.preserved = match map.block_at(tree) {
            Ok(Some(_)) => Preserved::Checked,
            Ok(None) => {
                Preserved::Unknown(MapError { addr: map.root(), kind: MapErrorKind::Overwritten })
            }
            Err(error) => Preserved::Unknown(error),
        };
        self.map = (self.preserved == Preserved::Checked).then_some(map);
        Ok(self)
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning.severity(), warning);
    }

    fn fault(&mut self, fault: StateError) {
        self.faults.push(fault.severity(), fault);
    }

    /// Goes through all that hangs on the root at `addr`.
    pub(crate) fn run(mut self, addr: PhysAddr) -> Result<Walked, StateError> {
        let root = read_root(self.memory, addr)?;
        let mut state = LuoState {
            addr,
            root,
            sessions: Vec::new(),
            session_blocks: Vec::new(),
            flbs: Vec::new(),
            preserved: self.preserved,
            warnings: Vec::new(),
        };
        // Where it stops, what was read so far is all.
        let _: Result<(), Stop> = self.all(&mut state);
        state.preserved = self.preserved;
        state.warnings = self.warnings.into_vec(|count| Warning::More { count });
        Ok(Walked { state, faults: self.faults })
    }

    fn all(&mut self, state: &mut LuoState) -> Result<(), Stop> {
        self.claim(state.addr, Part::Root)?;
        let read = self.chain(state.root.sessions, Part::Sessions, StateError::Sessions)?;
        state.session_blocks = read.blocks;
        state.sessions.reserve_exact(read.entries.len());
        let mut names: HashMap<SessionName, usize> = HashMap::new();
        for (index, entry) in read.entries.into_iter().enumerate() {
            let name = match entry.name() {
                Ok(name) => name,
                Err(error) => {
                    let kind = SessionErrorKind::Name(error);
                    self.fault(StateError::Session { index, name: None, kind });
                    continue;
                }
            };
            match names.entry(name) {
                Slot::Occupied(first) => {
                    let kind = SessionErrorKind::Duplicate { first: *first.get() };
                    self.fault(StateError::Session { index, name: Some(Box::new(name)), kind });
                }
                Slot::Vacant(slot) => {
                    slot.insert(index);
                }
            }
            let (files, file_blocks) = self.files(index, name, &entry)?;
            state.sessions.push(SessionState { name, entry, files, file_blocks });
        }
        if !state.root.flbs.is_null() {
            state.flbs = self.flbs(state.root.flbs)?;
        }
        Ok(())
    }

    /// Notes that a block is part of `part`, and says whether it was part of nothing; a fault if it
    /// was, and if it is not preserved.
    fn claim(&mut self, addr: PhysAddr, part: Part) -> Result<bool, Stop> {
        if self.blocks.len() >= MAX_BLOCKS {
            self.fault(StateError::TooLarge { limit: MAX_BLOCKS });
            return Err(Stop);
        }
        match self.blocks.entry(addr) {
            Slot::Vacant(slot) => {
                slot.insert(part);
            }
            Slot::Occupied(slot) => {
                let first = *slot.get();
                self.fault(StateError::Shared { addr, first, second: part });
                return Ok(false);
            }
        }
        if !self.is_preserved(addr) {
            self.fault(StateError::NotPreserved { addr, part });
        }
        Ok(true)
    }

    /// Whether KHO preserves the page at `addr`, as far as can be told: so it is where there is no
    /// map to look it up in.
    fn is_preserved(&mut self, addr: PhysAddr) -> bool {
        let error = match self.map.as_ref().map(|map| map.block_at(addr)) {
            None | Some(Ok(Some(_))) => return true,
            Some(Ok(None)) if self.missing < LuoState::MAX_FAULTS => {
                self.missing += 1;
                return false;
            }
            Some(Ok(None)) => {
                let kind = MapErrorKind::TooManyMissing { limit: LuoState::MAX_FAULTS };
                MapError { addr, kind }
            }
            Some(Err(error)) => error,
        };
        self.map = None;
        self.preserved = Preserved::Unknown(error);
        true
    }

    /// The entries of a chain and its blocks, up to where it is wrong.
    ///
    /// By hand over the checked blocks, not as a set: a walk stops at the first block that is part of
    /// something else, so that no block is read twice, however many chains lead to it.
    fn chain<T: Entry>(
        &mut self,
        head: SetHead<T>,
        part: Part,
        error: impl Fn(RestoreError) -> StateError,
    ) -> Result<Read<T>, Stop> {
        let max = count_per_block(M::BLOCK_SIZE, size_of::<T>());
        let mut read = Read { entries: Vec::new(), blocks: Vec::new(), complete: false };
        for link in ChainWalk::new(self.memory, head.addr(), size_of::<T>()) {
            let link = match link {
                Ok(link) => link,
                Err(restore) => {
                    self.fault(error(restore));
                    return Ok(read);
                }
            };
            if self.blocks.get(&link.addr) == Some(&part) {
                // Back in this chain.
                let kind = RestoreErrorKind::Cycle;
                self.fault(error(RestoreError::new(link.addr, link.position, kind)));
                return Ok(read);
            }
            if !self.claim(link.addr, part)? {
                return Ok(read);
            }
            for index in 0..link.count {
                match link.read_entry(self.memory, index) {
                    Ok(entry) => read.entries.push(entry),
                    Err(ReadError { addr, kind, .. }) => {
                        self.fault(StateError::Unreadable { addr, part, kind });
                        return Ok(read);
                    }
                }
            }
            read.blocks.push(link.addr);
            if link.count < max && !link.next.is_null() {
                let (addr, position, count) = (link.addr, link.position, link.count);
                self.warn(Warning::ShortBlock { addr, part, position, count, max });
            }
        }
        read.complete = true;
        Ok(read)
    }

    fn files(
        &mut self,
        session: usize,
        name: SessionName,
        entry: &LuoSession,
    ) -> Result<(Vec<FileState>, Vec<PhysAddr>), Stop> {
        let error = |kind| StateError::Session { index: session, name: Some(Box::new(name)), kind };
        let part = Part::Files { session };
        let Read { entries, blocks, complete } =
            self.chain(entry.files, part, |restore| error(SessionErrorKind::Files(restore)))?;
        // A chain that is wrong has been told of, and says nothing of the count.
        if complete && entries.len() as u64 != entry.file_count {
            let kind = SessionErrorKind::Count { counted: entry.file_count, found: entries.len() };
            self.fault(error(kind));
        }
        let mut files = Vec::with_capacity(entries.len());
        let mut tokens: HashMap<u64, usize> = HashMap::with_capacity(entries.len());
        for (file, entry) in entries.into_iter().enumerate() {
            let error = |kind| error(SessionErrorKind::File { file, kind });
            match tokens.entry(entry.token) {
                Slot::Occupied(first) => {
                    let first = *first.get();
                    let kind = FileErrorKind::DuplicateToken { token: entry.token, first };
                    self.fault(error(kind));
                }
                Slot::Vacant(slot) => {
                    slot.insert(file);
                }
            }
            let state: FileState = match entry.try_into() {
                Ok(state) => state,
                Err(name) => {
                    self.fault(error(FileErrorKind::Compatible(name)));
                    continue;
                }
            };
            let FileState { compatible, data, .. } = state;
            if compatible == MEMFD_HANDLER && !self.is_preserved(PhysAddr::new(data)) {
                self.fault(error(FileErrorKind::NotPreserved { addr: PhysAddr::new(data) }));
            }
            self.check_handler(compatible, session, name, file);
            files.push(state);
        }
        Ok((files, blocks))
    }

    fn check_handler(
        &mut self,
        compatible: Compatible,
        session: usize,
        name: SessionName,
        file: usize,
    ) {
        let known = FILE_HANDLERS.iter().any(|handler| compatible == *handler);
        // Of more handlers than are kept, some may be told of twice.
        if known || self.unknown.contains(&compatible) {
            return;
        }
        if self.unknown.len() < LuoState::MAX_FAULTS {
            self.unknown.insert(compatible);
        }
        self.warn(Warning::UnknownHandler { compatible, session, name, file });
    }

    fn flbs(&mut self, addr: PhysAddr) -> Result<Vec<FlbState>, Stop> {
        match self.flb_pages(addr) {
            Ok((page_count, count)) => self.flb_entries(addr, page_count, count),
            Err(kind) => {
                self.fault(StateError::Flbs { addr, kind });
                Ok(Vec::new())
            }
        }
    }

    /// How many pages of global objects there are, and how many objects; or what is wrong with the
    /// pages as a whole.
    fn flb_pages(&self, addr: PhysAddr) -> Result<(usize, usize), FlbErrorKind> {
        if !is_page::<M>(addr) {
            return Err(FlbErrorKind::Misaligned);
        }
        let mut header = FlbHeader::zeroed();
        self.memory
            .read(addr, bytemuck::bytes_of_mut(&mut header))
            .map_err(|read| FlbErrorKind::Unreadable(read.kind))?;
        let page_count = usize::try_from(header.page_count).unwrap_or(usize::MAX);
        if page_count == 0 || page_count > DEFAULT_BLOCK_LIMIT {
            return Err(FlbErrorKind::PageCount { page_count: header.page_count });
        }
        let max = flb_capacity(page_count, M::BLOCK_SIZE);
        let count = usize::try_from(header.count).unwrap_or(usize::MAX);
        if count > max {
            return Err(FlbErrorKind::TooMany { count: header.count, max });
        }
        Ok((page_count, count))
    }

    fn flb_entries(
        &mut self,
        addr: PhysAddr,
        page_count: usize,
        count: usize,
    ) -> Result<Vec<FlbState>, Stop> {
        let fault = |kind| StateError::Flbs { addr, kind };
        for page in 0..page_count {
            let Some(page) = addr.checked_add((page * M::BLOCK_SIZE) as u64) else {
                self.fault(fault(FlbErrorKind::Unreadable(ReadErrorKind::Outside)));
                return Ok(Vec::new());
            };
            self.claim(page, Part::Flbs)?;
        }
        let mut flbs: Vec<FlbState> = Vec::new();
        let mut names: HashMap<Compatible, usize> = HashMap::new();
        for index in 0..count {
            let offset = size_of::<FlbHeader>() + index * size_of::<LuoFlb>();
            let mut entry = LuoFlb::zeroed();
            let read =
                addr.checked_add(offset as u64).ok_or(ReadErrorKind::Outside).and_then(|at| {
                    let buf = bytemuck::bytes_of_mut(&mut entry);
                    self.memory.read(at, buf).map_err(|read| read.kind)
                });
            if let Err(kind) = read {
                self.fault(fault(FlbErrorKind::Unreadable(kind)));
                return Ok(flbs);
            }
            let name = match entry.name() {
                Ok(name) => name,
                Err(error) => {
                    self.fault(fault(FlbErrorKind::Name { index, error }));
                    continue;
                }
            };
            match names.entry(name) {
                Slot::Occupied(first) => {
                    let first = *first.get();
                    self.fault(fault(FlbErrorKind::Duplicate { index, name, first }));
                }
                Slot::Vacant(slot) => {
                    slot.insert(index);
                }
            }
            if entry.count == 0 {
                self.fault(fault(FlbErrorKind::Unused { index, name }));
            }
            flbs.push(FlbState { name, data: entry.data, count: entry.count });
        }
        Ok(flbs)
    }
}

/// Reads the root at `addr`.
pub(crate) fn read_root<M: ReadMemory>(memory: &M, addr: PhysAddr) -> Result<LuoRoot, StateError> {
    let error = |kind| StateError::Root { addr, kind };
    if addr.is_null() {
        return Err(error(RootErrorKind::Null));
    }
    if !is_page::<M>(addr) {
        return Err(error(RootErrorKind::Misaligned));
    }
    let mut root = LuoRoot::zeroed();
    memory
        .read(addr, bytemuck::bytes_of_mut(&mut root))
        .map_err(|read| error(RootErrorKind::Unreadable(read.kind)))?;
    if root.compatible != LUO_COMPATIBLE_FIELD {
        return Err(error(RootErrorKind::Incompatible { found: root.compatible }));
    }
    Ok(root)
}

/// Whether an address is that of a page's first byte.
fn is_page<M: ReadMemory>(addr: PhysAddr) -> bool {
    addr.get().is_multiple_of(M::BLOCK_SIZE as u64)
}
