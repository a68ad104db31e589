//! Finding who wants a topic among 1,000 patterns, and changing that table.

use std::hint::black_box;

use ringpost::Overflow;
use ringpost::topic::{Pattern, Trie};

use crate::ticks::{Stage, Tick};
use crate::{Count, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("match/1000", find),
    ("publisher/1000", resolve),
    ("subscribe/1000", subscribe),
    ("unsubscribe/1000", unsubscribe),
];

const PATTERNS: usize = 1000;
/// Operations a scenario: as many topics or patterns of their own, so that how one of them
/// happens to hash does not matter.
const TIMES: u64 = 256;

/// Nine in ten name one topic; the others are `plant.N.*.temperature` and the like.
fn pattern(number: usize) -> String {
    match number % 20 {
        0 => format!("plant.{number}.*.temperature"),
        10 => format!("plant.{number}.>"),
        _ => topic(number),
    }
}

fn topic(number: usize) -> String {
    format!("plant.{number}.line{}.temperature", number % 7)
}

fn stage() -> Stage<Tick> {
    let names = (0..PATTERNS).map(pattern);
    let stage = names.fold(Stage::new(), |stage, name| stage.with(1, &name, Overflow::DropOldest));
    stage.hand.turn();
    stage
}

fn find(count: &mut Count) {
    let trie = (0..PATTERNS).zip(0_u64..).fold(Trie::new(), |trie, (number, id)| {
        trie.insert(&Pattern::parse(&pattern(number)).expect("it is valid"), id, number)
    });
    let topics: Vec<String> = (0..PATTERNS).map(topic).collect();
    let mut next = topics.iter().cycle();
    let mut work = || {
        let topic = next.next().expect("it goes on and on");
        trie.for_each_match(black_box(topic), |id, leaf| {
            black_box((id, leaf));
        });
    };
    (0..PATTERNS).for_each(|_| work());
    count.each(PATTERNS as u64, &mut work);
}

/// A publisher of a topic that nobody has published to before.
fn resolve(count: &mut Count) {
    let stage = stage();
    let mut topics = (0..PATTERNS).map(topic);
    let mut made = Vec::with_capacity(PATTERNS);
    let mut work = || {
        let topic = topics.next().expect("there are enough");
        made.push(stage.bus.publisher(&topic).expect("it is valid"));
    };
    (0..TIMES).for_each(|_| work());
    count.each(TIMES, &mut work);
}

fn subscribe(count: &mut Count) {
    let stage = stage();
    let mut names = (PATTERNS..).map(pattern);
    let mut made = Vec::with_capacity(PATTERNS);
    let mut work = || {
        let name = names.next().expect("there is no end");
        made.push(stage.subscribe(&name, Overflow::DropOldest));
    };
    (0..TIMES).for_each(|_| work());
    count.each(TIMES, &mut work);
}

/// The actor's own end is not counted: it runs later.
fn unsubscribe(count: &mut Count) {
    let stage = stage();
    let names = (PATTERNS..).map(pattern).take(2 * TIMES as usize);
    let mut made: Vec<_> = names.map(|name| stage.subscribe(&name, Overflow::DropOldest)).collect();
    stage.hand.turn();
    let mut work = || drop(made.pop().expect("there are enough"));
    (0..TIMES).for_each(|_| work());
    count.each(TIMES, &mut work);
}
