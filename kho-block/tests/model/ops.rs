//! Operations on a set as data, which proptest generates, shrinks and prints.
//!
//! Places and amounts are relative, so that plans often hit the edges of blocks, whatever the
//! entry's size.

use std::num::NonZeroU8;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// An index, or one past the end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spot {
    /// At this fraction of the length, in 65536ths.
    Part(u16),
    /// Near the start of a block.
    Edge(u8, i8),
    /// Near the end of the set.
    End(i8),
    /// `usize::MAX`.
    Max,
}

/// A number of entries to add.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    Few(u8),
    /// About as many as there is room for.
    Room(i8),
    /// About as many as fit in some blocks.
    Blocks(u8, i8),
}

/// Largest number of entries or blocks that a thread gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Few(NonZeroU8),
    Any,
}

impl Part {
    pub(crate) fn get(self) -> usize {
        match self {
            Self::Few(most) => most.get().into(),
            Self::Any => usize::MAX,
        }
    }
}

/// A call of a `Writer`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Push(Amount),
    PushWithinCapacity(Amount),
    PushWith(Amount),
    Extend(Amount),
    /// Extends by an iterator that may know its length, and panics at this entry.
    TryExtend(Amount, bool, Option<u8>),
    /// Extends by entries of which the one with this index panics.
    ParExtend(Amount, Part, Option<u8>),
    Reserve(Amount),
    ReserveMax,
    Publish,
}

/// How writing ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Drop,
    Rollback,
    Leak,
    Panic,
    Commit,
    Abort,
    AbortByPanic,
}

/// A call of an `Iter`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    Next,
    NextBack,
    Nth(Spot),
    NthBack(Spot),
    /// Moves the original, then continues with a clone made before.
    Clone,
    Fold,
    Rfold,
    Count,
    Last,
}

/// A call of a `Reader`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Move {
    Next,
    Prev,
    Seek(Spot),
    Nth(Spot),
    /// Moves the original, then continues with a clone made before.
    Clone,
    Fold,
    Last,
}

/// A call of `Chunks`, `ChunksMut` or `IterMut`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Take {
    Next,
    NextBack,
    Nth(u8),
    NthBack(u8),
}

/// Which entries `retain` keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    All,
    None,
    /// All but one.
    Without(Spot),
    /// Those from here on.
    From(Spot),
    /// Some, chosen by this seed.
    Some(u64),
    /// A few, chosen by this seed.
    Few(u64),
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Push(u8),
    /// Extends the set itself, by a slice or by an iterator.
    Extend(Amount, bool),
    Reserve(Amount),
    ReserveMax,
    /// Reserves while only so many allocations succeed, if the memory can fail.
    Starve(Amount, u8),
    Write(Vec<Step>, End),
    /// Sets how many allocations succeed from here on, if the memory can fail.
    Budget(Option<u8>),
    Shrink,
    Pop(u8),
    Truncate(Spot),
    Clear,
    Retain(Keep, Option<Spot>),
    Change(Spot),
    ChunksMut(Vec<Take>),
    IterMut(Vec<Take>),
    ParChange(Part),
    Get(Spot),
    Read(Vec<Read>),
    Move(Vec<Move>),
    Chunks(Vec<Take>),
    /// Reads the entries between two spots, as slices and by copying.
    Slices([Spot; 2], Vec<Take>),
    ParRead([Spot; 2], Part),
    Limit(Option<u8>),
    HandOver,
    Swap,
}

/// The origin of a set.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    Empty,
    /// A chain built by hand: for each block, the fraction that is filled, in 256ths.
    Chain(Vec<u8>),
}

