//! `tune`: its advice against a real bus, and what it says of records that it cannot use.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ringpost::{Bus, Executor, Overflow, Wait};
use serde_json::{Value, json};

use crate::support::{Ended, Place, event, events};

const KEYS: [&str; 11] = [
    "events",
    "times",
    "first",
    "last",
    "elapsed_s",
    "events_per_s",
    "service_us",
    "utilisation",
    "targets",
    "mailbox",
    "curve",
];

/// Events that happened at these microseconds.
fn at(micros: &[u64]) -> String {
    let line = |(id, micros): (usize, &u64)| {
        let time =
            format!("2026-01-01T00:{:02}:{:02}", micros / 60_000_000, micros / 1_000_000 % 60);
        let fraction = micros % 1_000_000;
        event(id, "a.b")
            .replace("\"data\"", &format!("\"time\":\"{time}.{fraction:06}Z\",\"data\""))
            + "\n"
    };
    micros.iter().enumerate().map(line).collect()
}

fn tune(input: &str, arguments: &[&str]) -> Ended {
    Place::new().feed(&[&["tune", "-", "--json"], arguments].concat(), input)
}

fn advice(input: &str, arguments: &[&str]) -> Value {
    let ended = tune(input, arguments);
    assert_eq!((ended.code, &*ended.err), (Some(0), ""), "{arguments:?}: {ended:?}");
    assert_eq!(ended.keys(), KEYS, "{arguments:?}");
    ended.json()
}

/// Bursts of up to 120 messages a microsecond apart, with pauses between them.
fn bursts() -> Vec<u64> {
    let mut arrivals = Vec::new();
    let mut now = 0;
    for burst in 0..40_u64 {
        for _ in 0..10 + burst * 37 % 111 {
            now += 1 + burst % 3;
            arrivals.push(now);
        }
        now += 200 + burst * 53 % 300;
    }
    arrivals
}

/// How many messages a real subscription loses whose handler takes `service` of a time that
/// stands still until the next thing happens: the handler waits at a gate, and the gate opens when
/// its time has come, between the arrivals before and after.
fn lost_on_a_bus(arrivals: &[u64], service: u64, size: usize, overflow: Overflow) -> u64 {
    let bus = Bus::<u64>::builder().recent(0).build();
    let (enters, entered) = channel();
    let (opens, gate) = channel::<()>();
    let handler = move |_: ringpost::Delivery<'_, u64>| {
        enters.send(()).unwrap();
        // The end of the test opens it for ever.
        let _ = gate.recv();
    };
    let builder = bus.subscribe("t").unwrap().mailbox(size).overflow(overflow);
    let subscription = builder.executor(Executor::thread(Wait::Park)).spawn(handler).unwrap();
    let wait = |entered: &Receiver<()>| entered.recv_timeout(Duration::from_secs(60)).unwrap();
    let (mut published, mut handled) = (0, 0);
    let mut finishes: Option<u64> = None;
    loop {
        let arrives = arrivals.get(published);
        match (arrives, finishes) {
            (Some(&now), _) if finishes.is_none_or(|then| now <= then) => {
                bus.publish_to("t", now).unwrap();
                published += 1;
                if finishes.is_none() {
                    wait(&entered);
                    finishes = Some(now + service);
                }
            }
            (_, Some(now)) => {
                opens.send(()).unwrap();
                handled += 1;
                let left = published as u64 - subscription.stats().total_dropped() - handled;
                finishes = (left > 0).then(|| {
                    wait(&entered);
                    now + service
                });
            }
            (_, None) => break,
        }
    }
    drop(opens);
    assert!(bus.settle(Duration::from_secs(60)).is_ok());
    let stats = subscription.stats();
    assert_eq!((stats.matched, stats.handled), (arrivals.len() as u64, handled));
    stats.total_dropped()
}

#[test]
fn a_real_subscription_loses_nothing_at_the_advised_size_and_something_at_one_less() {
    let arrivals = bursts();
    for (name, overflow) in
        [("drop-newest", Overflow::DropNewest), ("drop-oldest", Overflow::DropOldest)]
    {
        let found = advice(&at(&arrivals), &["--service-time", "5us", "--overflow", name]);
        let size = usize::try_from(found["mailbox"].as_u64().unwrap()).unwrap();
        assert!((16..256).contains(&size), "{found}");
        assert_eq!(lost_on_a_bus(&arrivals, 5, size, overflow), 0, "{name}, {size}");
        assert!(lost_on_a_bus(&arrivals, 5, size - 1, overflow) > 0, "{name}, {size}");
        // And what it loses at any other size is what the curve says.
        for row in found["curve"].as_array().unwrap() {
            let size = usize::try_from(row["mailbox"].as_u64().unwrap()).unwrap();
            let lost = lost_on_a_bus(&arrivals, 5, size, overflow);
            assert_eq!(row["lost"], json!(lost), "{name}, {size}");
        }
    }
}

