//! Reading with a cursor, against an index.

use kho_block::{Entries, ReadMemory};

use crate::TestEntry;
use crate::naive::Naive;
use crate::ops::Move;
use crate::reading::{check, check_place};

/// Moves a reader, and checks its position and its result at every step.
pub(crate) fn read<T: TestEntry, M: ReadMemory>(
    entries: &Entries<T, M>,
    naive: &Naive<T>,
    moves: &[Move],
) {
    let mut reader = entries.reader();
    let mut at = 0;
    let len = naive.len();
    for step in moves {
        match *step {
            Move::Next => {
                check(entries, naive, reader.next(), (at < len).then_some(at));
                at = len.min(at + 1);
            }
            Move::Prev => {
                let before = at.checked_sub(1);
                check(entries, naive, reader.prev(), before);
                at = before.unwrap_or(0);
            }
            Move::Seek(spot) => {
                reader.seek(naive.index(spot));
                at = naive.index(spot).min(len);
            }
            Move::Nth(spot) => {
                let found = at.saturating_add(naive.index(spot));
                check(
                    entries,
                    naive,
                    reader.nth(naive.index(spot)),
                    (found < len).then_some(found),
                );
                at = len.min(found.saturating_add(1));
            }
            Move::Clone => {
                let clone = reader.clone();
                reader.prev();
                reader.nth(2);
                reader = clone;
            }
            Move::Fold => {
                let mut left = at..len;
                let check = |entry| check_place(entries, naive, entry, left.next());
                reader.clone().for_each(check);
                assert!(left.is_empty());
                assert_eq!(reader.clone().count(), len - at);
            }
            Move::Last => {
                let last = (at < len).then(|| len - 1);
                check(entries, naive, reader.clone().last(), last);
            }
        }
        assert_eq!(reader.position(), at, "after {step:?}");
        assert_eq!(reader.len(), len - at);
    }
}
