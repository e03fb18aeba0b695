//! A block set of the C code, on an arena.

use std::ffi::{c_int, c_long};
use std::ptr::NonNull;

use kho_block::PhysAddr;

use crate::arena::Arena;
use crate::host::enter;

/// `struct shim_set` of `c/checked.c`.
#[repr(C)]
struct ShimSet {
    opaque: [u8; 0],
}

// As in `c/checked.c`. Each takes a set that `shim_new` returned, on the machine that it was made
// on.
unsafe extern "C" {
    fn shim_new(entry_size: usize) -> *mut ShimSet;
    fn shim_forget(set: *mut ShimSet);
    fn shim_grow(set: *mut ShimSet, count: u64) -> c_int;
    fn shim_shrink(set: *mut ShimSet, count: u64);
    fn shim_clear(set: *mut ShimSet);
    fn shim_destroy(set: *mut ShimSet);
    fn shim_restore(set: *mut ShimSet, head: u64) -> c_int;
    fn shim_head(set: *mut ShimSet) -> u64;
    fn shim_is_empty(set: *mut ShimSet) -> bool;
    fn shim_nblocks(set: *const ShimSet) -> c_long;
    fn shim_count_per_block(set: *const ShimSet) -> u64;
    fn shim_blocks(set: *const ShimSet, addresses: *mut u64, room: usize);
    fn shim_it_init(set: *mut ShimSet);
    fn shim_reserve_entry(set: *mut ShimSet) -> *mut u8;
    fn shim_read_entry(set: *mut ShimSet) -> *mut u8;
    fn shim_prev(set: *mut ShimSet) -> *mut u8;
}

/// A `struct kho_block_set` and one iterator over it. Dropping it destroys the set.
///
/// # Invariants
/// `raw` came from `shim_new` and was not passed to `shim_forget`. Its pages are in `arena` and not
/// kho-block's.
pub struct CSet<'a> {
    arena: &'a Arena,
    raw: NonNull<ShimSet>,
    entry_size: usize,
    entry: Vec<u8>,
}

/// The reason why the C code did not restore a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It returned this error, here a positive number.
    Errno(i32),
    /// It was stopped before it followed this address out of memory.
    Wild(u64),
}

macro_rules! call {
    ($set:expr, $function:ident $(, $arg:expr)*) => {
        enter($set.arena, || {
            // SAFETY: the set is one of `shim_new` (the type's invariant), on its own machine.
            unsafe { $function($set.raw.as_ptr() $(, $arg)*) }
        })
    };
}

impl<'a> CSet<'a> {
    /// Makes an empty set. C: `kho_block_set_init`, `kho_block_set_it_init`.
    ///
    /// # Panics
    /// Panics if the entry size is 0: the C code would divide by it.
    #[must_use]
    pub fn new(arena: &'a Arena, entry_size: usize) -> Self {
        assert!(entry_size != 0);
        // SAFETY: the function takes any size but 0.
        let raw = enter(arena, || unsafe { shim_new(entry_size) });
        let raw = NonNull::new(raw).expect("shim_new does not return null");
        Self { arena, raw, entry_size, entry: vec![0; entry_size] }
    }

    /// Restores a chain into a new set. C: `kho_block_set_restore`.
    ///
    /// # Errors
    /// Returns an error if the C code refused the chain, or was stopped.
    pub fn restore(arena: &'a Arena, entry_size: usize, head: PhysAddr) -> Result<Self, Refusal> {
        let mut set = Self::new(arena, entry_size);
        set.restore_into(head)?;
        Ok(set)
    }

    /// Restores a chain into this set, even if it has blocks, and rewinds. C:
    /// `kho_block_set_restore`.
    ///
    /// # Errors
    /// Returns an error if the C code refused the chain, or was stopped.
    ///
    /// # Panics
    /// Panics if it was stopped, and the arena did not note where.
    pub fn restore_into(&mut self, head: PhysAddr) -> Result<(), Refusal> {
        let before = self.block_count();
        match call!(self, shim_restore, head.get()) {
            0 => {
                self.blocks().iter().skip(before).for_each(|block| self.arena.c_took(block.get()));
                self.rewind();
                Ok(())
            }
            1 => Err(Refusal::Wild(self.arena.events().wild.expect("noted when it was stopped"))),
            error => Err(Refusal::Errno(-error)),
        }
    }

    /// Makes room for `count` entries in all. C: `kho_block_set_grow`.
    ///
    /// # Errors
    /// Returns the error of the C code, as a positive number.
    pub fn grow(&mut self, count: u64) -> Result<(), i32> {
        match call!(self, shim_grow, count) {
            0 => Ok(()),
            error => Err(-error),
        }
    }

