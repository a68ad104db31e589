//! Several publishers, one receiver, 1,024 slots.

use super::Stage;
use crate::contest::Contest;
use crate::heat::Load;
use crate::ours::bus::{self, Place, Way};
use crate::ours::mailbox::{Park, SpinThenPark, Tasks, Threads};
use crate::peers::actors;
use crate::peers::disruptor::ManyToOne;
use crate::peers::queues::Array;
use crate::peers::tasks::{self, FlumeTasks, KanalTasks, ThingbufTasks, TokioMpsc};
use crate::peers::thread_channels::{Crossbeam, Kanal, Thingbuf};
use crate::peers::threads::{self, Each};
use crate::peers::waiting::{Parking, Yielding};
use crate::results::Results;

pub const NAME: &str = "fan-in";

pub fn case(publishers: u64, batch: u64) -> String {
    match batch {
        1 => format!("{publishers} to 1, one by one"),
        _ => format!("{publishers} to 1, batch {batch}"),
    }
}

pub fn run(stage: &Stage, results: &mut Results) {
    for publishers in [2, 4] {
        for batch in [1, 64] {
            let load = Load { publishers, receivers: 1, messages: 0, capacity: 1024, batch };
            let mut contest = Contest::new(NAME, case(publishers, batch));
            enter_ours(&mut contest, stage, load);
            enter_rings(&mut contest, load);
            if batch == 1 {
                enter_channels(&mut contest, stage, load);
            }
            contest.hold(stage.pace, results);
        }
    }
}

/// `messages` are those of all publishers together.
fn of(load: Load, messages: u64) -> Load {
    Load { messages: messages / load.publishers, ..load }
}

fn enter_ours<'a>(contest: &mut Contest<'a>, stage: &'a Stage, load: Load) {
    let runtime = &stage.runtime;
    contest.enter("ringpost Mailbox, threads (Park)", move |m| {
        threads::run::<Each<Threads<Park, false>>>(&of(load, m))
    });
    contest.enter("ringpost Mailbox, threads (SpinThenPark)", move |m| {
        threads::run::<Each<Threads<SpinThenPark, false>>>(&of(load, m))
    });
    contest.enter("ringpost Mailbox, threads (Park), offer", move |m| {
        threads::run::<Each<Threads<Park, true>>>(&of(load, m))
    });
    contest.enter("ringpost Mailbox, tokio tasks", move |m| {
        tasks::run::<Tasks>(runtime, &of(load, m))
    });
    for way in [Way::Mailbox, Way::Ring] {
        for place in [Place::Workers, Place::Tasks] {
            contest
                .enter(bus::name(way, place), move |m| bus::run(runtime, &of(load, m), way, place));
        }
    }
}

fn enter_rings(contest: &mut Contest<'_>, load: Load) {
    contest
        .enter("disruptor, yielding", move |m| threads::run::<ManyToOne<Yielding>>(&of(load, m)));
    contest.enter("disruptor with our waiting rule", move |m| {
        threads::run::<ManyToOne<Parking>>(&of(load, m))
    });
}

fn enter_channels<'a>(contest: &mut Contest<'a>, stage: &'a Stage, load: Load) {
    let runtime = &stage.runtime;
    contest.enter("ArrayQueue with Backoff, threads", move |m| {
        threads::run::<Each<Array>>(&of(load, m))
    });
    contest.enter("crossbeam-channel, threads", move |m| {
        threads::run::<Each<Crossbeam>>(&of(load, m))
    });
    contest.enter("kanal, threads", move |m| threads::run::<Each<Kanal>>(&of(load, m)));
    contest.enter("kanal, tasks", move |m| tasks::run::<KanalTasks>(runtime, &of(load, m)));
    contest.enter("flume, tasks", move |m| tasks::run::<FlumeTasks>(runtime, &of(load, m)));
    contest.enter("thingbuf, threads", move |m| threads::run::<Each<Thingbuf>>(&of(load, m)));
    contest.enter("thingbuf, tasks", move |m| tasks::run::<ThingbufTasks>(runtime, &of(load, m)));
    contest
        .enter("tokio mpsc, tasks", move |m| tasks::run::<TokioMpsc<false>>(runtime, &of(load, m)));
    contest.enter("tokio mpsc, tasks, recv_many", move |m| {
        tasks::run::<TokioMpsc<true>>(runtime, &of(load, m))
    });
    contest.enter("kameo, tell", move |m| actors::kameo(runtime, &of(load, m)));
    contest
        .enter("ractor, send_message (unbounded)", move |m| actors::ractor(runtime, &of(load, m)));
    contest.enter("actix, try_send", move |m| actors::actix(&of(load, m)));
}
