//! Calls for a single block, on top of those for many.
#![allow(unsafe_code)]

use std::iter;
use std::ptr::NonNull;

use kho_block::{AllocError, BlockMemory, ClaimError, ClaimVisitor, PhysAddr};

pub(crate) trait OneBlock: BlockMemory {
    fn allocate_one(&self) -> Result<NonNull<u8>, AllocError> {
        let mut allocated = None;
        self.allocate(1, |block| allocated = Some(block))?;
        Ok(allocated.expect("one block was asked for"))
    }

    fn claim_one(&self, addr: PhysAddr) -> Result<NonNull<u8>, ClaimError> {
        let mut claimed = One(None);
        // SAFETY: the visitor gives back the block that it visited, once.
        unsafe { self.claim(addr, &mut claimed) }?;
        Ok(claimed.0.expect("one block was asked for"))
    }

    /// Frees one block.
    ///
    /// # Safety
    /// The caller must own the block, and gives it up.
    unsafe fn free_one(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.free(iter::once(block)) }
    }

    /// Hands one block over.
    ///
    /// # Safety
    /// The caller must own the block, and gives it up.
    unsafe fn hand_over_one(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise is the same one.
        unsafe { self.hand_over(iter::once(block)) }
    }
}

impl<M: BlockMemory> OneBlock for M {}

struct One(Option<NonNull<u8>>);

impl ClaimVisitor for One {
    type Error = ClaimError;

    fn visit(&mut self, _: PhysAddr, block: NonNull<u8>) -> Result<Option<PhysAddr>, ClaimError> {
        self.0 = Some(block);
        Ok(None)
    }

    fn refuse(&mut self, error: ClaimError) -> ClaimError {
        error
    }

    fn give_back(&mut self) -> Option<NonNull<u8>> {
        self.0.take()
    }
}
