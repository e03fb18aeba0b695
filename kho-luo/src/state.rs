//! What LUO handed over, read out of memory and verified as a whole.

use core::fmt;
use core::ops::Range;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use bytemuck::Zeroable;
use kho_block::abi::DEFAULT_BLOCK_LIMIT;
use kho_block::{
    Chain, Entry, ForeignSet, PhysAddr, ReadError, ReadErrorKind, ReadMemory, RestoreError, SetHead,
};

use crate::abi::{
    FlbHeader, LUO_COMPATIBLE_FIELD, LuoFile, LuoFlb, LuoRoot, LuoSession, flb_capacity,
};
use crate::error::{
    FileErrorKind, FlbErrorKind, Part, RootErrorKind, SessionErrorKind, StateError,
};
use crate::name::{Compatible, SessionName};
use crate::tree::KhoTree;

/// What LUO handed over: read from any memory, which may be hostile, and verified as a whole.
///
/// It is what the next kernel would make of it, and stricter: see [`StateError`].
///
/// ```no_run
/// use kho_block::ImageMemory;
/// use kho_luo::LuoState;
///
/// # let image = ImageMemory::new();
/// let state = LuoState::find(&image, 0..1 << 32)?;
/// for session in &state.sessions {
///     println!("{}: {} files", session.name, session.files.len());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LuoState {
    /// Address of the root.
    pub addr: PhysAddr,
    /// The root as it is stored.
    pub root: LuoRoot,
    /// The sessions, in their order.
    pub sessions: Vec<SessionState>,
    /// Addresses of the blocks that the sessions are in, in the order of the chain.
    pub session_blocks: Vec<PhysAddr>,
    /// The global objects, in their order.
    pub flbs: Vec<FlbState>,
}

/// A session that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionState {
    /// The name.
    pub name: SessionName,
    /// The entry as it is stored.
    pub entry: LuoSession,
    /// The files, in the order in which they were preserved.
    pub files: Vec<FileState>,
    /// Addresses of the blocks that the files are in, in the order of the chain.
    pub file_blocks: Vec<PhysAddr>,
}

/// A file that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileState {
    /// The name of its handler in the kernel.
    pub compatible: Compatible,
    /// The handler's own.
    pub data: u64,
    /// What it is retrieved by.
    pub token: u64,
}

/// A global object that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlbState {
    /// Its name.
    pub name: Compatible,
    /// The object's own.
    pub data: u64,
    /// How many files depend on it.
    pub count: u64,
}

/// The most blocks and pages that are read in all: 4 GiB with pages of 4 KiB. Nothing in the format
/// bounds their number, and memory may be made up as it is read.
const MAX_BLOCKS: usize = 1 << 20;

impl LuoState {
    /// Reads what LUO handed over from its root at `addr`, which [`KhoTree::luo`] tells.
    ///
    /// # Errors
    /// Anything in it is wrong: the first fault that is met.
    pub fn read<M: ReadMemory>(memory: &M, addr: PhysAddr) -> Result<Self, StateError> {
        Walk::new(memory, Err).run(addr)
    }

    /// The same from KHO's device tree at `tree`.
    ///
    /// # Errors
    /// As for [`read`](Self::read), or the tree can't be read, or does not lead to a root.
    pub fn from_tree<M: ReadMemory>(memory: &M, tree: PhysAddr) -> Result<Self, StateError> {
        let luo = KhoTree::read(memory, tree)
            .and_then(|read| read.luo().map_err(|kind| crate::TreeError { addr: tree, kind }))?;
        Self::read(memory, luo)
    }

    /// Looks for KHO's device trees in `range` of an image, and reads what the latest root that they
    /// lead to has: the one of the highest [`liveupdate_num`](LuoRoot::liveupdate_num).
    ///
    /// In the memory of a kernel that was itself started by a live update there are two trees, and
    /// what the older one leads to may be overwritten; such roots are passed over. Where both are
    /// whole, take the [addresses](KhoTree::scan) and choose.
    ///
    /// # Errors
    /// No tree leads to a root, or as for [`read`](Self::read).
    pub fn find<M: ReadMemory>(memory: &M, range: Range<u64>) -> Result<Self, StateError> {
        let roots = KhoTree::scan(memory, range.clone())
            .filter_map(|(_, tree)| tree.luo().ok())
            .filter_map(|addr| Some((addr, Walk::new(memory, Err).root(addr).ok()?)));
        let latest = roots.max_by_key(|(_, root)| root.liveupdate_num);
        match latest {
            Some((addr, _)) => Self::read(memory, addr),
            None => Err(StateError::NotFound { start: range.start, end: range.end }),
        }
    }