#[test]
fn one_burst_needs_room_for_all_that_is_not_yet_taken_out() {
    let found = advice(&at(&[0; 100]), &["--service-time", "1ms"]);
    assert_eq!((&found["mailbox"], &found["events_per_s"]), (&json!(100), &json!(null)));
    assert_eq!((&found["times"], &found["targets"]), (&json!("time"), &json!(["loss=0"])));
    assert_eq!(found["first"], "2026-01-01T00:00:00.000000000Z");
    let sizes = found["curve"].as_array().unwrap().iter().map(|row| row["mailbox"].as_u64());
    let sizes: Vec<_> = sizes.flatten().collect();
    assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64, 99, 100, 128, 256]);
    let row = &found["curve"][8];
    assert_eq!((&row["lost"], &row["loss"], &row["meets"]), (&json!(0), &json!(0.0), &json!(true)));
    let max = row["delay_us"]["max"].as_f64().unwrap();
    assert!((max / 99_000.0 - 1.0).abs() < 0.002, "{row}");
    assert_eq!(found["curve"][7]["meets"], false);
}

#[test]
fn speed_batches_wake_ups_and_targets_change_the_advice() {
    // Every 100 us for a hundred times: whoever needs 60 us has no need of room.
    let steady: Vec<u64> = (0..100).map(|n| n * 100).collect();
    let size = |arguments: &[&str]| advice(&at(&steady), arguments)["mailbox"].clone();
    assert_eq!(size(&["--service-time", "60us"]), 1);
    // Twice as fast they come every 50 us, and one in six has to wait for the end.
    let fast = advice(&at(&steady), &["--service-time", "40us", "--speed", "2"]);
    assert_eq!((&fast["mailbox"], &fast["elapsed_s"]), (&json!(1), &json!(0.004_95)));
    // While it wakes up, five come.
    assert_eq!(size(&["--service-time", "1us", "--wake-up", "450us"]), 5);
    let burst = at(&[0; 100]);
    for (arguments, expected) in [
        (&["--target", "loss=10%"][..], 90),
        (&["--target", "loss=0", "--target", "max=99ms", "--batch", "1"], 100),
        (&["--target", "p50=49ms", "--overflow", "drop-newest"], 50),
    ] {
        let arguments = [&["--service-time", "1ms"], arguments].concat();
        assert_eq!(advice(&burst, &arguments)["mailbox"], expected, "{arguments:?}");
    }
}

