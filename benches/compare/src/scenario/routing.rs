//! 1,000 topics with a subscriber each, and ten subscribers of everything. The publisher has a
//! topic's name for each message, as one that gets it from outside does.

use std::collections::HashMap;
use std::sync::Arc;

use kameo::actor::Spawn;
use kameo_actors::DeliveryStrategy;
use kameo_actors::broker::{Broker, Publish, Subscribe};
use ringpost::{Bus, Delivery, Overflow};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

use super::Stage;
use crate::contest::Contest;
use crate::heat::{Heat, Receipt, Seen};
use crate::ours::bus::{LONG, Place};
use crate::peers::actors::kameo_actor;
use crate::peers::broadcast::send_lossless;
use crate::peers::tasks::{FlumeTasks, KanalTasks, TaskChannel, ThingbufTasks, TokioMpsc};
use crate::results::Results;
use crate::tick::Tick;

pub const NAME: &str = "routing";
pub const CASE: &str = "1,000 topics, a subscriber each, and 10 of everything";

const TOPICS: u64 = 1000;
const SEE_ALL: u64 = 10;
const CAPACITY: usize = 1024;

pub fn run(stage: &Stage, results: &mut Results) {
    let runtime = &stage.runtime;
    let mut contest = Contest::new(NAME, CASE).in_multiples_of(TOPICS);
    for place in [Place::Workers, Place::Tasks] {
        let by_name = format!("ringpost bus, by topic name, {}", place.name());
        contest.enter(by_name, move |m| ours(runtime, m, place, false));
        let by_handle = format!("ringpost bus, a publisher for each topic, {}", place.name());
        contest.enter(by_handle, move |m| ours(runtime, m, place, true));
    }
    contest.enter("flume, tasks", move |m| channels::<FlumeTasks>(runtime, m));
    contest.enter("kanal, tasks", move |m| channels::<KanalTasks>(runtime, m));
    contest.enter("thingbuf, tasks", move |m| channels::<ThingbufTasks>(runtime, m));
    contest.enter("tokio mpsc, tasks, recv_many", move |m| channels::<TokioMpsc<true>>(runtime, m));
    contest.enter("tokio broadcast, publisher waits", move |m| broadcasts(runtime, m));
    contest.enter("kameo, Broker", move |m| broker(runtime, m));
    contest.hold(stage.pace, results);
}

/// Scattered, so that no topic's route stays in the nearest cache; every topic as often.
fn topic_of(number: u64) -> usize {
    (number * 619 % TOPICS) as usize
}

fn topics() -> Vec<String> {
    (0..TOPICS).map(|topic| format!("md.stock.{topic}")).collect()
}

/// What the subscriber of each topic must see of `messages`.
fn shares(messages: u64) -> Vec<Seen> {
    let mut shares = vec![Seen::default(); TOPICS as usize];
    for number in 0..messages {
        let share = &mut shares[topic_of(number)];
        share.count += 1;
        share.sum += number;
    }
    shares
}

/// A receipt for each topic's subscriber, then one for each of those who see everything.
fn receipts(heat: &Arc<Heat>, messages: u64) -> (Vec<Receipt>, Vec<Receipt>) {
    let own = shares(messages).into_iter().map(|share| heat.receipt(share)).collect();
    let all = (0..SEE_ALL).map(|_| heat.receipt(Seen::everything(1, messages))).collect();
    (own, all)
}

