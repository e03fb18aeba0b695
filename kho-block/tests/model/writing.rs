//! Reserving and writing, with every way a writer can end.

use std::mem;

use kho_block::bytemuck::bytes_of;
use kho_block::{PushErrorKind, ReserveError, ReserveErrorKind, Writer};

use crate::TestEntry;
use crate::counting::allocations;
use crate::driver::{Pair, World, catch_injected, inject};
use crate::memories::TestMemory;
use crate::naive::Naive;
use crate::ops::{Amount, End, Part, Step};
use crate::parallel;
use crate::watched::Watched;

/// A `ReserveError` as `Naive::reserve` returns it.
type Expected = (usize, ReserveErrorKind);

fn check_reserve(result: Result<(), ReserveError>, expected: Result<(), Expected>) {
    assert_eq!(result.map_err(|error| (error.position, error.kind)), expected);
}

pub(crate) fn push<T: TestEntry, M: TestMemory>(world: &mut World<'_, T, M>, count: u8) {
    for _ in 0..count {
        let entry = world.entry();
        let Pair { set, naive } = &mut world.pairs[0];
        let in_place = count % 2 == 1;
        let result = if in_place {
            set.push_with(|| entry).map_err(Err)
        } else {
            set.push(entry).map_err(Ok)
        };
        if naive.room() == 0 {
            if let Err(expected) = naive.reserve(1, &mut world.budget) {
                match result.unwrap_err() {
                    Ok(error) => check_push_error(Err(error), &entry, expected),
                    Err(error) => check_reserve(Err(error), Err(expected)),
                }
                continue;
            }
        }
        assert!(result.is_ok());
        assert!(naive.push(entry));
        naive.published = naive.len();
    }
}

/// Extends the set, all or nothing.
pub(crate) fn extend<T: TestEntry, M: TestMemory>(
    world: &mut World<'_, T, M>,
    amount: Amount,
    slice: bool,
) {
    let count = world.pairs[0].naive.amount(amount);
    let entries: Vec<T> = (0..count).map(|_| world.entry()).collect();
    let Pair { set, naive } = &mut world.pairs[0];
    let reserved = naive.reserve(count, &mut world.budget);
    let given = entries.iter().copied();
    check_reserve(
        if slice { set.extend_from_slice(&entries) } else { set.try_extend(given) },
        reserved,
    );
    if reserved.is_ok() {
        assert!(entries.into_iter().all(|entry| naive.push(entry)));
    }
    naive.published = naive.len();
}

fn check_push_error<T: TestEntry>(
    result: Result<(), kho_block::PushError<T>>,
    entry: &T,
    expected: Expected,
) {
    let error = result.unwrap_err();
    assert!(bytes_of(&error.entry) == bytes_of(entry), "another entry is given back");
    let PushErrorKind::Reserve(reserve) = error.kind else { panic!("{error:?}") };
    check_reserve(Err(reserve), Err(expected));
}

pub(crate) fn reserve<T: TestEntry, M: TestMemory>(world: &mut World<'_, T, M>, additional: usize) {
    let Pair { set, naive } = &mut world.pairs[0];
    check_reserve(set.try_reserve(additional), naive.reserve(additional, &mut world.budget));
    if naive.room() >= additional {
        assert!(set.capacity() - set.len() >= additional);
    }
}

