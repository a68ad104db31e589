//! The doorbell alone, step by step: who sleeps, who rings.
#![forbid(unsafe_code)]

use crate::sync::atomic::{AtomicU64, Ordering, fence};
use crate::sync::{Arc, claim_fence, thread};

/// The doorbell restated: who sleeps, who rings. `fenced` is whether both pass their fence.
fn fall_asleep_while_a_message_comes(fenced: bool) {
    loom::model(move || {
        let ready = Arc::new(AtomicU64::new(0));
        let parked = Arc::new(AtomicU64::new(0));
        let (message, bell) = (Arc::clone(&ready), Arc::clone(&parked));
        let sender = thread::spawn(move || {
            message.store(1, Ordering::Release);
            if fenced {
                fence(Ordering::SeqCst);
            }
            bell.load(Ordering::Acquire) != 0 && bell.swap(0, Ordering::AcqRel) != 0
        });
        parked.store(1, Ordering::Release);
        if fenced {
            fence(Ordering::SeqCst);
        }
        let sleeps = ready.load(Ordering::Acquire) == 0;
        let rung = sender.join().unwrap();
        assert!(rung || !sleeps, "a lost wake-up");
    });
}

#[test]
fn a_doorbell_with_fences_loses_no_wake_up() {
    fall_asleep_while_a_message_comes(true);
}

/// Must fail: Release and Acquire alone let both sides miss each other.
#[test]
#[should_panic(expected = "a lost wake-up")]
fn a_doorbell_without_fences_loses_a_wake_up() {
    fall_asleep_while_a_message_comes(false);
}

/// The claim as the sender's fence, restated: it claims, commits and looks at the bell, with a fence
/// only behind the claim. `at_the_claim` is whether the receiver's last look is at what was claimed,
/// or only at what is readable.
fn fall_asleep_beside_a_claim(at_the_claim: bool) {
    loom::model(move || {
        let [tail, stamp, parked] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
        let sender = {
            let (tail, stamp, parked) =
                (Arc::clone(&tail), Arc::clone(&stamp), Arc::clone(&parked));
            thread::spawn(move || {
                tail.fetch_add(1, Ordering::SeqCst);
                claim_fence();
                stamp.store(1, Ordering::Release);
                parked.load(Ordering::SeqCst) != 0 && parked.swap(0, Ordering::AcqRel) != 0
            })
        };
        parked.swap(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let seen = if at_the_claim { &tail } else { &stamp };
        let sleeps = seen.load(Ordering::SeqCst) == 0;
        let rung = sender.join().unwrap();
        assert!(rung || !sleeps, "a lost wake-up");
    });
}

#[test]
fn a_receiver_that_looks_at_what_was_claimed_loses_no_wake_up() {
    fall_asleep_beside_a_claim(true);
}

/// Must fail: the sender has looked at the bell before its message could be seen.
#[test]
#[should_panic(expected = "a lost wake-up")]
fn a_receiver_that_looks_at_what_is_readable_loses_a_wake_up() {
    fall_asleep_beside_a_claim(false);
}