/// How a plan ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Finish {
    /// The sets are dropped.
    Drop,
    /// The sets are handed over and never claimed.
    Abandon,
    /// The sets are handed over and their file is opened again, if there is one.
    Reopen,
    /// The sets are handed over and their file is sealed and viewed, if there is one.
    Seal,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) starts: [Start; 2],
    pub(crate) ops: Vec<Op>,
    pub(crate) finish: Finish,
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let finish = prop_oneof![
        Just(Finish::Drop),
        Just(Finish::Abandon),
        Just(Finish::Reopen),
        Just(Finish::Seal)
    ];
    ([start(), start()], vec(op(), 1..40), finish).prop_map(|(starts, ops, finish)| Plan {
        starts,
        ops,
        finish,
    })
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        3 => Just(Start::Empty),
        2 => vec(prop_oneof![any::<u8>(), Just(0), Just(255)], 1..6).prop_map(Start::Chain),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1..4_u8).prop_map(Op::Push),
        2 => (amount(), any::<bool>()).prop_map(|(amount, slice)| Op::Extend(amount, slice)),
        2 => amount().prop_map(Op::Reserve),
        1 => Just(Op::ReserveMax),
        3 => (amount(), 0..4_u8).prop_map(|(amount, budget)| Op::Starve(amount, budget)),
        9 => (vec(step(), 0..6), end()).prop_map(|(steps, end)| Op::Write(steps, end)),
        2 => option::of(0..4_u8).prop_map(Op::Budget),
        2 => Just(Op::Shrink),
        2 => (1..4_u8).prop_map(Op::Pop),
        3 => spot().prop_map(Op::Truncate),
        1 => Just(Op::Clear),
        4 => (keep(), option::weighted(0.3, spot())).prop_map(|(keep, at)| Op::Retain(keep, at)),
        2 => spot().prop_map(Op::Change),
        1 => vec(take(), 1..6).prop_map(Op::ChunksMut),
        1 => vec(take(), 1..8).prop_map(Op::IterMut),
        1 => part().prop_map(Op::ParChange),
        3 => spot().prop_map(Op::Get),
        6 => vec(read(), 1..12).prop_map(Op::Read),
        4 => vec(moves(), 1..12).prop_map(Op::Move),
        2 => vec(take(), 1..6).prop_map(Op::Chunks),
        3 => ([spot(), spot()], vec(take(), 1..6)).prop_map(|(at, takes)| Op::Slices(at, takes)),
        2 => ([spot(), spot()], part()).prop_map(|(spots, part)| Op::ParRead(spots, part)),
        1 => option::weighted(0.7, 0..12_u8).prop_map(Op::Limit),
        3 => Just(Op::HandOver),
        2 => Just(Op::Swap),
    ]
}

fn spot() -> impl Strategy<Value = Spot> {
    prop_oneof![
        4 => any::<u16>().prop_map(Spot::Part),
        4 => (0..8_u8, -2..3_i8).prop_map(|(block, by)| Spot::Edge(block, by)),
        2 => (-3..3_i8).prop_map(Spot::End),
        1 => Just(Spot::Max),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![any::<NonZeroU8>().prop_map(Part::Few), Just(Part::Any)]
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        3 => (0..5_u8).prop_map(Amount::Few),
        3 => (-1..2_i8).prop_map(Amount::Room),
        3 => (0..5_u8, -1..2_i8).prop_map(|(blocks, by)| Amount::Blocks(blocks, by)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => amount().prop_map(Step::Push),
        2 => amount().prop_map(Step::PushWithinCapacity),
        2 => amount().prop_map(Step::PushWith),
        3 => amount().prop_map(Step::Extend),
        3 => (amount(), any::<bool>(), option::weighted(0.2, any::<u8>()))
            .prop_map(|(amount, exact, panics)| Step::TryExtend(amount, exact, panics)),
        3 => (amount(), part(), option::weighted(0.3, any::<u8>()))
            .prop_map(|(amount, part, panics)| Step::ParExtend(amount, part, panics)),
        2 => amount().prop_map(Step::Reserve),
        1 => Just(Step::ReserveMax),
        2 => Just(Step::Publish),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(End::Drop),
        2 => Just(End::Rollback),
        2 => Just(End::Leak),
        1 => Just(End::Panic),
        2 => Just(End::Commit),
        1 => Just(End::Abort),
        1 => Just(End::AbortByPanic),
    ]
}

fn read() -> impl Strategy<Value = Read> {
    prop_oneof![
        4 => Just(Read::Next),
        4 => Just(Read::NextBack),
        3 => spot().prop_map(Read::Nth),
        3 => spot().prop_map(Read::NthBack),
        1 => Just(Read::Clone),
        1 => Just(Read::Fold),
        1 => Just(Read::Rfold),
        1 => Just(Read::Count),
        1 => Just(Read::Last),
    ]
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => Just(Move::Next),
        4 => Just(Move::Prev),
        4 => spot().prop_map(Move::Seek),
        2 => spot().prop_map(Move::Nth),
        1 => Just(Move::Clone),
        1 => Just(Move::Fold),
        1 => Just(Move::Last),
    ]
}

fn take() -> impl Strategy<Value = Take> {
    prop_oneof![
        2 => Just(Take::Next),
        2 => Just(Take::NextBack),
        1 => (0..4_u8).prop_map(Take::Nth),
        1 => (0..4_u8).prop_map(Take::NthBack),
    ]
}

fn keep() -> impl Strategy<Value = Keep> {
    prop_oneof![
        1 => Just(Keep::All),
        1 => Just(Keep::None),
        2 => spot().prop_map(Keep::Without),
        2 => spot().prop_map(Keep::From),
        3 => any::<u64>().prop_map(Keep::Some),
        1 => any::<u64>().prop_map(Keep::Few),
    ]
}