/// Writes step by step, and ends in the given way.
pub(crate) fn write<T: TestEntry, M: TestMemory>(
    world: &mut World<'_, T, M>,
    steps: &[Step],
    end: End,
) {
    // No one else counts this far.
    world.seed += 1 << 32;
    let seed = world.seed;
    let Pair { set, naive } = &mut world.pairs[0];
    let start = naive.len();
    naive.published = start;
    let mut session =
        Session { memory: world.memory, naive, budget: &mut world.budget, start, seed };
    match end {
        End::Drop => {
            let mut writer = set.writer();
            session.run(&mut writer, steps);
        }
        End::Rollback => {
            let mut writer = set.writer();
            session.run(&mut writer, steps);
            writer.rollback();
            naive.truncate(start);
        }
        End::Leak => {
            let mut writer = set.writer();
            session.run(&mut writer, steps);
            mem::forget(writer);
            // A full block is published at once, or when the next one is opened.
            let published = [naive.published, naive.published_early()];
            assert!(published.contains(&set.len()), "{} of {published:?}", set.len());
            naive.truncate(set.len());
        }
        End::Panic => {
            let panicked = catch_injected(|| {
                let mut writer = set.writer();
                session.run(&mut writer, steps);
                inject();
            });
            assert!(panicked);
        }
        End::Commit => {
            let pushed = set.transaction(|writer| {
                session.run(writer, steps);
                Ok::<_, ()>(writer.pushed())
            });
            assert_eq!(pushed, Ok(naive.len() - start));
        }
        End::Abort => {
            let aborted = set.transaction(|writer| {
                session.run(writer, steps);
                Err::<(), _>("aborted")
            });
            assert_eq!(aborted, Err("aborted"));
            naive.truncate(start);
        }
        End::AbortByPanic => {
            let panicked = catch_injected(|| {
                let _ = set.transaction::<(), ()>(|writer| {
                    session.run(writer, steps);
                    inject();
                });
            });
            assert!(panicked);
            naive.truncate(start);
        }
    }
    naive.published = naive.len();
}

/// The state of a sequence of writer steps, apart from the writer.
struct Session<'a, T, M> {
    memory: &'a Watched<M>,
    naive: &'a mut Naive<T>,
    budget: &'a mut usize,
    start: usize,
    seed: u64,
}

