//! Tests of the mailboxes of single topics.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::thread;

use super::*;
use crate::{Bus, Delivery, Overflow, Subscription};

fn subscribe(bus: &Bus<u64>, topic: &str, overflow: Overflow) -> Subscription<u64> {
    let builder = bus.subscribe(topic).unwrap().mailbox(64).overflow(overflow);
    builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
}

fn topic(number: u64) -> String {
    format!("t.{number}")
}

fn reached(bus: &Bus<u64>, topic: &str) -> u64 {
    bus.core().table.route(topic).subscribers()
}

#[test]
fn a_topic_leads_to_its_subscriptions_whatever_came_and_went() {
    const TOPICS: u64 = 200;
    let bus = Bus::<u64>::new();
    let mut kept = BTreeMap::<u64, Vec<Subscription<u64>>>::new();
    // The steps of an MMIX generator.
    let mut chance = 1_u64;
    for step in 0..6_000 {
        chance =
            chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (chance >> 33) % TOPICS;
        let own = kept.entry(number).or_default();
        // More come in the first half, and more go in the second one.
        if (chance >> 60) < if step < 3_000 { 11 } else { 5 } {
            let overflow =
                if chance & 1 << 50 == 0 { Overflow::DropNewest } else { Overflow::DropOldest };
            own.push(subscribe(&bus, &topic(number), overflow));
        } else if !own.is_empty() {
            drop(own.swap_remove((chance >> 45) as usize % own.len()));
        }
        if step % 500 == 499 {
            for number in 0..TOPICS {
                let there = kept.get(&number).map_or(0, Vec::len) as u64;
                assert_eq!(reached(&bus, &topic(number)), there, "{number} after {step}");
            }
        }
    }
}

#[test]
fn a_topic_has_one_mailbox_in_here_and_the_others_elsewhere() {
    let bus = Bus::<u64>::new();
    let exact = &bus.core().table.exact;
    let first = subscribe(&bus, "t", Overflow::DropNewest);
    let second = subscribe(&bus, "t", Overflow::DropNewest);
    assert_eq!(exact.get("t").unwrap().subscriber.id, first.id());
    assert_eq!(reached(&bus, "t"), 2);
    drop(first);
    assert!(exact.get("t").is_none());
    assert_eq!(reached(&bus, "t"), 1);
    let third = subscribe(&bus, "t", Overflow::DropNewest);
    assert_eq!(exact.get("t").unwrap().subscriber.id, third.id());
    assert_eq!(reached(&bus, "t"), 2);
    let other_dialects = ["mqtt:t", "t.*", "prefix:t"];
    let others = other_dialects.map(|pattern| subscribe(&bus, pattern, Overflow::DropNewest));
    assert_eq!((reached(&bus, "t"), reached(&bus, "t.u")), (4, 2));
    drop((second, third, others));
    assert_eq!(reached(&bus, "t"), 0);
}

/// As where a publisher has a word's number in hand while its place goes to another topic.
#[test]
fn a_word_that_leads_to_another_topic_finds_nothing() {
    let bus = Bus::<u64>::new();
    let _kept = subscribe(&bus, "t", Overflow::DropNewest);
    let exact = &bus.core().table.exact;
    let words = exact.words.load();
    assert!(exact.find("t", Tag::of("t"), &words).is_some());
    assert!(exact.find("other", Tag::of("t"), &words).is_none());
}

#[test]
fn words_go_with_their_topics_and_places_to_other_topics() {
    let bus = Bus::<u64>::new();
    let words = || bus.core().table.exact.words.load().len();
    let all: Vec<_> =
        (0..1_000).map(|number| subscribe(&bus, &topic(number), Overflow::DropNewest)).collect();
    assert!(words() >= 1_500);
    let mut all = all.into_iter();
    let stays = all.next();
    all.for_each(drop);
    assert!(words() <= 4 * LEAST_WORDS, "{} words for one", words());
    assert_eq!(reached(&bus, &topic(0)), 1);
    drop(stays);
    let places = || bus.core().table.exact.places.places();
    let before = places();
    for number in 0..10_000 {
        drop(subscribe(&bus, &topic(number), Overflow::DropNewest));
    }
    assert_eq!(places(), before, "places are given to others");
}

#[test]
fn a_topic_that_stays_is_found_while_others_come_and_go() {
    let bus = Bus::<u64>::new();
    let _stays = subscribe(&bus, "stays", Overflow::DropNewest);
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            for round in 0..20 {
                let more: Vec<_> = (0..200)
                    .map(|number| subscribe(&bus, &topic(number * round), Overflow::DropNewest))
                    .collect();
                drop(more);
            }
        });
        while !others.is_finished() {
            assert_eq!(reached(&bus, "stays"), 1);
        }
    });
}