    /// Reads what can be read, to find out what went wrong: with it come the faults, in the order
    /// in which they were met. A session whose name is wrong is left out, as is a file whose handler's
    /// is; a chain that is wrong is read up to there.
    ///
    /// # Errors
    /// Nothing can be read: there is no root.
    pub fn inspect<M: ReadMemory>(
        memory: &M,
        addr: PhysAddr,
    ) -> Result<(Self, Vec<StateError>), StateError> {
        let mut faults = Vec::new();
        let state = Walk::new(memory, |fault| {
            if matches!(fault, StateError::Root { .. } | StateError::TooLarge { .. }) {
                return Err(fault);
            }
            faults.push(fault);
            Ok(())
        })
        .run(addr)?;
        Ok((state, faults))
    }

    /// The session of this name.
    #[must_use]
    pub fn session(&self, name: &str) -> Option<&SessionState> {
        self.sessions.iter().find(|session| session.name == name)
    }
}

/// What was read of a chain.
struct Read<T> {
    entries: Vec<T>,
    blocks: Vec<PhysAddr>,
    complete: bool,
}

/// A walk through all that hangs on a root. `fault` says of each fault whether to go on.
struct Walk<'m, M, F> {
    memory: &'m M,
    fault: F,
    /// Every block and page met so far, and what it is part of.
    blocks: HashMap<PhysAddr, Part>,
}

impl<'m, M: ReadMemory, F: FnMut(StateError) -> Result<(), StateError>> Walk<'m, M, F> {
    fn new(memory: &'m M, fault: F) -> Self {
        Self { memory, fault, blocks: HashMap::new() }
    }

    fn run(mut self, addr: PhysAddr) -> Result<LuoState, StateError> {
        let root = self.root(addr)?;
        let mut state = LuoState {
            addr,
            root,
            sessions: Vec::new(),
            session_blocks: Vec::new(),
            flbs: Vec::new(),
        };
        if !root.flbs.is_null() {
            state.flbs = self.flbs(root.flbs)?;
        }
        let read = self.chain(root.sessions, Part::Sessions, StateError::Sessions)?;
        state.session_blocks = read.blocks;
        let mut names: HashMap<SessionName, usize> = HashMap::new();
        for (index, entry) in read.entries.into_iter().enumerate() {
            let name = match entry.name() {
                Ok(name) => name,
                Err(error) => {
                    let kind = SessionErrorKind::Name(error);
                    (self.fault)(StateError::Session { index, name: None, kind })?;
                    continue;
                }
            };
            match names.entry(name) {
                Slot::Occupied(first) => {
                    let kind = SessionErrorKind::Duplicate { first: *first.get() };
                    (self.fault)(StateError::Session { index, name: Some(Box::new(name)), kind })?;
                }
                Slot::Vacant(slot) => {
                    slot.insert(index);
                }
            }
            let (files, file_blocks) = self.files(index, name, &entry)?;
            state.sessions.push(SessionState { name, entry, files, file_blocks });
        }
        Ok(state)
    }

    fn root(&mut self, addr: PhysAddr) -> Result<LuoRoot, StateError> {
        let error = |kind| StateError::Root { addr, kind };
        if addr.is_null() {
            return Err(error(RootErrorKind::Null));
        }
        if !is_page::<M>(addr) {
            return Err(error(RootErrorKind::Misaligned));
        }
        let mut root = LuoRoot::zeroed();
        self.memory
            .read(addr, bytemuck::bytes_of_mut(&mut root))
            .map_err(|read| error(RootErrorKind::Unreadable(read.kind)))?;
        if root.compatible != LUO_COMPATIBLE_FIELD {
            return Err(error(RootErrorKind::Incompatible { found: root.compatible }));
        }
        self.claim(addr, Part::Root)?;
        Ok(root)
    }

