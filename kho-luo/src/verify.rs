//! Reads and verifies everything that LUO's root leads to.

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
    FileErrorKind, FlbErrorKind, RootErrorKind, SessionErrorKind, StateError, StatePart,
};
use crate::faults::Faults;
use crate::name::{CompatibleName, SessionName};
use crate::preserved::{Preserved, PreservedMap, PreservedMapError, PreservedMapErrorKind};
use crate::state::{FileState, FlbState, Inspection, LuoState, SessionState};
use crate::tree::{KhoTreeError, KhoTreeErrorKind};
use crate::warning::Warning;

/// The most blocks and pages that are read in all: 4 GiB with pages of 4 KiB. The format sets no
/// limit to their number, and a memory may make them up as it is read.
const MAX_BLOCKS: usize = 1 << 20;

/// [`MAX_BLOCKS`] blocks were read, so reading has to end.
struct LimitReached;

/// The part of a chain before the first fault.
struct ChainContents<T> {
    entries: Vec<T>,
    blocks: Vec<PhysAddr>,
    /// Whether that is the whole chain.
    complete: bool,
}

/// The numbers of pages of global objects, and of objects in them.
struct FlbCounts {
    pages: usize,
    objects: usize,
}

/// A reader of a state, which collects the faults.
pub(crate) struct Verifier<'m, M> {
    memory: &'m M,
    faults: Faults<StateError>,
    warnings: Faults<Warning>,
    /// Every block and page that was found so far, and the part of the state to which it belongs.
    blocks: HashMap<PhysAddr, StatePart>,
    /// The unknown handlers for which there is a warning.
    unknown_handlers: HashSet<CompatibleName>,
    /// The map in which pages are looked up, while it can be used.
    map: Option<PreservedMap<'m, M>>,
    preserved: Preserved,
    /// The number of pages that were looked up and are not preserved.
    missing: usize,
}

impl<'m, M: ReadMemory> Verifier<'m, M> {
    pub(crate) fn new(memory: &'m M) -> Self {
        Self {
            memory,
            faults: Faults::new(LuoState::MAX_FAULTS),
            warnings: Faults::new(LuoState::MAX_FAULTS),
            blocks: HashMap::new(),
            unknown_handlers: HashSet::new(),
            map: None,
            preserved: Preserved::NoTree,
            missing: 0,
        }
    }

