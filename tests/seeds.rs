//! The tests of the systems that ringpost replaces, ported one for one: first on inline handlers,
//! which are done when the publish returns, then on mailboxes, which `settle` waits for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringpost::event::{Data, Event};
use ringpost::{Delivery, EventBus, Shared, Subscription, event};

const LONG: Duration = Duration::from_secs(60);

/// How a test subscribes, and what it does before it looks.
#[derive(Clone, Copy, Debug)]
enum Way {
    Inline,
    Mailbox,
}

const WAYS: [Way; 2] = [Way::Inline, Way::Mailbox];

impl Way {
    fn subscribe(
        self,
        bus: &EventBus,
        pattern: &str,
        handler: impl Fn(Delivery<'_, Shared<Event>>) + Send + Sync + 'static,
    ) -> Subscription<Shared<Event>> {
        match self {
            Self::Inline => bus.subscribe_inline(pattern, handler).unwrap(),
            Self::Mailbox => bus.subscribe(pattern).unwrap().spawn(handler).unwrap(),
        }
    }

    /// A subscription that keeps every event.
    fn keep(self, bus: &EventBus, pattern: &str) -> (Subscription<Shared<Event>>, Kept) {
        let kept = Kept::default();
        let sink = kept.clone();
        let handler = move |d: Delivery<'_, Shared<Event>>| {
            sink.0.lock().unwrap().push(d.message().clone());
        };
        (self.subscribe(bus, pattern, handler), kept)
    }

    fn settle(self, bus: &EventBus) {
        match self {
            Self::Inline => {}
            Self::Mailbox => bus.settle(LONG).unwrap(),
        }
    }
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Shared<Event>>>>);

impl Kept {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn get(&self, index: usize) -> Shared<Event> {
        self.0.lock().unwrap()[index].clone()
    }
}

fn data(event: &Event) -> serde_json::Value {
    match event.data() {
        Some(Data::Json(text)) => serde_json::from_str(text).unwrap(),
        other => panic!("no JSON data: {other:?}"),
    }
}

#[test]
fn vidurai_basic_publish_subscribe() {
    for way in WAYS {
        let bus = EventBus::new();
        let (_subscription, kept) = way.keep(&bus, "**");
        let sent = event!("terminal.command", source = "daemon", { "command": "npm test" });
        bus.publish(sent.unwrap()).unwrap();
        way.settle(&bus);
        assert_eq!(kept.len(), 1, "{way:?}");
        assert_eq!(kept.get(0).kind(), "terminal.command");
        assert_eq!(data(&kept.get(0))["command"], "npm test");
    }
}

#[test]
fn vidurai_multiple_handlers() {
    for way in WAYS {
        let bus = EventBus::new();
        let handlers: Vec<_> = (0..3).map(|_| way.keep(&bus, "**")).collect();
        bus.publish(event!("ai.user_message", source = "browser").unwrap()).unwrap();
        way.settle(&bus);
        let first = handlers[0].1.get(0);
        for (_, kept) in &handlers {
            assert_eq!(kept.len(), 1, "{way:?}");
            assert_eq!(kept.get(0).id(), first.id());
            assert!(Shared::ptr_eq(&kept.get(0), &first), "the same instance, not a copy");
        }
    }
}

#[test]
fn vidurai_ring_buffer() {
    let bus = EventBus::builder().recent(500).build();
    for index in 0..600 {
        bus.publish(event!("test.event", { "index": index }).unwrap()).unwrap();
    }
    let index = |d: &Delivery<'_, Shared<Event>>| data(d)["index"].as_u64().unwrap();
    let all = bus.recent(1000);
    assert!(all.len() <= 500);
    assert_eq!(index(&all[0]), 599);
    assert!(index(all.last().unwrap()) >= 100);
    let hundred = bus.recent(100);
    assert_eq!(hundred.len(), 100);
    assert_eq!((index(&hundred[0]), index(hundred.last().unwrap())), (599, 500));
}

