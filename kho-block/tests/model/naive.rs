//! The model: a `Vec` of entries, and the number of entries that each block holds.

use kho_block::ReserveErrorKind;

use crate::ops::{Amount, Spot};

/// Largest number of blocks that are filled, to keep the tests fast.
const MANY_BLOCKS: usize = 10;

#[derive(Clone)]
pub(crate) struct Naive<T> {
    pub(crate) entries: Vec<T>,
    /// Number of entries in each linked block.
    pub(crate) counts: Vec<usize>,
    /// Number of reserved blocks that hold no entries.
    pub(crate) spare: usize,
    pub(crate) limit: usize,
    /// Number of entries that fit in a block.
    pub(crate) per: usize,
    /// Number of published entries, if a block is published when the next one is opened. A set that
    /// is not being written has published all its entries.
    pub(crate) published: usize,
}

impl<T: Copy> Naive<T> {
    pub(crate) fn new(per: usize) -> Self {
        let limit = kho_block::abi::DEFAULT_BLOCK_LIMIT;
        Self { entries: Vec::new(), counts: Vec::new(), spare: 0, limit, per, published: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn blocks(&self) -> usize {
        self.counts.len() + self.spare
    }

    fn room_in_last(&self) -> usize {
        self.counts.last().map_or(0, |count| self.per - count)
    }

    pub(crate) fn room(&self) -> usize {
        self.room_in_last() + self.spare * self.per
    }

    /// Returns the number of published entries, if a block is published when it is full.
    pub(crate) fn published_early(&self) -> usize {
        if self.room_in_last() == 0 { self.len() } else { self.published }
    }

    pub(crate) fn is_uniform(&self) -> bool {
        let before_last = self.counts.len().saturating_sub(1);
        self.counts[..before_last].iter().all(|count| *count == self.per)
    }

    /// Returns the index of the first entry of a block.
    pub(crate) fn start(&self, block: usize) -> usize {
        self.counts.iter().take(block).sum()
    }

    /// Returns the block of an entry, and the entry's index in it.
    pub(crate) fn locate(&self, mut index: usize) -> (usize, usize) {
        for (block, count) in self.counts.iter().enumerate() {
            if index < *count {
                return (block, index);
            }
            index -= count;
        }
        panic!("past the end");
    }

    /// Adds an entry to the blocks. Returns `false` if they have no room.
    pub(crate) fn push(&mut self, entry: T) -> bool {
        if self.room_in_last() == 0 {
            self.published = self.len();
            if self.spare == 0 {
                return false;
            }
            self.spare -= 1;
            self.counts.push(0);
        }
        *self.counts.last_mut().unwrap() += 1;
        self.entries.push(entry);
        true
    }

    /// Adds blocks, at most `budget` of them. An error is a position and a kind.
    pub(crate) fn reserve(
        &mut self,
        additional: usize,
        budget: &mut usize,
    ) -> Result<(), (usize, ReserveErrorKind)> {
        let before = self.blocks();
        let missing = additional.saturating_sub(self.room()).div_ceil(self.per);
        if missing == 0 {
            return Ok(());
        }
        if missing > self.limit.saturating_sub(before) {
            let kind = ReserveErrorKind::TooLong { limit: self.limit };
            return Err((self.limit.max(before), kind));
        }
        // No machine has that much memory.
        if usize::BITS == 64 && missing > usize::MAX / (1 << 20) / self.per {
            return Err((before, ReserveErrorKind::OutOfMemory));
        }
        if *budget < missing {
            let position = before + *budget;
            *budget = 0;
            return Err((position, ReserveErrorKind::OutOfMemory));
        }
        if *budget != usize::MAX {
            *budget -= missing;
        }
        self.spare += missing;
        Ok(())
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        while self.len() > len {
            let last = self.counts.last_mut().unwrap();
            let gone = (self.entries.len() - len).min(*last);
            *last -= gone;
            if *last == 0 {
                self.counts.pop();
                self.spare += 1;
            }
            self.entries.truncate(self.entries.len() - gone);
        }
        self.published = self.len();
    }

    /// Cuts the chain at the first entry to remove, and appends the kept ones after it.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        let Some(cut) = keep.iter().position(|keep| !keep) else { return };
        let tail = self.entries[cut..].to_vec();
        self.truncate(cut);
        for (entry, keep) in tail.into_iter().zip(&keep[cut..]) {
            assert!(!keep || self.push(entry));
        }
        self.published = self.len();
    }

    pub(crate) fn index(&self, spot: Spot) -> usize {
        match spot {
            Spot::Part(part) => self.len() * usize::from(part) / 65536,
            Spot::Edge(block, by) => {
                self.start(usize::from(block)).saturating_add_signed(isize::from(by))
            }
            Spot::End(by) => self.len().saturating_add_signed(isize::from(by)),
            Spot::Max => usize::MAX,
        }
    }

    pub(crate) fn amount(&self, amount: Amount) -> usize {
        let amount = match amount {
            Amount::Few(few) => usize::from(few),
            Amount::Room(by) => self.room().saturating_add_signed(isize::from(by)),
            Amount::Blocks(blocks, by) => {
                (usize::from(blocks) * self.per).saturating_add_signed(isize::from(by))
            }
        };
        if self.blocks() > MANY_BLOCKS { amount.min(self.room() + 1) } else { amount }
    }
}