    /// Notes that a block is part of `part`, and says whether it was part of nothing; a fault if it
    /// was.
    fn claim(&mut self, addr: PhysAddr, part: Part) -> Result<bool, StateError> {
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(StateError::TooLarge { limit: MAX_BLOCKS });
        }
        match self.blocks.entry(addr) {
            Slot::Vacant(slot) => {
                slot.insert(part);
                Ok(true)
            }
            Slot::Occupied(slot) => {
                let first = *slot.get();
                (self.fault)(StateError::Shared { addr, first, second: part })?;
                Ok(false)
            }
        }
    }

    /// The entries of a chain and its blocks, up to where it is wrong if the walk goes on then.
    ///
    /// By hand over the checked blocks, not as a set: a walk stops at the first block that is part of
    /// something else, so that no block is read twice, however many chains lead to it.
    fn chain<T: Entry>(
        &mut self,
        head: SetHead<T>,
        part: Part,
        error: impl Fn(RestoreError) -> StateError,
    ) -> Result<Read<T>, StateError> {
        let mut read = Read { entries: Vec::new(), blocks: Vec::new(), complete: false };
        for link in Chain::new(self.memory, head.addr(), size_of::<T>()) {
            let link = match link {
                Ok(link) => link,
                Err(restore) => {
                    (self.fault)(error(restore))?;
                    return Ok(read);
                }
            };
            if self.blocks.get(&link.addr) == Some(&part) {
                // Back in this chain. A set says where exactly.
                let exact = ForeignSet::restore(self.memory, head).map(|_| ());
                let shared = |()| StateError::Shared { addr: link.addr, first: part, second: part };
                (self.fault)(exact.map_or_else(error, shared))?;
                return Ok(read);
            }
            if !self.claim(link.addr, part)? {
                return Ok(read);
            }
            for index in 0..link.count {
                match link.read_entry(self.memory, index) {
                    Ok(entry) => read.entries.push(entry),
                    Err(error) => {
                        let ReadError { addr, kind, .. } = error;
                        (self.fault)(StateError::Unreadable { addr, part, kind })?;
                        return Ok(read);
                    }
                }
            }
            read.blocks.push(link.addr);
        }
        read.complete = true;
        Ok(read)
    }

    fn files(
        &mut self,
        index: usize,
        name: SessionName,
        entry: &LuoSession,
    ) -> Result<(Vec<FileState>, Vec<PhysAddr>), StateError> {
        let error = |kind| StateError::Session { index, name: Some(Box::new(name)), kind };
        let part = Part::Files { session: index };
        let Read { entries, blocks, complete } =
            self.chain(entry.files, part, |restore| error(SessionErrorKind::Files(restore)))?;
        // A chain that is wrong has been told of, and says nothing of the count.
        if complete && entries.len() as u64 != entry.file_count {
            let kind = SessionErrorKind::Count { counted: entry.file_count, found: entries.len() };
            (self.fault)(error(kind))?;
        }
        let mut files = Vec::with_capacity(entries.len());
        let mut tokens: HashMap<u64, usize> = HashMap::with_capacity(entries.len());
        for (file, entry) in entries.into_iter().enumerate() {
            let error = |kind| error(SessionErrorKind::File { file, kind });
            match tokens.entry(entry.token) {
                Slot::Occupied(first) => {
                    let first = *first.get();
                    let kind = FileErrorKind::DuplicateToken { token: entry.token, first };
                    (self.fault)(error(kind))?;
                }
                Slot::Vacant(slot) => {
                    slot.insert(file);
                }
            }
            match entry.try_into() {
                Ok(state) => files.push(state),
                Err(name) => (self.fault)(error(FileErrorKind::Compatible(name)))?,
            }
        }
        Ok((files, blocks))
    }

    fn flbs(&mut self, addr: PhysAddr) -> Result<Vec<FlbState>, StateError> {
        match self.flb_pages(addr) {
            Ok(flbs) => flbs,
            Err(kind) => {
                (self.fault)(StateError::Flbs { addr, kind })?;
                Ok(Vec::new())
            }
        }
    }

    /// The global objects, or what is wrong with their pages as a whole.
    fn flb_pages(
        &mut self,
        addr: PhysAddr,
    ) -> Result<Result<Vec<FlbState>, StateError>, FlbErrorKind> {
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
        Ok(self.flb_entries(addr, page_count, count))
    }

    fn flb_entries(
        &mut self,
        addr: PhysAddr,
        page_count: usize,
        count: usize,
    ) -> Result<Vec<FlbState>, StateError> {
        let fault = |kind| StateError::Flbs { addr, kind };
        for page in 0..page_count {
            let Some(page) = addr.checked_add((page * M::BLOCK_SIZE) as u64) else {
                (self.fault)(fault(FlbErrorKind::Unreadable(ReadErrorKind::Outside)))?;
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
                (self.fault)(fault(FlbErrorKind::Unreadable(kind)))?;
                return Ok(flbs);
            }
            let name = match entry.name() {
                Ok(name) => name,
                Err(error) => {
                    (self.fault)(fault(FlbErrorKind::Name { index, error }))?;
                    continue;
                }
            };
            if let Some(first) = names.get(&name) {
                (self.fault)(fault(FlbErrorKind::Duplicate { index, name, first: *first }))?;
            } else {
                names.insert(name, index);
            }
            if entry.count == 0 {
                (self.fault)(fault(FlbErrorKind::Unused { index, name }))?;
            }
            flbs.push(FlbState { name, data: entry.data, count: entry.count });
        }
        Ok(flbs)
    }
}

/// Whether an address is that of a page's first byte.
fn is_page<M: ReadMemory>(addr: PhysAddr) -> bool {
    addr.get().is_multiple_of(M::BLOCK_SIZE as u64)
}

impl FileState {
    /// The file as it is stored.
    #[must_use]
    pub const fn to_entry(self) -> LuoFile {
        LuoFile::new(self.compatible, self.data, self.token)
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} files)", self.name, self.files.len())
    }
}

impl TryFrom<LuoFile> for FileState {
    type Error = crate::NameError;

    fn try_from(file: LuoFile) -> Result<Self, Self::Error> {
        let LuoFile { data, token, .. } = file;
        Ok(Self { compatible: file.compatible()?, data, token })
    }
}
