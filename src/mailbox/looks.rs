//! The clock of a patient waiter: when it looks for room without having been woken.
//!
//! Used by sends and publishes that wait with a deadline. Whoever frees places wakes such a waiter
//! only when it is worth it (see `space`); a slow receiver may make room long before. So it looks
//! after 1 ms, 2, 4, 8 and from then on every 16 ms, which is as long as a wait can be too long.
//! It must never return without a look: a time-out means that there was no room at its end.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::space::{self, Space};
use super::spin;
use crate::block_on::block_on;

const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(16);

/// When the next look is due, and how long the pause before it is.
#[derive(Debug)]
pub(crate) struct Looks {
    at: Instant,
    pause: Duration,
}

impl Looks {
    /// The first look is due one pause after this call.
    pub(crate) fn begin() -> Self {
        Self { at: Instant::now() + FIRST, pause: FIRST }
    }

    /// The moment of the next look, which is not after `deadline`.
    pub(crate) fn next(&self, deadline: Option<Instant>) -> Instant {
        deadline.map_or(self.at, |deadline| deadline.min(self.at))
    }

    /// Whether the look was due, for whoever has looked at `now`: then the next pause is twice as
    /// long.
    pub(crate) fn pass(&mut self, now: Instant) -> bool {
        let due = now >= self.at;
        if due {
            self.pause = (self.pause * 2).min(LONGEST);
            self.at = now + self.pause;
        }
        due
    }
}

/// Waits on this thread until `ready` says so; whether it did before `deadline`. First spins, if
/// it may, until `worth` says so: half of the `places`, so that it does not run after its receiver
/// batch by batch. Among few places it relies on being woken for each batch: a timer that soon is
/// dear to set.
pub(crate) fn wait_blocking(
    space: &Space,
    places: u64,
    deadline: Option<Instant>,
    mut ready: impl FnMut() -> bool,
    mut worth: impl FnMut() -> bool,
) -> bool {
    // Half may be free and still be too little for a large batch.
    if spin::until(|| worth() && ready()) {
        return true;
    }
    let mut looks = Looks::begin();
    let small = space::is_small(places);
    let mut waiting = if small { space.waiting() } else { space.waiting_patiently() };
    loop {
        let until = if small { deadline } else { Some(looks.next(deadline)) };
        if block_on(waiting.wait(&mut ready), until).is_some() || ready() {
            return true;
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return false;
        }
        looks.pass(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_double_up_to_the_longest() {
        let mut looks = Looks::begin();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let now = looks.at;
            assert!(!looks.pass(now - Duration::from_nanos(1)));
            assert!(looks.pass(now));
            pauses.push((looks.at - now).as_millis());
        }
        assert_eq!(pauses, [2, 4, 8, 16, 16, 16, 16]);
    }

    #[test]
    fn no_look_is_later_than_the_deadline() {
        let looks = Looks::begin();
        let early = looks.at - Duration::from_micros(1);
        assert_eq!(looks.next(Some(early)), early);
        assert_eq!(looks.next(Some(looks.at + FIRST)), looks.at);
        assert_eq!(looks.next(None), looks.at);
    }

    /// Nobody ever rings here: room that was made in silence.
    #[test]
    fn a_waiter_that_nobody_wakes_finds_the_room_by_itself() {
        let space = Space::new();
        let mut asked = 0;
        let mut ready = || {
            asked += 1;
            asked > 4
        };
        assert!(wait_blocking(&space, u64::MAX, None, &mut ready, || false));
        assert_eq!(space.waiting_now(), 0);
    }

    #[test]
    fn a_wait_looks_once_more_when_its_time_is_over() {
        let space = Space::new();
        let mut asked = 0;
        let over = Instant::now();
        let mut ready = || {
            asked += 1;
            asked == 3
        };
        assert!(wait_blocking(&space, u64::MAX, Some(over), &mut ready, || false));
        assert!(!wait_blocking(&space, u64::MAX, Some(over), || false, || false));
    }
}
