//! Identifiers for new events: UUIDv7, each made by its producer alone.
//!
//! The builder takes one per event from its thread's generator; a producer may own one. No
//! generator ever shares a lock or a cache line with another (`uuid`'s own version 7 takes a
//! process-wide mutex).
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use uuid::{Builder, Uuid};

use super::time::Timestamp;

/// A generator of UUIDv7 identifiers, strictly rising within one generator.
///
/// After RFC 9562, section 6.2, method 2: a new millisecond draws 73 random bits; within the
/// same millisecond the number rises by a random step. A clock that goes back is not followed.
/// The randomness is seeded by the operating system's, once a generator: good against collisions
/// between producers, not meant to be unguessable. A process that forks copies its generators:
/// make new ones in the child.
#[derive(Debug)]
pub struct EventIds {
    random: u64,
    millis: u64,
    /// 74 bits below the timestamp: 12 of `rand_a`, 62 of `rand_b`.
    tail: u128,
}

const TAIL_BITS: u32 = 74;

impl EventIds {
    /// A generator with a seed of its own.
    #[must_use]
    pub fn new() -> Self {
        // The standard library's hash keys are its one source of system randomness.
        let random = RandomState::new().build_hasher().finish();
        Self { random, millis: 0, tail: 0 }
    }

    /// The next identifier, for now.
    pub fn next_id(&mut self) -> Uuid {
        self.next_at(Timestamp::now())
    }

    /// The next identifier, for an instant that its caller has read already.
    pub(crate) fn next_at(&mut self, now: Timestamp) -> Uuid {
        let millis = now.unix_millis();
        if millis > self.millis {
            self.millis = millis;
            self.renew();
        } else {
            self.tail += u128::from(self.random() >> 32) + 1;
            if self.tail >> TAIL_BITS != 0 {
                // Out of numbers: borrow the next millisecond, as the RFC allows.
                self.millis += 1;
                self.renew();
            }
        }
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&((self.tail >> 62) as u16).to_be_bytes());
        bytes[2..].copy_from_slice(&(self.tail as u64).to_be_bytes());
        // The builder sets version and variant over the top bits of both parts.
        Builder::from_unix_timestamp_millis(self.millis, &bytes).into_uuid()
    }

    /// Draws the tail anew, its top bit clear so that it has room to rise.
    fn renew(&mut self) {
        let wide = u128::from(self.random()) << 64 | u128::from(self.random());
        self.tail = wide >> (128 - TAIL_BITS + 1);
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Default for EventIds {
    fn default() -> Self {
        Self::new()
    }
}

/// The next identifier of this thread's own generator.
pub(crate) fn next_at(now: Timestamp) -> Uuid {
    thread_local! {
        static IDS: RefCell<EventIds> = RefCell::new(EventIds::new());
    }
    // A thread that is being torn down has no generator any more: any fresh one will do.
    IDS.try_with(|ids| ids.borrow_mut().next_at(now))
        .unwrap_or_else(|_| EventIds::new().next_at(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_version_7_and_rise_even_when_the_clock_does_not() {
        let mut ids = EventIds::new();
        let now = Timestamp::parse("2026-11-21T12:00:00.123Z").unwrap();
        let earlier = Timestamp::parse("2020-01-01T00:00:00Z").unwrap();
        let made: Vec<Uuid> =
            (0..10_000).map(|i| ids.next_at(if i % 2 == 0 { now } else { earlier })).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
        for id in &made {
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        }
        let millis = u64::try_from(now.unix_nanos() / 1_000_000).unwrap();
        assert_eq!(u128::from(millis), made[0].as_u128() >> 80);
    }

    #[test]
    fn a_millisecond_without_numbers_left_borrows_the_next() {
        let now = Timestamp::parse("2026-11-21T12:00:00Z").unwrap();
        let mut ids = EventIds::new();
        let before = ids.next_at(now);
        ids.tail = (1 << TAIL_BITS) - 1;
        let after = ids.next_at(now);
        assert!(after > before);
        assert_eq!(after.as_u128() >> 80, (before.as_u128() >> 80) + 1);
    }

    #[test]
    fn producers_do_not_collide_in_one_millisecond() {
        let now = Timestamp::parse("2026-11-21T12:00:00Z").unwrap();
        let made: HashSet<Uuid> = (0..64)
            .map(|_| EventIds::new())
            .flat_map(|mut ids| (0..100).map(move |_| ids.next_at(now)))
            .collect();
        assert_eq!(made.len(), 6400);
    }
}
