//! Notes which blocks a claim takes.

use std::ptr::NonNull;

use kho_block::{ClaimError, ClaimVisitor, PhysAddr};

/// Wraps a visitor and notes which blocks are claimed.
pub(crate) struct Noted<'a, C> {
    visitor: &'a mut C,
    /// The blocks that were claimed and not given back.
    pub(crate) blocks: Vec<NonNull<u8>>,
}

impl<'a, C: ClaimVisitor> Noted<'a, C> {
    pub(crate) fn new(visitor: &'a mut C) -> Self {
        Self { visitor, blocks: Vec::new() }
    }
}

impl<C: ClaimVisitor> ClaimVisitor for Noted<'_, C> {
    type Error = C::Error;

    fn visit(&mut self, addr: PhysAddr, block: NonNull<u8>) -> Result<Option<PhysAddr>, C::Error> {
        self.blocks.push(block);
        self.visitor.visit(addr, block)
    }

    fn refuse(&mut self, error: ClaimError) -> C::Error {
        self.visitor.refuse(error)
    }

    fn give_back(&mut self) -> Option<NonNull<u8>> {
        let block = self.visitor.give_back()?;
        self.blocks.retain(|other| *other != block);
        Some(block)
    }
}