#[test]
fn service_times_come_from_a_file_and_a_seed_repeats_them() {
    let place = Place::new();
    place.write("times", "# histogram\n1us,90\n2ms,10\n");
    place.write("in.jsonl", at(&(0..500).map(|n| n * 250).collect::<Vec<_>>()));
    let run = |seed: &str| {
        let arguments = ["tune", "in.jsonl", "--service-time", "times", "--json", "--seed", seed];
        let ended = place.run(&arguments);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
    assert!(run("1").contains("\"service_us\":200.9,"));
}

#[test]
fn a_journal_tells_when_its_bus_took_the_events() {
    let place = Place::new();
    let input = events(50, "a.b") + &at(&[0, 7_000_000]).replace("a.b", "c");
    assert_eq!(place.feed(&["pub", "--journal", "j"], &input).code, Some(0));
    let run = |arguments: &[&str]| {
        let always = ["tune", "j", "--service-time", "1us", "--json"];
        let ended = place.run(&[&always, arguments].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.json()
    };
    let found = run(&[]);
    assert_eq!((&found["events"], &found["times"]), (&json!(52), &json!("recordedtime")));
    let found = run(&["--type", "c", "--times", "event"]);
    assert_eq!((&found["events"], &found["times"]), (&json!(2), &json!("time")));
    assert_eq!(found["elapsed_s"], 7.0);
}

#[test]
fn a_target_that_no_size_meets_is_nothing_found() {
    let ended = tune(&at(&[0; 100]), &["--service-time", "1ms", "--target", "max=50ms"]);
    assert_eq!((ended.code, &ended.json()["mailbox"]), (Some(3), &json!(null)));
    let place = Place::new();
    place.write("in.jsonl", at(&[0; 100]));
    let ended = place.run(&["tune", "in.jsonl", "--service-time", "1ms", "--target", "p99=1ms"]);
    assert_eq!(ended.code, Some(3));
    assert!(ended.out.ends_with("\nno mailbox meets p99=1ms, however large\n"), "{}", ended.out);
}

#[test]
fn records_that_cannot_be_used_are_refused_in_plain_words() {
    let untimed = at(&[1, 2]) + &event(3, "a.b") + "\n";
    for (input, code, reason) in [
        ("".into(), 3, "no event was found"),
        (at(&[5]), 3, "one event alone was found"),
        (events(3, "a.b"), 1, "of 3 events 3 have no recordedtime and 3 have no time"),
        (untimed, 1, "3 have no recordedtime and 1 have no time"),
        (at(&[0, 9_000_000, 4_000_000]), 1, "time goes backwards, in event 3 by 5.0 s (1 events"),
    ] {
        let ended = tune(&input, &["--service-time", "1us"]);
        assert_eq!((ended.code, &*ended.out), (Some(code), ""), "{input}: {ended:?}");
        assert!(ended.err.contains(reason), "{}", ended.err);
    }
    let ended = tune(&at(&[1, 2]), &["--service-time", "1us", "--times", "recorded"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("2 of 2 events have no recordedtime"), "{}", ended.err);
    let ended = tune(&at(&[1, 2]), &["--service-time", "1us", "--type", "x"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
}

#[test]
fn times_that_go_back_a_little_are_put_in_order_and_far_ones_if_asked() {
    let ended = tune(&at(&[0, 900, 350, 1000]), &["--service-time", "1us"]);
    let warned = "warning: 1 events were put in order: their time was up to 550 us behind an \
                  earlier one\n";
    assert_eq!((ended.code, &*ended.err), (Some(0), warned));
    let found = advice(&at(&[0, 9_000_000, 4_000_000]), &["--service-time", "1us", "--sort"]);
    assert_eq!((&found["mailbox"], &found["elapsed_s"]), (&json!(1), &json!(9.0)));
}

#[test]
fn damage_is_told_and_left_out() {
    let ended = tune(&(at(&[0, 10]) + "{\"torn\n"), &["--service-time", "1us"]);
    assert_eq!((ended.code, &ended.json()["events"]), (Some(4), &json!(2)));
    assert!(ended.err.contains("1 damaged lines were left out"), "{}", ended.err);
}

#[test]
fn overload_is_warned_of() {
    let ended = tune(&at(&[0, 10, 20, 30]), &["--service-time", "11us"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.err.contains("faster than they are handled"), "{}", ended.err);
    assert!(ended.json()["utilisation"].as_f64() > Some(1.0));
}

#[test]
fn wrong_usage_is_told_as_such() {
    let place = Place::new();
    place.write("in.jsonl", at(&[0, 1]));
    place.write("empty", "");
    place.write("odd", "5us\nsoon\n");
    for (arguments, reason) in [
        (&[][..], "--service-time"),
        (&["--service-time", "5"], "no duration and no file"),
        (&["--service-time", "empty"], "no service time"),
        (&["--service-time", "odd"], "line 2"),
        (&["--service-time", "1us", "--target", "p99"], "loss=0"),
        (&["--service-time", "1us", "--speed", "0"], "0.000001"),
        (&["--service-time", "1us", "--batch", "0"], "--batch"),
    ] {
        let told = place.fails(&[&["tune", "in.jsonl"], arguments].concat(), 2);
        assert!(told.contains(reason), "{arguments:?}: {told}");
    }
    assert!(place.fails(&["tune", "--service-time", "1us"], 2).contains("no journal was named"));
    place.fails(&["tune", "missing", "--service-time", "1us"], 1);
    place.fails(&["tune", "in.jsonl", "--service-time", "missing"], 1);
}

#[test]
fn people_get_a_table_advice_and_a_plot() {
    let place = Place::new();
    place.write("in.jsonl", at(&[0; 100]));
    let ended = place.run(&["tune", "in.jsonl", "--service-time", "1ms", "--svg", "curve.svg"]);
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    for word in ["100 by time", "all at one instant", "1000.000 us mean", "p99.9", "meets\n"] {
        assert!(ended.out.contains(word), "{word}: {}", ended.out);
    }
    assert!(ended.out.ends_with("\na mailbox of 100 is the smallest that meets loss=0\n"));
    let svg = std::fs::read_to_string(place.path("curve.svg")).unwrap();
    for word in ["mailbox (messages)", "lost", "delay", "p50", "p99", "256", "100 %"] {
        assert!(svg.contains(word), "{word}: {svg}");
    }
    let told = place
        .fails(&["tune", "in.jsonl", "--service-time", "1ms", "--svg", "no/such/place.svg"], 1);
    assert!(told.contains("cannot write the plot to no/such/place.svg"), "{told}");
}
