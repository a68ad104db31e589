//! One sender, one receiver: bare mailboxes and the bus beside every queue and channel.

use super::Stage;
use crate::contest::Contest;
use crate::heat::Load;
use crate::ours::bus::{self, Place, Way};
use crate::ours::mailbox::{Park, Spin, SpinThenPark, Tasks, Threads};
use crate::peers::actors;
use crate::peers::disruptor::OneToOne;
use crate::peers::queues::Array;
use crate::peers::spsc::Rtrb;
use crate::peers::tasks::{self, FlumeTasks, KanalTasks, ThingbufTasks, TokioMpsc};
use crate::peers::thread_channels::{Crossbeam, Flume, Kanal, Thingbuf};
use crate::peers::threads::{self, Each};
use crate::peers::waiting::{Parking, Yielding};
use crate::results::Results;

pub const NAME: &str = "tell";

pub fn case(capacity: usize, batch: u64) -> String {
    match batch {
        1 => format!("1 to 1, {capacity} slots, one by one"),
        _ => format!("1 to 1, {capacity} slots, batch {batch}"),
    }
}

pub fn run(stage: &Stage, results: &mut Results) {
    for capacity in [64, 1024, 65536] {
        for batch in [1, 32, 64] {
            let load = Load { publishers: 1, receivers: 1, messages: 0, capacity, batch };
            let mut contest = Contest::new(NAME, case(capacity, batch));
            enter_ours(&mut contest, stage, load);
            if batch == 1 {
                enter_channels(&mut contest, stage, load);
            }
            enter_rings(&mut contest, load);
            contest.hold(stage.pace, results);
        }
    }
}

fn of(load: Load, messages: u64) -> Load {
    Load { messages, ..load }
}

fn enter_ours<'a>(contest: &mut Contest<'a>, stage: &'a Stage, load: Load) {
    let runtime = &stage.runtime;
    contest.enter("ringpost Mailbox, threads (Park)", move |m| {
        threads::run::<Each<Threads<Park, false>>>(&of(load, m))
    });
    contest.enter("ringpost Mailbox, threads (SpinThenPark)", move |m| {
        threads::run::<Each<Threads<SpinThenPark, false>>>(&of(load, m))
    });
    contest.enter("ringpost Mailbox, threads (Spin)", move |m| {
        threads::run::<Each<Threads<Spin, false>>>(&of(load, m))
    });
    contest.enter("ringpost Mailbox, threads (Park), offer", move |m| {
        threads::run::<Each<Threads<Park, true>>>(&of(load, m))
    });
    contest.enter("ringpost Mailbox, tokio tasks", move |m| {
        tasks::run::<Tasks>(runtime, &of(load, m))
    });
    for place in Place::ALL {
        contest.enter(bus::name(Way::Mailbox, place), move |m| {
            bus::run(runtime, &of(load, m), Way::Mailbox, place)
        });
    }
    contest.enter(bus::name(Way::Ring, Place::Workers), move |m| {
        bus::run(runtime, &of(load, m), Way::Ring, Place::Workers)
    });
}

/// Those that have no batches.
fn enter_channels<'a>(contest: &mut Contest<'a>, stage: &'a Stage, load: Load) {
    let runtime = &stage.runtime;
    contest.enter("crossbeam-channel, threads", move |m| {
        threads::run::<Each<Crossbeam>>(&of(load, m))
    });
    contest.enter("ArrayQueue with Backoff, threads", move |m| {
        threads::run::<Each<Array>>(&of(load, m))
    });
    contest.enter("kanal, threads", move |m| threads::run::<Each<Kanal>>(&of(load, m)));
    contest.enter("kanal, tasks", move |m| tasks::run::<KanalTasks>(runtime, &of(load, m)));
    contest.enter("flume, threads", move |m| threads::run::<Each<Flume>>(&of(load, m)));
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

fn enter_rings(contest: &mut Contest<'_>, load: Load) {
    contest.enter("disruptor, yielding", move |m| threads::run::<OneToOne<Yielding>>(&of(load, m)));
    contest.enter("disruptor with our waiting rule", move |m| {
        threads::run::<OneToOne<Parking>>(&of(load, m))
    });
    if load.batch == 1 {
        contest.enter("rtrb, push and pop", move |m| {
            threads::run::<Each<Rtrb<Yielding, false>>>(&of(load, m))
        });
    }
    contest.enter("rtrb, read by the chunk", move |m| {
        threads::run::<Each<Rtrb<Yielding, true>>>(&of(load, m))
    });
    contest.enter("rtrb with our waiting rule, read by the chunk", move |m| {
        threads::run::<Each<Rtrb<Parking, true>>>(&of(load, m))
    });
}
