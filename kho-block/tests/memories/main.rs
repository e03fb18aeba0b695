//! Checks each guarantee of each memory, also through pointers to it.

#![allow(unsafe_code)] // the tests own blocks by pointer

use std::rc::Rc;
use std::sync::Arc;

use kho_block::{FaultyMemory, HeapMemory, MemfdMemory};

use crate::common::Countable;

mod claims;
#[path = "../common/mod.rs"]
mod common;
mod dump;
mod faulty;
mod memfd;
mod owner;
mod owning;
mod page;
mod reading;
mod threads;

/// Calls a check for a memory, then through each kind of pointer.
macro_rules! through_pointers {
    ($memory:ty, $($check:ident)::+) => {{
        $($check)::+(&<$memory>::make());
        $($check)::+(&&<$memory>::make());
        $($check)::+(&Rc::new(<$memory>::make()));
        $($check)::+(&Arc::new(<$memory>::make()));
    }};
}

macro_rules! block_memories {
    ($($name:ident $memory:ty,)+) => {$(
        mod $name {
            use super::*;

            #[test]
            fn g1_pointers_are_valid() {
                through_pointers!($memory, owning::g1_pointers_are_valid);
                owning::g1_moving_moves_no_block(<$memory>::make());
                owning::g1_moving_moves_no_block(&<$memory>::make());
                owning::g1_moving_moves_no_block(Rc::new(<$memory>::make()));
            }

            #[test]
            fn g2_blocks_are_exclusive() {
                through_pointers!($memory, owning::g2_blocks_are_exclusive);
            }

            #[test]
            fn g3_blocks_are_zeroed() {
                owning::g3_blocks_are_zeroed(&<$memory>::make());
            }

            #[test]
            fn g4_addresses_are_unique() {
                through_pointers!($memory, owning::g4_addresses_are_unique);
                through_pointers!($memory, owning::addresses_rise);
            }

            #[test]
            fn g5_only_preserved_blocks_are_claimed() {
                owning::g5_only_preserved_blocks_are_claimed(&<$memory>::make());
                owning::usage_is_right(&<$memory>::make());
            }

            #[test]
            fn g6_pointers_share_blocks() {
                let memory = <$memory>::make();
                owning::g6_pointers_share_blocks(&memory, &&memory);
                owning::g6_pointers_share_blocks(&&memory, &&memory);
                let memory = Rc::new(memory);
                owning::g6_pointers_share_blocks(&memory, &memory.clone());
                owning::g6_pointers_share_blocks(&memory, &*memory);
                let memory = Arc::new(<$memory>::make());
                owning::g6_pointers_share_blocks(&memory, &memory.clone());
                owning::g6_pointers_share_blocks(&memory, &&*memory);
            }

            #[test]
            fn claims_take_all_or_none() {
                through_pointers!($memory, claims::claims_take_all_or_none);
            }

            #[test]
            fn reads() {
                through_pointers!($memory, reading::only_preserved_blocks_are_read);
                through_pointers!($memory, reading::nothing_is_read_outside);
            }

            #[test]
            fn threads() {
                threads::blocks_are_exclusive(&<$memory>::make());
                threads::one_claim_succeeds(&<$memory>::make());
                threads::failing_restores_are_never_seen(&<$memory>::make());
            }
        }
    )+};
}

block_memories! {
    heap_4k HeapMemory<4096>,
    heap_16k HeapMemory<16384>,
    heap_64k HeapMemory<65536>,
    memfd_4k MemfdMemory<4096>,
    memfd_16k MemfdMemory<16384>,
    memfd_64k MemfdMemory<65536>,
    faulty_heap FaultyMemory<HeapMemory<4096>>,
    faulty_memfd FaultyMemory<MemfdMemory<65536>>,
}