    /// Frees the blocks that `count` entries do not need, and rewinds, since the iterator's block
    /// may be gone. C: `kho_block_set_shrink`.
    pub fn shrink(&mut self, count: u64) {
        call!(self, shim_shrink, count);
        self.rewind();
    }

    /// Zeroes all blocks. The iterator stays where it is. C: `kho_block_set_clear`.
    pub fn clear(&mut self) {
        call!(self, shim_clear);
    }

    /// Frees all blocks. C: `kho_block_set_destroy`.
    pub fn destroy(&mut self) {
        call!(self, shim_destroy);
        self.rewind();
    }

    /// Forgets the set, as at the end of a kernel: the pages stay preserved. Returns the head. C:
    /// `kho_block_set_head_pa`.
    #[must_use]
    pub fn hand_over(self) -> PhysAddr {
        let head = self.head();
        self.blocks().iter().for_each(|block| self.arena.c_left(block.get()));
        call!(self, shim_forget);
        std::mem::forget(self);
        head
    }

    /// Returns the address of the first block. C: `kho_block_set_head_pa`.
    #[must_use]
    pub fn head(&self) -> PhysAddr {
        PhysAddr::new(call!(self, shim_head))
    }

    /// Returns whether the set has no blocks. C: `kho_block_set_is_empty`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        call!(self, shim_is_empty)
    }

    /// Returns the number of blocks. C: the field `nblocks`.
    ///
    /// # Panics
    /// Panics if it is negative.
    #[must_use]
    pub fn block_count(&self) -> usize {
        usize::try_from(call!(self, shim_nblocks)).expect("a number of blocks")
    }

    /// Returns the number of entries that fit in a block. C: the field `count_per_block`.
    #[must_use]
    pub fn count_per_block(&self) -> u64 {
        call!(self, shim_count_per_block)
    }

    /// Returns the addresses of the blocks in the set's own list, in order.
    #[must_use]
    pub fn blocks(&self) -> Vec<PhysAddr> {
        let mut blocks = vec![0; self.block_count()];
        let (first, len) = (blocks.as_mut_ptr(), blocks.len());
        call!(self, shim_blocks, first, len);
        blocks.into_iter().map(PhysAddr::new).collect()
    }

    /// Moves the iterator to the first entry. C: `kho_block_set_it_init`.
    pub fn rewind(&mut self) {
        call!(self, shim_it_init);
    }

    /// Reserves the next entry and writes it. Returns false if there is no room.
    /// C: `kho_block_set_it_reserve_entry`.
    ///
    /// # Panics
    /// Panics if `bytes` does not have the size of an entry.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        assert_eq!(bytes.len(), self.entry_size);
        let Some(slot) = self.reserve() else { return false };
        // SAFETY: `reserve` checked that these bytes are C's, so nobody has a reference to them.
        unsafe { slot.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        true
    }

    /// Reserves the next entry and leaves its bytes as they are. Returns false if there is no room.
    /// C: `kho_block_set_it_reserve_entry`.
    pub fn rewrite(&mut self) -> bool {
        self.reserve().is_some()
    }

    fn reserve(&mut self) -> Option<NonNull<u8>> {
        let slot = NonNull::new(call!(self, shim_reserve_entry))?;
        self.arena.check_c_bytes(slot, self.entry_size);
        Some(slot)
    }

    /// Returns a copy of the next entry. C: `kho_block_set_it_read_entry`.
    pub fn read(&mut self) -> Option<&[u8]> {
        let slot = call!(self, shim_read_entry);
        self.copy(slot)
    }

    /// Returns a copy of the previous entry. C: `kho_block_set_it_prev`.
    pub fn prev(&mut self) -> Option<&[u8]> {
        let slot = call!(self, shim_prev);
        self.copy(slot)
    }

    fn copy(&mut self, slot: *mut u8) -> Option<&[u8]> {
        let slot = NonNull::new(slot)?;
        self.arena.check_c_bytes(slot, self.entry_size);
        let to = NonNull::from(&mut *self.entry).cast();
        // SAFETY: as was just checked the bytes are in the arena and not kho-block's, so nobody has
        // a `&mut` to them; the vector has as many.
        unsafe { slot.copy_to_nonoverlapping(to, self.entry_size) };
        Some(&self.entry)
    }
}

impl Drop for CSet<'_> {
    fn drop(&mut self) {
        self.destroy();
        call!(self, shim_forget);
    }
}
