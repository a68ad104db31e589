//! Lines that are written and not durable yet, kept in case a sync fails.
//!
//! The writer's alone. There are two groups of them: those that a running sync covers, and those
//! that were written since it began. Each is kept or let go as a whole. It knows nothing of files:
//! what becomes of the lines is the writer's business.
#![forbid(unsafe_code)]

use std::mem;
use std::time::Instant;

/// Lines are kept in pieces of this size, which are used again: one that grew would be copied, and
/// memory that is new for each burst costs more than what is put into it.
const PIECE: usize = 256 * 1024;
/// So many pieces are kept for later in any case.
const SPARE: usize = 4;

/// Lines one after the other.
#[derive(Debug, Default)]
struct Group {
    /// A line may begin in one piece and end in the next.
    pieces: Vec<Vec<u8>>,
    bytes: usize,
    last: u64,
    since: Option<Instant>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Undurable {
    covered: Group,
    later: Group,
    spare: Vec<Vec<u8>>,
    /// The file that holds them is finished: they must be written again elsewhere.
    pub(super) stranded: bool,
}

impl Undurable {
    /// Adds whole lines, which end with the one of `last`.
    pub(super) fn keep(&mut self, mut lines: &[u8], last: u64) {
        let Self { later, spare, .. } = self;
        later.bytes += lines.len();
        later.last = last;
        later.since.get_or_insert_with(Instant::now);
        while !lines.is_empty() {
            let room = later.pieces.last().map_or(0, |piece| piece.capacity() - piece.len());
            if room == 0 {
                later.pieces.push(spare.pop().unwrap_or_else(|| Vec::with_capacity(PIECE)));
                continue;
            }
            let (now, rest) = lines.split_at(room.min(lines.len()));
            if let Some(piece) = later.pieces.last_mut() {
                piece.extend_from_slice(now);
            }
            lines = rest;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Bytes in all.
    pub(super) fn bytes(&self) -> usize {
        self.covered.bytes + self.later.bytes
    }

    /// Bytes that no running sync covers.
    pub(super) fn uncovered(&self) -> usize {
        self.later.bytes
    }

    /// Since when there are lines that no running sync covers.
    pub(super) fn since(&self) -> Option<Instant> {
        self.later.since
    }

    /// All lines, in pieces.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.covered.pieces.iter().chain(&self.later.pieces).map(Vec::as_slice)
    }

    /// A sync begins that covers all lines. There is none yet.
    pub(super) fn cover(&mut self) {
        debug_assert!(self.covered.pieces.is_empty(), "one sync at a time");
        self.covered = mem::take(&mut self.later);
    }

    /// What the running sync covers is durable. Returns the last sequence of it.
    pub(super) fn let_covered_go(&mut self) -> u64 {
        let Group { pieces, last, .. } = mem::take(&mut self.covered);
        let used = pieces.len();
        self.spare.extend(pieces.into_iter().map(|mut piece| {
            piece.clear();
            piece
        }));
        // One busy second must not hold its memory for ever; but giving it back after each, and
        // getting it anew, costs a busy journal more than writing.
        self.spare.truncate(SPARE.max(2 * used));
        last
    }

    /// All lines are durable. Returns the last sequence of them.
    pub(super) fn let_all_go(&mut self) -> u64 {
        self.stranded = false;
        let covered = self.let_covered_go();
        self.cover();
        covered.max(self.let_covered_go())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(undurable: &Undurable) -> Vec<u8> {
        undurable.pieces().flatten().copied().collect()
    }

    #[test]
    fn what_is_kept_comes_out_in_order_however_the_pieces_fall() {
        let line = |number: u8| vec![number; PIECE / 3 + 1];
        let mut undurable = Undurable::default();
        let mut expected = Vec::new();
        for number in 0..10 {
            undurable.keep(&line(number), u64::from(number));
            expected.extend(line(number));
            if number == 4 {
                undurable.cover();
            }
        }
        assert_eq!(text(&undurable), expected);
        assert_eq!(
            (undurable.bytes(), undurable.uncovered()),
            (expected.len(), expected.len() / 2)
        );
        assert_eq!(undurable.let_covered_go(), 4);
        assert_eq!(text(&undurable), expected[expected.len() / 2..]);
        assert_eq!(undurable.let_all_go(), 9);
        assert!(undurable.is_empty() && undurable.since().is_none());
    }

    #[test]
    fn one_that_nobody_waits_for_begins_anew_with_the_time() {
        let mut undurable = Undurable::default();
        undurable.keep(b"a", 1);
        let since = undurable.since().expect("there is a line");
        undurable.keep(b"b", 2);
        assert_eq!(undurable.since(), Some(since), "later lines do not put it off");
        undurable.cover();
        assert_eq!(undurable.since(), None, "a sync covers them");
        undurable.keep(b"c", 3);
        assert!(undurable.since() >= Some(since));
    }

    #[test]
    fn memory_of_a_busy_time_is_given_back_in_a_quiet_one() {
        let mut undurable = Undurable::default();
        undurable.keep(&vec![b'x'; 50 * PIECE], 1);
        undurable.let_all_go();
        assert_eq!(undurable.spare.len(), 50, "it may go on like that");
        undurable.keep(b"x", 2);
        undurable.let_all_go();
        assert_eq!(undurable.spare.len(), SPARE);
    }
}