impl<T: TestEntry, M: TestMemory> Session<'_, T, M> {
    fn run(&mut self, writer: &mut Writer<'_, T, &Watched<M>>, steps: &[Step]) {
        for step in steps {
            self.step(writer, *step);
            assert_eq!(writer.pushed(), self.naive.len() - self.start);
        }
    }

    fn entry(&mut self) -> T {
        self.seed = self.seed.wrapping_add(1);
        crate::common::sample(self.seed)
    }

    fn step(&mut self, writer: &mut Writer<'_, T, &Watched<M>>, step: Step) {
        match step {
            Step::Push(amount) => {
                for _ in 0..self.naive.amount(amount) {
                    self.push(writer);
                }
            }
            Step::PushWithinCapacity(amount) => {
                for _ in 0..self.naive.amount(amount) {
                    self.push_within_capacity(writer);
                }
            }
            Step::PushWith(amount) => {
                for _ in 0..self.naive.amount(amount) {
                    self.push_with(writer);
                }
            }
            Step::TryExtend(amount, exact, panics) => {
                let count = self.naive.amount(amount);
                self.try_extend(writer, count, exact, panics.map(usize::from));
            }
            Step::Extend(amount) => {
                let count = self.naive.amount(amount);
                let entries: Vec<T> = (0..count).map(|_| self.entry()).collect();
                let reserved = self.naive.reserve(count, self.budget);
                check_reserve(writer.extend_from_slice(&entries), reserved);
                if reserved.is_ok() {
                    assert!(entries.into_iter().all(|entry| self.naive.push(entry)));
                }
            }
            Step::ParExtend(amount, part, panics) => {
                let count = self.naive.amount(amount);
                self.par_extend(writer, count, part, panics.map(usize::from));
            }
            Step::Reserve(amount) => {
                let additional = self.naive.amount(amount);
                let reserved = self.naive.reserve(additional, self.budget);
                check_reserve(writer.try_reserve(additional), reserved);
            }
            Step::ReserveMax if usize::BITS < 64 => {}
            Step::ReserveMax => {
                // Without a limit, reserve half. That also tests the count of unpublished entries.
                let without_limit = self.naive.limit == usize::MAX;
                let max = usize::MAX >> usize::from(without_limit);
                let reserved = self.naive.reserve(max, self.budget);
                check_reserve(writer.try_reserve(max), reserved);
            }
            Step::Publish => {
                let before = allocations();
                writer.publish();
                assert_eq!(allocations(), before);
                self.naive.published = self.naive.len();
            }
        }
    }

    /// Extends by an iterator, which panics at the entry `panics` if it gets there.
    fn try_extend(
        &mut self,
        writer: &mut Writer<'_, T, &Watched<M>>,
        count: usize,
        exact: bool,
        panics: Option<usize>,
    ) {
        let entries: Vec<T> = (0..count).map(|_| self.entry()).collect();
        let mut result = Ok(());
        let panicked = catch_injected(|| {
            let given = entries.iter().enumerate().map(|(index, entry)| {
                if panics == Some(index) {
                    inject();
                }
                *entry
            });
            let any_length = given.clone().filter(|_| true);
            result = if exact { writer.try_extend(given) } else { writer.try_extend(any_length) };
        });
        if exact {
            let reserved = self.naive.reserve(count, self.budget);
            if reserved.is_err() {
                return check_reserve(result, reserved);
            }
        }
        let before = self.naive.len();
        for (index, entry) in entries.into_iter().enumerate() {
            if panics == Some(index) {
                // Earlier entries stay.
                assert!(panicked);
                return;
            }
            if !self.naive.push(entry) {
                if let Err(expected) = self.naive.reserve(1, self.budget) {
                    self.naive.truncate(before);
                    return check_reserve(result, Err(expected));
                }
                assert!(self.naive.push(entry));
            }
        }
        assert!(!panicked);
        result.unwrap();
    }

    /// Extends by entries on several threads, one of which panics if it is reached.
    fn par_extend(
        &mut self,
        writer: &mut Writer<'_, T, &Watched<M>>,
        count: usize,
        most: Part,
        panics: Option<usize>,
    ) {
        let entries: Vec<T> = (0..count).map(|_| self.entry()).collect();
        let reserved = self.naive.reserve(count, self.budget);
        let (result, panicked) = parallel::extend(writer, &entries, most.get(), panics);
        if reserved.is_err() {
            return check_reserve(result, reserved);
        }
        assert_eq!(panicked, panics.is_some_and(|index| index < count));
        if !panicked {
            result.unwrap();
            assert!(entries.into_iter().all(|entry| self.naive.push(entry)));
        }
        self.naive.published = self.naive.len();
    }

    fn push(&mut self, writer: &mut Writer<'_, T, &Watched<M>>) {
        let entry = self.entry();
        let result = writer.push(entry);
        if !self.naive.push(entry) {
            match self.naive.reserve(1, self.budget) {
                Ok(()) => assert!(self.naive.push(entry)),
                Err(expected) => return check_push_error(result, &entry, expected),
            }
        }
        result.unwrap();
    }

    fn push_with(&mut self, writer: &mut Writer<'_, T, &Watched<M>>) {
        let entry = self.entry();
        let mut made = false;
        let result = writer.push_with(|| {
            made = true;
            entry
        });
        assert_eq!(made, result.is_ok(), "an entry is made only if there is room");
        if !self.naive.push(entry) {
            match self.naive.reserve(1, self.budget) {
                Ok(()) => assert!(self.naive.push(entry)),
                Err(expected) => return check_reserve(result, Err(expected)),
            }
        }
        result.unwrap();
    }

    fn push_within_capacity(&mut self, writer: &mut Writer<'_, T, &Watched<M>>) {
        let entry = self.entry();
        let before = (self.memory.allocations(), allocations());
        let result = writer.push_within_capacity(entry);
        let after = (self.memory.allocations(), allocations());
        assert_eq!(before, after, "blocks or other memory was allocated");
        if self.naive.push(entry) {
            result.unwrap();
        } else {
            let error = result.unwrap_err();
            assert_eq!(error.kind, PushErrorKind::CapacityUsed);
            assert!(bytes_of(&error.entry) == bytes_of(&entry), "another entry is given back");
        }
    }
}
