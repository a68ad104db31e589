//! Taking out places that two sides may want: the consumer, and a publisher that makes room by
//! giving up the oldest (`DropOldest`).
//!
//! Both win a run of places by moving `line` from `head` to the run's end, move the values out,
//! and free the run by storing `head`. While one of them is between the two steps the others
//! find `line` ahead of `head`: the consumer waits (a move lasts as long as a copy), a publisher
//! gives up and turns its own message away. No value is dropped in here: a panicking `Drop`
//! between the two steps would stop the queue for ever.
#![allow(unsafe_code)]

use std::collections::VecDeque;

use super::{Queue, State};
use crate::sync::atomic::Ordering;
use crate::sync::hint;

/// How often either side looks again before it gives up. A bound, so that a publisher never waits
/// for one that was suspended while taking.
const LOOKS: usize = 64;

/// What taking a run of places came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// That many places were freed, with that many values in them.
    Took { places: u64, values: usize },
    /// The oldest place is not committed, or there is none.
    Nothing,
    /// Somebody else is taking out and did not get on in time.
    Busy,
}

/// Where values go that are moved out. Neither function runs foreign code.
pub(super) trait List<T>: Extend<T> {
    /// Makes room, so that extending it need not allocate.
    fn reserve(&mut self, more: usize);
}

impl<T> List<T> for Vec<T> {
    fn reserve(&mut self, more: usize) {
        self.reserve(more);
    }
}

impl<T> List<T> for VecDeque<T> {
    fn reserve(&mut self, more: usize) {
        self.reserve(more);
    }
}

impl<T, B> Queue<T, B> {
    /// How many committed places follow from `head`, at most `most`, and how many of them hold a
    /// value.
    #[inline]
    pub(super) fn run(&self, head: u64, most: u64) -> (u64, usize) {
        let (mut places, mut values) = (0, 0);
        if most == 1 {
            // One by one, finding out where a run ends would cost as much as taking it.
            return match self.slots.made(head).map(|slot| slot.state(head)) {
                Some(State::Filled) => (1, 1),
                Some(State::Skipped) => (1, 0),
                Some(State::Pending) | None => (0, 0),
            };
        }
        while places < most
            && let Some(slots) = self.slots.made_from(head + places)
        {
            for slot in &slots[..(most - places).min(slots.len() as u64) as usize] {
                match slot.state(head + places) {
                    State::Filled => values += 1,
                    State::Skipped => {}
                    State::Pending => return (places, values),
                }
                places += 1;
            }
        }
        (places, values)
    }

    /// Moves the values of these places into `list`, which has room for them.
    ///
    /// # Safety
    ///
    /// * `run` said that the places are committed, with so many values.
    /// * The caller alone may take them, takes them once, and frees them only afterwards.
    #[inline]
    pub(super) unsafe fn move_out(&self, head: u64, run: (u64, usize), list: &mut impl List<T>) {
        let (places, values) = run;
        if values == 1 && places == 1 {
            // SAFETY: it is filled, and the caller's, and taken once.
            list.extend(self.slots.made(head).map(|slot| unsafe { slot.take() }));
            return;
        }
        let (mut position, end) = (head, head + places);
        while position < end {
            let slots = self.slots.made_from(position).expect("a committed place has a slot");
            let slots = &slots[..(end - position).min(slots.len() as u64) as usize];
            if values as u64 == places {
                // The length is known, so the values move straight into the list: one by one, each
                // would lie on the stack while the list looks for room.
                // SAFETY: all are filled, and the caller's; each is taken once.
                list.extend(slots.iter().map(|slot| unsafe { slot.take() }));
            } else {
                let all = slots.iter().zip(position..);
                let filled = all.filter(|(slot, at)| slot.state(*at) == State::Filled);
                // SAFETY: filled, and the caller's; each is taken once.
                list.extend(filled.map(|(slot, _)| unsafe { slot.take() }));
            }
            position += slots.len() as u64;
        }
    }

    /// Moves a run of at most `most` places into `list`, in competition with others.
    pub(super) fn take_run(&self, most: u64, list: &mut impl List<T>) -> Run {
        debug_assert!(self.stealable);
        let front = &*self.front;
        for _ in 0..LOOKS {
            // ORDER(free): Acquire; pairs with ORDER(free) below. Carries the end of the last
            // taker's reading, and with it that taker's `line`.
            let head = front.head.load(Ordering::Acquire);
            let run @ (places, values) = self.run(head, most);
            if places == 0 {
                // ORDER: Relaxed; only compared with the number in hand.
                if front.head.load(Ordering::Relaxed) == head {
                    return Run::Nothing;
                }
                continue;
            }
            // Before the places are won: allocating may fail, and takes its time.
            list.reserve(places as usize);
            // ORDER: Relaxed on both ways out; the exchange gives the right to the run, once,
            // because `line` only rises. What is in the run came with ORDER(commit), and
            // nothing of it can change before `head` is stored below.
            let won = front.line.compare_exchange(
                head,
                head + places,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if won.is_err() {
                hint::spin_loop();
                continue;
            }
            // SAFETY: the exchange above gave these places to this call alone, and they are freed
            // below.
            unsafe { self.move_out(head, run, list) };
            // ORDER(free): Release; pairs with ORDER(free) in `room` and above. Carries the end
            // of this reading.
            front.head.store(head + places, Ordering::Release);
            return Run::Took { places, values };
        }
        Run::Busy
    }

    /// Makes room by moving the oldest values (a sixteenth of the capacity, at least one place)
    /// into `stolen`, for the caller to drop when it holds nothing any more. Says whether a
    /// place was freed.
    pub(crate) fn steal(&self, stolen: &mut Vec<T>) -> bool {
        let most = (self.capacity / 16).max(1);
        let Run::Took { values, .. } = self.take_run(most, stolen) else { return false };
        // ORDER: Relaxed; a statistic.
        self.ends.stolen.fetch_add(values as u64, Ordering::Relaxed);
        true
    }
}
