//! The child, which writes until it is killed.

use std::io::stdin;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use kho_block::{BlockSet, MemfdMemory};

use crate::Record;
use crate::control::{Control, MOST, Random, Word};

struct Child<'m, const SIZE: usize> {
    set: BlockSet<Record, &'m MemfdMemory<SIZE>>,
    control: Control,
    /// The ids of the set's entries.
    ids: Vec<u64>,
    next_id: u64,
    random: Random,
}

/// Writes, cuts and writes again, until it is killed.
pub(crate) fn run<const SIZE: usize>(seed: u64) {
    let fd = stdin().as_fd().try_clone_to_owned().unwrap();
    // SAFETY: the parent, which has the other descriptor, writes nothing while this process lives.
    let memory = unsafe { MemfdMemory::<SIZE>::from_fd(fd) }.unwrap();
    memory.free_preserved();
    let set = BlockSet::new_in(&memory);
    let control = Control::inherited();
    let random = Random(seed ^ 0xc0de);
    let mut child = Child { set, control, ids: Vec::new(), next_id: 1, random };
    child.push(1);
    child.control.set(Word::Head, child.set.head().addr().get());
    child.control.set(Word::Ready, 1);
    let end = Instant::now() + Duration::from_secs(20);
    for step in 1.. {
        child.step();
        child.control.set(Word::Steps, step);
        if Instant::now() > end {
            return; // the parent is gone
        }
    }
}

impl<const SIZE: usize> Child<'_, SIZE> {
    fn step(&mut self) {
        let len = self.ids.len() as u64;
        let room = MOST as u64 - len;
        let count = match self.random.below(3) {
            0 => self.random.below(5),
            1 => self.random.below(30),
            _ => self.random.below(300),
        }
        .min(room) as usize;
        match self.random.below(12) {
            0..5 => self.push(count),
            5 => self.push_by_parts(count),
            6 => self.roll_back(count),
            7 => self.transaction_that_fails(count),
            8 => {
                let len = self.random.below(len + 1) as usize;
                self.truncate(len);
            }
            9 => self.truncate(len.saturating_sub(1) as usize),
            10 => self.retain(),
            _ if self.random.below(5) == 0 => self.truncate(0),
            _ => self.set.try_reserve(count).unwrap(),
        }
    }

    /// Reports that `count` new entries may be found after the others.
    fn announce(&mut self, count: usize) -> Vec<Record> {
        let first = self.next_id;
        self.next_id += count as u64;
        let ids: Vec<_> = (first..self.next_id).collect();
        self.control.set_list(Word::Ids, self.ids.len(), &ids);
        self.control.set(Word::Most, (self.ids.len() + count) as u64);
        ids.into_iter().map(Record::new).collect()
    }

    /// Reports that `len` entries must be found from now on.
    fn must_show(&self, len: usize) {
        self.control.set(Word::Least, len as u64);
    }

    fn push(&mut self, count: usize) {
        let records = self.announce(count);
        let mut writer = self.set.writer();
        records.iter().for_each(|record| writer.push(*record).unwrap());
        drop(writer);
        self.ids.extend(records.iter().map(Record::id));
        self.must_show(self.ids.len());
    }

    fn push_by_parts(&mut self, count: usize) {
        let records = self.announce(count);
        let mut shown = self.ids.len();
        let mut writer = self.set.writer();
        for part in records.chunks(11) {
            writer.extend_from_slice(part).unwrap();
            writer.publish();
            shown += part.len();
            self.control.set(Word::Least, shown as u64);
        }
        drop(writer);
        self.ids.extend(records.iter().map(Record::id));
    }

    fn roll_back(&mut self, count: usize) {
        let records = self.announce(count);
        let mut writer = self.set.writer();
        records.iter().for_each(|record| writer.push(*record).unwrap());
        writer.rollback();
        self.control.set(Word::Most, self.ids.len() as u64);
    }

    fn transaction_that_fails(&mut self, count: usize) {
        let records = self.announce(count);
        let result = self.set.transaction(|writer| {
            writer.extend_from_slice(&records).unwrap();
            Err::<(), _>("no")
        });
        assert!(result.is_err());
        self.control.set(Word::Most, self.ids.len() as u64);
    }

    fn truncate(&mut self, len: usize) {
        self.must_show(len);
        if self.random.below(2) == 0 && len + 1 == self.ids.len() {
            self.set.pop();
        } else {
            self.set.truncate(len);
        }
        self.ids.truncate(len);
        self.control.set(Word::Most, len as u64);
    }

    fn retain(&mut self) {
        let mask = self.random.below(u64::MAX);
        let keep = |id: u64| mask >> (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) & 1 == 1;
        let Some(first_gone) = self.ids.iter().position(|id| !keep(*id)) else { return };
        let kept: Vec<_> = self.ids.iter().copied().filter(|id| keep(*id)).collect();
        self.control.set_list(Word::Others, 0, &kept);
        self.control.set(Word::MostOthers, kept.len() as u64);
        self.must_show(first_gone);
        self.set.retain(|record| keep(record.id()));
        self.control.set(Word::Most, 0);
        self.control.set_list(Word::Ids, 0, &kept);
        self.control.set(Word::Most, kept.len() as u64);
        self.must_show(kept.len());
        self.control.set(Word::MostOthers, 0);
        self.ids = kept;
    }
}
