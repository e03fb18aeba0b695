//! The arena's functions for the C code, which `host.rs` and `cset.rs` call.

use std::ptr::NonNull;

use kho_block::PhysAddr;

use super::{Arena, Events, State, address};
use crate::page::PAGE;

impl Arena {
    pub(crate) fn event(&self, change: impl FnOnce(&mut Events)) {
        change(&mut self.inner.borrow_mut().events);
    }

    pub(crate) fn c_object(&self) -> bool {
        let inner = &mut *self.inner.borrow_mut();
        if inner.objects_left == 0 {
            return false;
        }
        if inner.objects_left != usize::MAX {
            inner.objects_left -= 1;
        }
        inner.events.objects += 1;
        true
    }

    pub(crate) fn c_allocate(&self) -> Option<NonNull<u8>> {
        let page = self.allocate_as(State::Allocated)?;
        self.inner.borrow_mut().holders[page] = 1;
        Some(self.pointer(page, 0))
    }

    /// Frees the page that a pointer leads to, if it is the caller's.
    pub(crate) fn c_free(&self, pointer: NonNull<u8>, restored: bool) {
        let (page, _) = self.place(pointer);
        let inner = &mut *self.inner.borrow_mut();
        match (inner.states[page], restored) {
            (State::Allocated, false) | (State::Preserved | State::Restored, true) => {
                inner.states[page] = State::Freed;
            }
            _ => inner.events.bad_frees += 1,
        }
    }

    pub(crate) fn phys(&self, pointer: NonNull<u8>) -> u64 {
        let (page, offset) = self.place(pointer);
        address(self.frame_of[page]).get() + offset as u64
    }

    /// Returns a pointer for C to the byte at `addr`; `None` if the arena has no such byte, or
    /// if it is kho-block's (P2).
    pub(crate) fn virt(&self, addr: u64) -> Option<NonNull<u8>> {
        let found = self.find(PhysAddr::new(addr));
        // The rest of a header may lie in the next page of the process, which must not be
        // kho-block's either.
        let allowed = found.filter(|(page, offset)| {
            let inner = self.inner.borrow();
            let next = if *offset > PAGE - 16 { inner.states.get(page + 1) } else { None };
            inner.states[*page] != State::Rust && next != Some(&State::Rust)
        });
        if allowed.is_none() {
            self.event(|events| events.wild = Some(addr));
        }
        allowed.map(|(page, offset)| self.pointer(page, offset))
    }

    /// Notes that a C set was restored with the block at `addr`.
    pub(crate) fn c_took(&self, addr: u64) {
        let Some((page, _)) = self.find(PhysAddr::new(addr)) else { return };
        let inner = &mut *self.inner.borrow_mut();
        inner.holders[page] += 1;
        match inner.states[page] {
            State::Preserved => inner.states[page] = State::Restored,
            State::Free => {
                inner.states[page] = State::Stray;
                inner.free.retain(|free| *free != page);
            }
            _ => {}
        }
    }

    /// Notes that a C set with the block at `addr` was handed over.
    pub(crate) fn c_left(&self, addr: u64) {
        let Some((page, _)) = self.find(PhysAddr::new(addr)) else { return };
        let inner = &mut *self.inner.borrow_mut();
        inner.holders[page] -= 1;
        if inner.holders[page] == 0
            && matches!(inner.states[page], State::Allocated | State::Restored)
        {
            inner.states[page] = State::Preserved;
        }
    }

    /// Asserts that C may read and write these bytes: they are in the arena and not kho-block's.
    pub(crate) fn check_c_bytes(&self, pointer: NonNull<u8>, len: usize) {
        let (page, offset) = self.place(pointer);
        assert!(offset + len <= 2 * PAGE);
        let inner = self.inner.borrow();
        let next = if offset + len > PAGE { inner.states.get(page + 1) } else { None };
        assert!(inner.states[page] != State::Rust && next != Some(&State::Rust));
    }
}
