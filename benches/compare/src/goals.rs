//! The targets in figures, in the order of the issue that set them.

use crate::scenario::cases;
use crate::target::{Measure, Target};

type Names = &'static [&'static str];

const THREADS: Names = &["ringpost Mailbox, threads"];
/// Beside actor frameworks, which bring their own executor: however it is run.
const ANY: Names = &["ringpost Mailbox"];
const TASKS: Names = &["ringpost Mailbox, tokio tasks"];
const RING: Names = &["ringpost bus, ring readers"];
const OWN: Names = &["ringpost bus, mailboxes"];
const BUS: Names = &["ringpost bus"];

/// Rows of one case: against whom, our rows, the peer's rows, must, aim.
type Against = (&'static str, Names, Names, f64, f64);

/// All of them.
pub fn all() -> Vec<Target> {
    let mut list = Vec::new();
    tell(&mut list);
    fan_in(&mut list);
    fan_out(&mut list);
    rest(&mut list);
    latency(&mut list);
    ends(&mut list);
    list
}

fn beside(
    list: &mut Vec<Target>,
    work: &str,
    (scenario, case): (&'static str, String),
    rows: &[Against],
) {
    for &(against, ours, peers, must, aim) in rows {
        list.push(Target {
            work: work.to_owned(),
            against: against.to_owned(),
            scenario,
            case: case.clone(),
            ours,
            peers,
            measure: Measure::Better,
            must,
            aim,
        });
    }
}

fn tell(list: &mut Vec<Target>) {
    beside(
        list,
        "tell 1 to 1, one by one",
        cases::tell(1024, 1),
        &[
            ("crossbeam-channel", THREADS, &["crossbeam-channel"], 2.5, 3.5),
            ("kanal tasks", TASKS, &["kanal, tasks"], 1.5, 2.0),
            ("tokio mpsc", TASKS, &["tokio mpsc"], 4.0, 6.0),
            ("kameo", ANY, &["kameo"], 20.0, 30.0),
            ("ractor", ANY, &["ractor"], 20.0, 30.0),
            ("actix", ANY, &["actix"], 10.0, 15.0),
            ("disruptor", THREADS, &["disruptor, yielding"], 0.9, 1.2),
            ("disruptor, our waiting rule", THREADS, &["disruptor with our"], 0.9, 1.2),
            ("rtrb", THREADS, &["rtrb, "], 0.9, 1.2),
            ("rtrb, our waiting rule", THREADS, &["rtrb with our"], 0.9, 1.2),
        ],
    );
    beside(
        list,
        "tell 1 to 1, batch 64",
        cases::tell(1024, 64),
        &[
            ("disruptor batch 64", THREADS, &["disruptor"], 0.8, 1.1),
            ("rtrb chunk 64", THREADS, &["rtrb"], 0.7, 0.95),
        ],
    );
}

fn fan_in(list: &mut Vec<Target>) {
    for publishers in [2, 4] {
        beside(
            list,
            &format!("{publishers} to 1, one by one"),
            cases::fan_in(publishers, 1),
            &[
                ("ArrayQueue", THREADS, &["ArrayQueue"], 1.5, 2.0),
                ("disruptor", THREADS, &["disruptor"], 1.5, 2.0),
                ("kanal tasks", TASKS, &["kanal, tasks"], 1.0, 1.5),
                ("tokio mpsc", TASKS, &["tokio mpsc"], 3.0, 5.0),
            ],
        );
    }
    for publishers in [2, 4] {
        beside(
            list,
            &format!("{publishers} to 1, batch 64"),
            cases::fan_in(publishers, 64),
            &[("disruptor batch 64", THREADS, &["disruptor"], 0.9, 1.3)],
        );
    }
}

fn fan_out(list: &mut Vec<Target>) {
    for (receivers, must, aim) in [(4, 0.5, 1.0), (16, 0.7, 1.5), (64, 1.2, 2.5)] {
        beside(
            list,
            &format!("fan-out {receivers}, see-all, one by one"),
            cases::fan_out(receivers, 1),
            &[
                ("disruptor", RING, &["disruptor"], must, aim),
                (
                    "tokio broadcast, publisher waits",
                    RING,
                    &["tokio broadcast, publisher waits"],
                    4.0,
                    8.0,
                ),
                ("async-broadcast", RING, &["async-broadcast"], 6.0, 12.0),
                ("kameo pub-sub", RING, &["kameo"], 100.0, 200.0),
            ],
        );
    }
    for (receivers, must, aim) in [(4, 1.2, 2.0), (16, 2.0, 3.0), (64, 2.5, 4.0)] {
        beside(
            list,
            &format!("fan-out {receivers}, see-all, batch 64"),
            cases::fan_out(receivers, 64),
            &[("disruptor batch 64", RING, &["disruptor"], must, aim)],
        );
    }
    for receivers in [4, 16, 64] {
        beside(
            list,
            &format!("fan-out {receivers}, own mailboxes"),
            cases::fan_out(receivers, 1),
            &[
                // rtrb is in the figures, but apart here: no second publisher could join it.
                (
                    "best channel per subscriber",
                    OWN,
                    &[
                        "channels: crossbeam",
                        "channels: Array",
                        "channels: kanal",
                        "channels: flume",
                        "channels: thingbuf",
                        "channels: tokio",
                    ],
                    2.5,
                    4.0,
                ),
                (
                    "tokio broadcast, publisher waits",
                    OWN,
                    &["tokio broadcast, publisher waits"],
                    1.5,
                    3.0,
                ),
                ("disruptor", OWN, &["disruptor"], 0.4, 0.8),
            ],
        );
    }
}

fn at_most(
    work: String,
    (scenario, case): (&'static str, String),
    ours: Names,
    must: f64,
    aim: f64,
) -> Target {
    let against = "-".to_owned();
    let measure = Measure::AtMost;
    Target { work, against, scenario, case, ours, peers: &[], measure, must, aim }
}

fn rest(list: &mut Vec<Target>) {
    beside(
        list,
        "1,000 topics, 1,000 subscribers, 10 see-all",
        cases::routing(),
        &[
            (
                "best peer",
                BUS,
                &["flume", "kanal", "thingbuf", "tokio mpsc", "tokio broadcast"],
                2.0,
                4.0,
            ),
            ("kameo broker", BUS, &["kameo"], 150.0, 300.0),
        ],
    );
    for (mailboxes, must, aim) in
        [(0, 20.0, 14.0), (1, 30.0, 20.0), (4, 50.0, 36.0), (64, 650.0, 450.0)]
    {
        let work = format!("publish call, {mailboxes} mailboxes, ns");
        list.push(at_most(work, cases::call(mailboxes), &["ringpost Publisher"], must, aim));
    }
}

fn latency(list: &mut Vec<Target>) {
    const DEFAULT: Names = &["ringpost bus, mailboxes, workers"];
    for metric in ["publish p99", "delivery p50"] {
        beside(
            list,
            &format!("open loop 100k/s 1 to 1, default settings: {metric}"),
            cases::latency("100k", 1, metric),
            &[
                ("tokio mpsc", DEFAULT, &["tokio mpsc"], 10.0, 40.0),
                ("crossbeam-channel", DEFAULT, &["crossbeam"], 10.0, 40.0),
                ("kameo", DEFAULT, &["kameo"], 10.0, 40.0),
                ("actix", DEFAULT, &["actix"], 10.0, 40.0),
            ],
        );
    }
    list.push(at_most(
        "silent bus, % of a core (no must was set)".to_owned(),
        cases::silence(),
        &["ringpost bus, mailboxes, workers"],
        0.1,
        0.01,
    ));
    for metric in ["publish p50", "publish p99"] {
        beside(
            list,
            &format!("open loop 1k/s 1 to 1, default settings: {metric}"),
            cases::latency("1k", 1, metric),
            &[("tokio mpsc", DEFAULT, &["tokio mpsc"], 1.0, 5.0)],
        );
    }
}

fn ends(list: &mut Vec<Target>) {
    const IDLE: Names =
        &["ringpost bus, a topic each, workers", "ringpost bus, ring readers, workers"];
    for count in [10_000, 100_000] {
        beside(
            list,
            &format!("idle, {count} subscriptions: memory"),
            cases::idle_bytes(count),
            &[("flume or actix", IDLE, &["flume", "actix"], 1.0, 2.0)],
        );
        beside(
            list,
            &format!("idle, {count} subscriptions: made"),
            cases::idle_spawns(count),
            &[
                ("flume or actix", IDLE, &["flume", "actix"], 1.0, 2.0),
                ("kameo", IDLE, &["kameo"], 1.0, 2.0),
            ],
        );
    }
    for (way, case) in [("Publisher", cases::scale_by_handle()), ("name", cases::scale_by_name())] {
        let (scenario, case) = case;
        list.push(Target {
            work: format!("100,000 subscriptions: publish to one, by {way} (growth)"),
            against: "the same with 100".to_owned(),
            scenario,
            case,
            ours: &["ringpost bus with 100 "],
            peers: &["ringpost bus with 10000"],
            measure: Measure::Growth,
            must: 1.5,
            aim: 1.15,
        });
    }
    journal(list);
}

fn journal(list: &mut Vec<Target>) {
    beside(
        list,
        "journal, sensor events, the whole path",
        cases::journal(),
        &[
            ("serde_json into BufWriter", BUS, &["serde_json"], 1.5, 2.5),
            ("tracing-appender", BUS, &["tracing-appender"], 8.0, 12.0),
            ("dd, same chunks", BUS, &["dd"], 0.5, 0.5),
        ],
    );
    for (work, case) in [
        ("journal, interval, within what it holds", cases::journal_burst()),
        ("journal, interval, beyond what it holds", cases::journal_sustained()),
    ] {
        beside(
            list,
            work,
            case,
            &[
                ("serde_json into BufWriter, no sync", BUS, &["serde_json"], 1.5, 2.5),
                ("tracing-appender, no sync", BUS, &["tracing-appender"], 8.0, 12.0),
            ],
        );
    }
    beside(
        list,
        "journal, batch",
        cases::journal_batch(),
        &[("write and fdatasync, same chunks", BUS, &["write"], 0.9, 0.9)],
    );
    beside(
        list,
        "replay at max, from a journal into another",
        cases::replay(),
        &[("append", &["ringpost replay"], &["append"], 0.8, 0.8)],
    );
}