fn ours(runtime: &Runtime, messages: u64, place: Place, handles: bool) -> f64 {
    let bus = Bus::<Tick>::new();
    let (heat, finish) = Heat::new();
    let topics = topics();
    let (own, all) = receipts(&heat, messages);
    let patterns = topics.iter().map(String::as_str).chain(std::iter::repeat("**"));
    let subscriptions: Vec<_> = own
        .into_iter()
        .chain(all)
        .zip(patterns)
        .map(|(mut receipt, pattern)| {
            bus.subscribe(pattern)
                .expect("the pattern is valid")
                .mailbox(CAPACITY)
                .overflow(Overflow::Block { timeout: LONG })
                .executor(place.executor(runtime))
                .spawn(move |d: Delivery<'_, Tick>| receipt.see(&d))
                .expect("the subscriber starts")
        })
        .collect();
    if handles {
        let mut publishers: Vec<_> =
            topics.iter().map(|topic| bus.publisher(topic).expect("the topic is valid")).collect();
        heat.begin();
        for number in 0..messages {
            publishers[topic_of(number)].publish(Tick::new(number)).expect("nobody stops");
        }
    } else {
        heat.begin();
        for number in 0..messages {
            let topic = &topics[topic_of(number)];
            bus.publish_to(topic, Tick::new(number)).expect("nobody stops");
        }
    }
    let rate = finish.rate(messages, TOPICS + SEE_ALL);
    drop(subscriptions);
    rate
}

/// A channel for each subscriber, found by the topic's name in a map.
fn channels<C: TaskChannel + 'static>(runtime: &Runtime, messages: u64) -> f64 {
    let (heat, finish) = Heat::new();
    let topics = topics();
    let (own, all) = receipts(&heat, messages);
    let open = |receipt: Receipt| {
        let (mut senders, receiver) = C::open(CAPACITY, 1);
        runtime.spawn(C::receive(receiver, receipt));
        senders.pop().expect("one sender was asked for")
    };
    let mut routes: HashMap<String, C::Sender> =
        topics.iter().cloned().zip(own.into_iter().map(open)).collect();
    let mut see_all: Vec<_> = all.into_iter().map(open).collect();
    runtime.spawn(async move {
        heat.begin();
        for number in 0..messages {
            let tick = Tick::new(number);
            let own = routes.get_mut(&topics[topic_of(number)]).expect("every topic is known");
            C::send(own, tick).await;
            for sender in &mut see_all {
                C::send(sender, tick).await;
            }
        }
    });
    finish.rate(messages, TOPICS + SEE_ALL)
}

/// A broadcast channel for each topic, and one for those who see everything.
fn broadcasts(runtime: &Runtime, messages: u64) -> f64 {
    let (heat, finish) = Heat::new();
    let topics = topics();
    let (own, all) = receipts(&heat, messages);
    let listen = |sender: &broadcast::Sender<Tick>, mut receipt: Receipt| {
        let mut receiver = sender.subscribe();
        runtime.spawn(async move {
            while let Ok(tick) = receiver.recv().await {
                receipt.see(&tick);
            }
        });
    };
    let see_all = broadcast::channel(CAPACITY).0;
    all.into_iter().for_each(|receipt| listen(&see_all, receipt));
    let routes: HashMap<String, broadcast::Sender<Tick>> = topics
        .iter()
        .cloned()
        .zip(own)
        .map(|(topic, receipt)| {
            let sender = broadcast::channel(CAPACITY).0;
            listen(&sender, receipt);
            (topic, sender)
        })
        .collect();
    runtime.spawn(async move {
        heat.begin();
        for number in 0..messages {
            let tick = Tick::new(number);
            send_lossless(&routes[&topics[topic_of(number)]], tick, CAPACITY).await;
            send_lossless(&see_all, tick, CAPACITY).await;
        }
    });
    finish.rate(messages, TOPICS + SEE_ALL)
}

/// kameo's `Broker`, an actor that tries its patterns one after the other.
fn broker(runtime: &Runtime, messages: u64) -> f64 {
    let (heat, finish) = Heat::new();
    let topics = topics();
    let (own, all) = receipts(&heat, messages);
    let patterns = topics.iter().map(String::as_str).chain(std::iter::repeat("*"));
    runtime.block_on(async {
        let broker = Broker::spawn(Broker::new(DeliveryStrategy::Guaranteed));
        for (receipt, pattern) in own.into_iter().chain(all).zip(patterns) {
            let recipient = kameo_actor(receipt, CAPACITY).recipient();
            let topic = pattern.parse().expect("the pattern is valid");
            broker.ask(Subscribe { topic, recipient }).await.expect("the broker stays");
        }
        heat.begin();
        for number in 0..messages {
            let topic = topics[topic_of(number)].clone();
            let publish = Publish { topic, message: Tick::new(number) };
            broker.tell(publish).await.expect("the broker stays");
        }
    });
    finish.rate(messages, TOPICS + SEE_ALL)
}
