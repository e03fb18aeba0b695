//! Claiming several blocks, all of them or none.

use core::ptr::NonNull;

use crate::addr::PhysAddr;
use crate::error::ClaimError;

/// A visitor for [`BlockMemory::claim`](crate::BlockMemory::claim) that receives each claimed block
/// and names the next one.
///
/// This visitor claims the blocks in a list, all of them or none:
///
/// ```
/// use core::ptr::NonNull;
///
/// use kho_block::{BlockMemory, ClaimError, ClaimVisitor, HeapMemory, PhysAddr};
///
/// struct List {
///     /// The addresses that are left, last one first.
///     left: Vec<PhysAddr>,
///     blocks: Vec<NonNull<u8>>,
/// }
///
/// impl ClaimVisitor for List {
///     type Error = ClaimError;
///
///     fn visit(
///         &mut self,
///         _: PhysAddr,
///         block: NonNull<u8>,
///     ) -> Result<Option<PhysAddr>, ClaimError> {
///         self.blocks.push(block);
///         Ok(self.left.pop())
///     }
///
///     fn refuse(&mut self, error: ClaimError) -> ClaimError {
///         error
///     }
///
///     fn give_back(&mut self) -> Option<NonNull<u8>> {
///         self.blocks.pop()
///     }
/// }
///
/// let memory = HeapMemory::new();
/// let mut blocks = Vec::new();
/// memory.allocate(3, |block| blocks.push(block))?;
/// let mut left: Vec<_> = blocks.iter().map(|block| memory.addr_of(*block)).collect();
/// // SAFETY: the blocks were just allocated, and are not used any more.
/// unsafe { memory.hand_over(blocks.into_iter()) };
///
/// let first = left.pop().unwrap();
/// let mut list = List { left, blocks: Vec::new() };
/// // SAFETY: the list gives back what it visited, each block once, and does not use it.
/// unsafe { memory.claim(first, &mut list) }?;
/// assert_eq!(memory.usage().owned, 3);
/// # // SAFETY: the blocks were just claimed, and are not used any more.
/// # unsafe { memory.free(list.blocks.into_iter()) };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ClaimVisitor {
    /// The error of a claim that failed.
    type Error;

    /// Receives the block at `addr`, which was just claimed. Returns the address of the block to
    /// claim next, or `None` if this was the last one.
    ///
    /// # Errors
    /// Returns an error to make the claim fail. Every visited block is then asked
    /// [back](Self::give_back).
    fn visit(
        &mut self,
        addr: PhysAddr,
        block: NonNull<u8>,
    ) -> Result<Option<PhysAddr>, Self::Error>;

    /// Returns the error of a claim that fails because a block can't be claimed. The blocks that
    /// were visited are still owned.
    fn refuse(&mut self, error: ClaimError) -> Self::Error;

    /// Gives back one visited block after the claim failed, in any order, or returns `None` once
    /// all have been given back.
    fn give_back(&mut self) -> Option<NonNull<u8>>;
}

/// Runs a claim on behalf of an implementation of
/// [`BlockMemory::claim`](crate::BlockMemory::claim), which holds its lock.
///
/// `claim` makes a preserved block owned, and `hand_over` makes an owned one preserved.
///
/// # Errors
/// Returns the visitor's error, after handing over every block that it gave back.
#[inline]
pub fn claim_each<S, C: ClaimVisitor>(
    state: &mut S,
    first: PhysAddr,
    visitor: &mut C,
    mut claim: impl FnMut(&mut S, PhysAddr) -> Result<NonNull<u8>, ClaimError>,
    mut hand_over: impl FnMut(&mut S, NonNull<u8>),
) -> Result<(), C::Error> {
    let mut addr = first;
    let error = loop {
        let block = match claim(state, addr) {
            Ok(block) => block,
            Err(error) => break visitor.refuse(error),
        };
        match visitor.visit(addr, block) {
            Ok(Some(next)) => addr = next,
            Ok(None) => return Ok(()),
            Err(error) => break error,
        }
    };
    while let Some(block) = visitor.give_back() {
        hand_over(state, block);
    }
    Err(error)
}
