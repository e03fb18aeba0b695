//! The memory traits for references, `Rc` and `Arc`.

use core::ptr::NonNull;

use super::block::BlockMemory;
use super::claim::ClaimVisitor;
use super::read::{ReadMemory, StableMemory};
use crate::addr::PhysAddr;
use crate::error::{AllocError, ReadError};

macro_rules! forward {
    ($($(#[$attr:meta])* $pointer:ty;)+) => {$(
        $(#[$attr])*
        impl<M: ReadMemory> ReadMemory for $pointer {
            const BLOCK_SIZE: usize = M::BLOCK_SIZE;

            fn read(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
                (**self).read(addr, buf)
            }

            fn next_readable(&self, addr: PhysAddr) -> Option<PhysAddr> {
                (**self).next_readable(addr)
            }
        }

        $(#[$attr])*
        impl<M: StableMemory> StableMemory for $pointer {
            fn lend(&self, addr: PhysAddr, len: usize) -> Result<&[u8], ReadError> {
                (**self).lend(addr, len)
            }
        }

        $(#[$attr])*
        // SAFETY: every call goes to the same memory, which gives the guarantees; a pointer to it
        // keeps it alive (G1) and stands for the same blocks (G6).
        unsafe impl<M: BlockMemory> BlockMemory for $pointer {
            fn allocate<F>(&self, count: usize, visit: F) -> Result<(), AllocError>
            where
                F: FnMut(NonNull<u8>),
            {
                (**self).allocate(count, visit)
            }

            #[inline]
            unsafe fn claim<C: ClaimVisitor>(
                &self,
                first: PhysAddr,
                visitor: &mut C,
            ) -> Result<(), C::Error> {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).claim(first, visitor) }
            }

            fn addr_of(&self, block: NonNull<u8>) -> PhysAddr {
                (**self).addr_of(block)
            }

            unsafe fn free<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).free(blocks) }
            }

            unsafe fn hand_over<I: Iterator<Item = NonNull<u8>>>(&self, blocks: I) {
                // SAFETY: the caller's promise is the same one.
                unsafe { (**self).hand_over(blocks) }
            }

            fn published(&self) {
                (**self).published();
            }
        }
    )+};
}

forward! {
    &M;
    #[cfg(feature = "alloc")] alloc::rc::Rc<M>;
    #[cfg(feature = "alloc")] alloc::sync::Arc<M>;
}