    /// Makes the verifier look up each page in the map of preserved memory at `map`, whose address
    /// is in the device tree at `tree`.
    pub(crate) fn with_map(mut self, tree: PhysAddr, map: PhysAddr) -> Result<Self, StateError> {
        if map.is_null() {
            // The kernel ignores such a tree.
            let kind = KhoTreeErrorKind::NoPreservedMap;
            return Err(KhoTreeError { addr: tree, kind }.into());
        }
        let map = PreservedMap::new(self.memory, map);
        // KHO preserves the page of its tree. A map that does not can't be trusted.
        self.preserved = match map.block_at(tree) {
            Ok(Some(_)) => Preserved::Checked,
            Ok(None) => {
                let kind = PreservedMapErrorKind::Overwritten;
                Preserved::Unknown(PreservedMapError { addr: map.root(), kind })
            }
            Err(error) => Preserved::Unknown(error),
        };
        if self.preserved == Preserved::Checked {
            self.map = Some(map);
        }
        Ok(self)
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning.severity(), warning);
    }

    fn fault(&mut self, fault: StateError) {
        self.faults.push(fault.severity(), fault);
    }

    /// Reads everything that the root at `root_addr` leads to.
    ///
    /// Fails if there is no root. All other faults are collected.
    pub(crate) fn run(mut self, root_addr: PhysAddr) -> Result<Inspection, StateError> {
        let mut state = LuoState {
            root_addr,
            root: read_root(self.memory, root_addr)?,
            sessions: Vec::new(),
            session_blocks: Vec::new(),
            flbs: Vec::new(),
            preserved: self.preserved,
            warnings: Vec::new(),
        };
        if let Err(LimitReached) = self.read_all(&mut state) {
            self.fault(StateError::TooLarge { limit: MAX_BLOCKS });
        }
        state.preserved = self.preserved;
        state.warnings = self.warnings.into_vec(|count| Warning::More { count });
        Ok(Inspection { state, faults: self.faults.into_vec(|count| StateError::More { count }) })
    }

    fn read_all(&mut self, state: &mut LuoState) -> Result<(), LimitReached> {
        self.add_block(state.root_addr, StatePart::Root)?;
        let chain =
            self.read_chain(state.root.sessions, StatePart::Sessions, StateError::Sessions)?;
        state.session_blocks = chain.blocks;
        state.sessions.reserve_exact(chain.entries.len());
        let mut names: HashMap<SessionName, usize> = HashMap::new();
        for (index, entry) in chain.entries.into_iter().enumerate() {
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
            state.sessions.push(self.read_session(index, name, entry)?);
        }
        if !state.root.flbs.is_null() {
            state.flbs = self.read_flbs(state.root.flbs)?;
        }
        Ok(())
    }

    /// Records that a block belongs to `part`, and returns whether it belonged to no part before.
    ///
    /// It is a fault if it did, and if it is not preserved.
    fn add_block(&mut self, addr: PhysAddr, part: StatePart) -> Result<bool, LimitReached> {
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(LimitReached);
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

    /// Returns whether KHO preserves the page at `addr`. If there is no map to look it up in, it
    /// counts as preserved.
    fn is_preserved(&mut self, addr: PhysAddr) -> bool {
        let Some(map) = &self.map else { return true };
        let error = match map.block_at(addr) {
            Ok(Some(_)) => return true,
            Ok(None) if self.missing < LuoState::MAX_FAULTS => {
                self.missing += 1;
                return false;
            }
            Ok(None) => {
                let kind = PreservedMapErrorKind::TooManyMissing { limit: LuoState::MAX_FAULTS };
                PreservedMapError { addr, kind }
            }
            Err(error) => error,
        };
        self.map = None;
        self.preserved = Preserved::Unknown(error);
        true
    }

    /// Reads the entries of a chain up to the first fault.
    ///
    /// This does not restore the chain as a set, because it has to stop at the first block that
    /// belongs to something else: so no block is read twice, however many chains lead to it.
    fn read_chain<T: Entry>(
        &mut self,
        head: SetHead<T>,
        part: StatePart,
        error: impl Fn(RestoreError) -> StateError,
    ) -> Result<ChainContents<T>, LimitReached> {
        let max = count_per_block(M::BLOCK_SIZE, size_of::<T>());
        let mut chain = ChainContents { entries: Vec::new(), blocks: Vec::new(), complete: false };
        for block in ChainWalk::new(self.memory, head.addr(), size_of::<T>()) {
            let block = match block {
                Ok(block) => block,
                Err(restore) => {
                    self.fault(error(restore));
                    return Ok(chain);
                }
            };
            let (addr, position, count) = (block.addr, block.position, block.count);
            if self.blocks.get(&addr) == Some(&part) {
                let kind = RestoreErrorKind::Cycle;
                self.fault(error(RestoreError::new(addr, position, kind)));
                return Ok(chain);
            }
            if !self.add_block(addr, part)? {
                return Ok(chain);
            }
            for index in 0..count {
                match block.read_entry(self.memory, index) {
                    Ok(entry) => chain.entries.push(entry),
                    Err(ReadError { addr, kind, .. }) => {
                        self.fault(StateError::Unreadable { addr, part, kind });
                        return Ok(chain);
                    }
                }
            }
            chain.blocks.push(addr);
            if count < max && !block.next.is_null() {
                self.warn(Warning::ShortBlock { addr, part, position, count, max });
            }
        }
        chain.complete = true;
        Ok(chain)
    }

    /// Reads the files of session `index`.
    fn read_session(
        &mut self,
        index: usize,
        name: SessionName,
        entry: LuoSession,
    ) -> Result<SessionState, LimitReached> {
        let error = |kind| StateError::Session { index, name: Some(Box::new(name)), kind };
        let chain =
            self.read_chain(entry.files, StatePart::Files { session: index }, |restore| {
                error(SessionErrorKind::Files(restore))
            })?;
        // If the chain is wrong, the number of files that were read says nothing about the count.
        let found = chain.entries.len();
        if chain.complete && found as u64 != entry.file_count {
            self.fault(error(SessionErrorKind::Count { counted: entry.file_count, found }));
        }
        let mut files = Vec::with_capacity(found);
        let mut tokens: HashMap<u64, usize> = HashMap::with_capacity(found);
        for (file, entry) in chain.entries.into_iter().enumerate() {
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
            let state = match FileState::try_from(entry) {
                Ok(state) => state,
                Err(name) => {
                    self.fault(error(FileErrorKind::Compatible(name)));
                    continue;
                }
            };
            if state.compatible == MEMFD_HANDLER {
                let addr = PhysAddr::new(state.data);
                if !self.is_preserved(addr) {
                    self.fault(error(FileErrorKind::NotPreserved { addr }));
                }
            }
            if self.is_new_unknown_handler(state.compatible) {
                let compatible = state.compatible;
                self.warn(Warning::UnknownHandler { compatible, session: index, name, file });
            }
            files.push(state);
        }
        Ok(SessionState { name, entry, files, file_blocks: chain.blocks })
    }

    /// Returns whether the handler is unknown and was not seen before. If there are more unknown
    /// handlers than are kept, some may count as new twice.
    fn is_new_unknown_handler(&mut self, handler: CompatibleName) -> bool {
        if FILE_HANDLERS.iter().any(|known| handler == *known) {
            return false;
        }
        if self.unknown_handlers.len() >= LuoState::MAX_FAULTS {
            return !self.unknown_handlers.contains(&handler);
        }
        self.unknown_handlers.insert(handler)
    }

    fn read_flbs(&mut self, addr: PhysAddr) -> Result<Vec<FlbState>, LimitReached> {
        match self.read_flb_header(addr) {
            Ok(counts) => self.read_flb_entries(addr, counts),
            Err(kind) => {
                self.fault(StateError::Flbs { addr, kind });
                Ok(Vec::new())
            }
        }
    }

    /// Reads and checks the counts in the header of the global objects.
    fn read_flb_header(&self, addr: PhysAddr) -> Result<FlbCounts, FlbErrorKind> {
        if !is_page::<M>(addr) {
            return Err(FlbErrorKind::Misaligned);
        }
        let mut header = FlbHeader::zeroed();
        self.memory
            .read(addr, bytemuck::bytes_of_mut(&mut header))
            .map_err(|read| FlbErrorKind::Unreadable(read.kind))?;
        let pages = usize::try_from(header.page_count).unwrap_or(usize::MAX);
        if pages == 0 || pages > DEFAULT_BLOCK_LIMIT {
            return Err(FlbErrorKind::PageCount { page_count: header.page_count });
        }
        let max = flb_capacity(pages, M::BLOCK_SIZE);
        let objects = usize::try_from(header.count).unwrap_or(usize::MAX);
        if objects > max {
            return Err(FlbErrorKind::TooMany { count: header.count, max });
        }
        Ok(FlbCounts { pages, objects })
    }

    fn read_flb_entries(
        &mut self,
        addr: PhysAddr,
        counts: FlbCounts,
    ) -> Result<Vec<FlbState>, LimitReached> {
        let fault = |kind| StateError::Flbs { addr, kind };
        for page in 0..counts.pages {
            let Some(page) = addr.checked_add((page * M::BLOCK_SIZE) as u64) else {
                self.fault(fault(FlbErrorKind::Unreadable(ReadErrorKind::Outside)));
                return Ok(Vec::new());
            };
            self.add_block(page, StatePart::Flbs)?;
        }
        let mut flbs: Vec<FlbState> = Vec::new();
        let mut names: HashMap<CompatibleName, usize> = HashMap::new();
        for index in 0..counts.objects {
            let entry = match self.read_flb(addr, index) {
                Ok(entry) => entry,
                Err(kind) => {
                    self.fault(fault(FlbErrorKind::Unreadable(kind)));
                    return Ok(flbs);
                }
            };
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

    /// Reads global object `index` after the header at `header`.
    fn read_flb(&self, header: PhysAddr, index: usize) -> Result<LuoFlb, ReadErrorKind> {
        let offset = size_of::<FlbHeader>() + index * size_of::<LuoFlb>();
        let addr = header.checked_add(offset as u64).ok_or(ReadErrorKind::Outside)?;
        let mut entry = LuoFlb::zeroed();
        self.memory.read(addr, bytemuck::bytes_of_mut(&mut entry)).map_err(|error| error.kind)?;
        Ok(entry)
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

/// Returns whether a page starts at `addr`.
fn is_page<M: ReadMemory>(addr: PhysAddr) -> bool {
    addr.get().is_multiple_of(M::BLOCK_SIZE as u64)
}
