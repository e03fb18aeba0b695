//! Iterators that return more or fewer entries than they said, or misuse a consumer.

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::iter::plumbing::{
    Consumer, Folder, ProducerCallback, Reducer, UnindexedConsumer, bridge,
};
use rayon::prelude::*;

use crate::{Item, Memory, PER_BLOCK, check, numbered, pool};

/// An iterator that claims to have `said` entries, and behaves as `how` says.
#[derive(Clone, Copy, Debug)]
struct Lying {
    said: usize,
    given: usize,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// Gives `given` entries, split in the middle.
    Bridge,
    /// Gives `given` entries, all to one folder, one by one.
    OneByOne,
    /// Gives `given` entries to the first half, and completes the second without any.
    AllToFront,
    /// Gives `given` entries to the second half, and drops the first.
    DropFront,
    /// Completes the first half, and gives the entries to a folder that is dropped.
    DropFolder,
    /// Gives entries to the second half, and leaks the first, also with one.
    LeakFront,
}

impl ParallelIterator for Lying {
    type Item = Item;

    fn drive_unindexed<C: UnindexedConsumer<Item>>(self, consumer: C) -> C::Result {
        self.drive(consumer)
    }
}

impl IndexedParallelIterator for Lying {
    fn len(&self) -> usize {
        self.said
    }

    fn drive<C: Consumer<Item>>(self, consumer: C) -> C::Result {
        let items = (0..self.given).map(Item::new);
        match self.how {
            How::Bridge => bridge((0..self.given).into_par_iter().map(Item::new), consumer),
            How::OneByOne => {
                items.fold(consumer.into_folder(), |folder, item| folder.consume(item)).complete()
            }
            How::AllToFront => {
                let (front, back, reducer) = consumer.split_at(self.said / 2);
                let front = front.into_folder().consume_iter(items).complete();
                reducer.reduce(front, back.into_folder().complete())
            }
            How::DropFront => {
                let (_, back, _) = consumer.split_at(self.said / 2);
                back.into_folder().consume_iter(items).complete()
            }
            How::DropFolder => {
                let (front, back, _) = consumer.split_at(self.said / 2);
                drop(back.into_folder().consume_iter(items));
                front.into_folder().complete()
            }
            How::LeakFront => {
                let (front, back, _) = consumer.split_at(self.said / 2);
                mem::forget(front.into_folder().consume_iter(items.clone().take(self.said / 2)));
                back.into_folder().consume_iter(items).complete()
            }
        }
    }

    fn with_producer<P: ProducerCallback<Item>>(self, _: P) -> P::Output {
        unreachable!("only consumers are fed")
    }
}

/// Extends by a lying iterator. Returns the message of the panic.
fn extend(set: &mut crate::Set<'_>, lying: Lying) -> String {
    let result = catch_unwind(AssertUnwindSafe(|| set.par_extend(lying)));
    let payload = result.expect_err("the lie was not noticed");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().expect("a message")).to_owned(),
    }
}

#[test]
fn every_lie_leaves_the_set_as_it_was() {
    let pool = pool(2);
    let lengths = [0, 1, 3, PER_BLOCK, PER_BLOCK + 1, 3 * PER_BLOCK];
    let hows = [
        How::Bridge,
        How::OneByOne,
        How::AllToFront,
        How::DropFront,
        How::DropFolder,
        How::LeakFront,
    ];
    let tries = Cell::new(0);
    for before in [0, 1, PER_BLOCK - 1, PER_BLOCK, PER_BLOCK + 1] {
        for said in lengths {
            for given in lengths {
                for how in hows {
                    let honest = matches!(how, How::Bridge | How::OneByOne);
                    // It claims no entries and gives none.
                    if (said == given && honest) || (said == 0 && given == 0) {
                        continue;
                    }
                    // The first half is empty, and the second gets all.
                    if said == given && said == 1 && matches!(how, How::DropFront | How::LeakFront)
                    {
                        continue;
                    }
                    let memory = Memory::new_with_block_size();
                    let mut set = numbered(&memory, before);
                    // Room for more, so that no slot is out of reach.
                    set.try_reserve(10 * PER_BLOCK).unwrap();
                    let lying = Lying { said, given, how };
                    let message = pool.install(|| extend(&mut set, lying));
                    let (more, fewer) = ("returned more entries", "returned fewer entries");
                    let expected = match how {
                        How::Bridge | How::OneByOne if given > said => more,
                        How::AllToFront if given > said / 2 => more,
                        How::DropFront | How::DropFolder | How::LeakFront
                            if given > said - said / 2 =>
                        {
                            more
                        }
                        _ => fewer,
                    };
                    assert!(message.contains(expected), "{lying:?}: {message}");
                    check(&set, before);
                    let ids = before..before + 2 * PER_BLOCK;
                    set.par_extend(ids.into_par_iter().map(Item::new)).unwrap();
                    check(&set, before + 2 * PER_BLOCK);
                    tries.set(tries.get() + 1);
                }
            }
        }
    }
    assert!(tries.get() > 600, "{} tries", tries.get());
}