#[test]
fn vidurai_thread_safety() {
    for way in WAYS {
        let bus = EventBus::new();
        let (_subscription, kept) = way.keep(&bus, "**");
        std::thread::scope(|scope| {
            for thread in 0..10 {
                let bus = &bus;
                scope.spawn(move || {
                    for index in 0..50 {
                        let sent = event!("test.event", { "thread": thread, "index": index });
                        bus.publish(sent.unwrap()).unwrap();
                    }
                });
            }
        });
        way.settle(&bus);
        assert_eq!(kept.len(), 500, "{way:?}");
        let mut seen: Vec<_> = (0..500)
            .map(|at| {
                let data = data(&kept.get(at));
                (data["thread"].as_u64().unwrap(), data["index"].as_u64().unwrap())
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 500);
    }
}

#[test]
fn vidurai_unsubscribe() {
    for way in WAYS {
        let bus = EventBus::new();
        let (subscription, kept) = way.keep(&bus, "**");
        bus.publish(event!("test.event").unwrap()).unwrap();
        way.settle(&bus);
        assert_eq!(kept.len(), 1, "{way:?}");
        subscription.cancel();
        subscription.cancel();
        bus.publish(event!("test.event").unwrap()).unwrap();
        way.settle(&bus);
        assert_eq!(kept.len(), 1, "{way:?}");
    }
}

#[test]
fn vidurai_event_filtering() {
    for way in WAYS {
        let bus = EventBus::new();
        let (_terminal, terminal) = way.keep(&bus, "prefix:terminal.");
        let (_ai, ai) = way.keep(&bus, "ai.*");
        for kind in [
            "terminal.command",
            "terminal.error",
            "ai.user_message",
            "ai.assistant_message",
            "editor.file_save",
        ] {
            bus.publish(event!(kind, source = "daemon").unwrap()).unwrap();
        }
        way.settle(&bus);
        assert_eq!((terminal.len(), ai.len()), (2, 2), "{way:?}");
    }
}

#[test]
fn vidurai_convenience_function() {
    for way in WAYS {
        let bus = EventBus::new();
        let (_subscription, kept) = way.keep(&bus, "**");
        let payload = serde_json::json!({ "error": "TypeError", "file": "main.py", "line": 42 });
        let returned = bus.publish_event("terminal.error", "daemon", &payload).unwrap();
        way.settle(&bus);
        assert_eq!(kept.get(0).id(), returned.id(), "{way:?}");
        let data = data(&returned);
        assert_eq!(
            (&data["error"], &data["file"], &data["line"]),
            (&"TypeError".into(), &"main.py".into(), &42.into())
        );
    }
}

#[test]
fn vidurai_statistics() {
    for way in WAYS {
        let bus = EventBus::new();
        let _handlers = [way.keep(&bus, "**"), way.keep(&bus, "**")];
        for (kind, source) in [
            ("terminal.command", "daemon"),
            ("terminal.command", "daemon"),
            ("terminal.error", "daemon"),
            ("ai.user_message", "browser"),
        ] {
            bus.publish(event!(kind, source = source).unwrap()).unwrap();
        }
        let (stats, history) = (bus.stats(), bus.history());
        assert!(stats.enabled);
        assert_eq!(stats.subscriptions.len(), 2, "{way:?}");
        assert_eq!((history.size, history.max_size), (4, 500));
        let counts: Vec<_> = history.types.values().copied().collect();
        assert_eq!(history.types["terminal.command"], 2);
        assert_eq!((counts.len(), counts.iter().sum::<u64>()), (3, 4));
        assert_eq!((history.sources["daemon"], history.sources["browser"]), (3, 1));
    }
}

#[test]
fn vidurai_error_handling() {
    for way in WAYS {
        let bus = EventBus::new();
        let failing = way.subscribe(&bus, "**", |_| panic!("handler failed"));
        let (_good, kept) = way.keep(&bus, "**");
        bus.publish(event!("test.event").unwrap()).unwrap();
        way.settle(&bus);
        assert_eq!(kept.len(), 1, "{way:?}");
        assert_eq!(failing.stats().failed, 1);
    }
}

#[test]
fn dataknobs_memory_bus_per_test() {
    for way in WAYS {
        let bus = EventBus::new();
        let (subscription, kept) = way.keep(&bus, "registry:bots");
        let sent = event!(
            "created",
            topic = "registry:bots",
            source = "test",
            { "bot_id": "b1", "config": {} }
        );
        bus.publish(sent.unwrap()).unwrap();
        way.settle(&bus);
        assert_eq!(kept.len(), 1, "{way:?}");
        assert_eq!(kept.get(0).topic(), "registry:bots");
        subscription.cancel();
        assert!(bus.shutdown(LONG).is_clean());
    }
}

#[test]
fn the_global_bus_is_one_and_reset_makes_a_fresh_one() {
    let bus = EventBus::global();
    bus.publish(event!("test.event").unwrap()).unwrap();
    assert_eq!(EventBus::global().stats().published, 1);
    EventBus::reset_global();
    assert_eq!(EventBus::global().stats().published, 0);
    let own = EventBus::new();
    own.make_global();
    own.publish(event!("test.event").unwrap()).unwrap();
    assert_eq!(EventBus::global().stats().published, 1);
    EventBus::reset_global();
}
