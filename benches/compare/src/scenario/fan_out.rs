//! One publisher, 1 to 64 receivers of everything, 1,024 slots.

use super::Stage;
use crate::contest::Contest;
use crate::heat::Load;
use crate::ours::bus::{self, Place, Way};
use crate::peers::actors;
use crate::peers::broadcast;
use crate::peers::disruptor::OneToMany;
use crate::peers::queues::Array;
use crate::peers::spsc::Rtrb;
use crate::peers::tasks::{self, FlumeTasks, KanalTasks, ThingbufTasks, TokioMpsc};
use crate::peers::thread_channels::{Crossbeam, Kanal};
use crate::peers::threads::{self, Each};
use crate::peers::waiting::Yielding;
use crate::results::Results;

pub const NAME: &str = "fan-out";

pub fn case(receivers: u64, batch: u64) -> String {
    match batch {
        1 => format!("1 to {receivers}, one by one"),
        _ => format!("1 to {receivers}, batch {batch}"),
    }
}

pub fn run(stage: &Stage, results: &mut Results) {
    for receivers in [1, 2, 4, 16, 64] {
        for batch in [1, 64] {
            let load = Load { publishers: 1, receivers, messages: 0, capacity: 1024, batch };
            let mut contest = Contest::new(NAME, case(receivers, batch));
            enter_ours(&mut contest, stage, load);
            contest.enter("disruptor, yielding", move |m| {
                threads::run::<OneToMany<Yielding>>(&of(load, m))
            });
            contest.enter("channels: rtrb, read by the chunk", move |m| {
                threads::run::<Each<Rtrb<Yielding, true>>>(&of(load, m))
            });
            if batch == 1 {
                enter_channels(&mut contest, stage, load);
            }
            contest.hold(stage.pace, results);
        }
    }
}

fn of(load: Load, messages: u64) -> Load {
    Load { messages, ..load }
}

fn enter_ours<'a>(contest: &mut Contest<'a>, stage: &'a Stage, load: Load) {
    let runtime = &stage.runtime;
    if load.receivers > 1 {
        let name = bus::name(Way::Apart, Place::Workers);
        contest.enter(name, move |m| bus::run(runtime, &of(load, m), Way::Apart, Place::Workers));
    }
    for way in [Way::Mailbox, Way::Ring] {
        if load.receivers > 4 {
            let place = Place::Crowd;
            contest
                .enter(bus::name(way, place), move |m| bus::run(runtime, &of(load, m), way, place));
        }
        for place in Place::ALL {
            // With more receivers than cores a thread each measures the scheduler.
            let spins = matches!(place, Place::Thread(wait) if wait == ringpost::Wait::Spin);
            if spins && load.receivers > 4 {
                continue;
            }
            contest
                .enter(bus::name(way, place), move |m| bus::run(runtime, &of(load, m), way, place));
        }
    }
}

/// The best of each kind, as known from one receiver: flume, thingbuf and tokio's mpsc as blocking
/// threads take seconds for what their tasks do in milliseconds.
fn enter_channels<'a>(contest: &mut Contest<'a>, stage: &'a Stage, load: Load) {
    let runtime = &stage.runtime;
    contest.enter("channels: rtrb, push and pop", move |m| {
        threads::run::<Each<Rtrb<Yielding, false>>>(&of(load, m))
    });
    contest.enter("channels: crossbeam-channel, threads", move |m| {
        threads::run::<Each<Crossbeam>>(&of(load, m))
    });
    contest.enter("channels: ArrayQueue with Backoff, threads", move |m| {
        threads::run::<Each<Array>>(&of(load, m))
    });
    contest.enter("channels: kanal, threads", move |m| threads::run::<Each<Kanal>>(&of(load, m)));
    contest
        .enter("channels: kanal, tasks", move |m| tasks::run::<KanalTasks>(runtime, &of(load, m)));
    contest
        .enter("channels: flume, tasks", move |m| tasks::run::<FlumeTasks>(runtime, &of(load, m)));
    contest.enter("channels: thingbuf, tasks", move |m| {
        tasks::run::<ThingbufTasks>(runtime, &of(load, m))
    });
    contest.enter("channels: tokio mpsc, tasks, recv_many", move |m| {
        tasks::run::<TokioMpsc<true>>(runtime, &of(load, m))
    });
    contest.enter("tokio broadcast, publisher waits", move |m| {
        broadcast::tokio_broadcast(runtime, &of(load, m), false)
    });
    contest.enter("tokio broadcast, room for all", move |m| {
        broadcast::tokio_broadcast(runtime, &of(load, m), true)
    });
    contest.enter("async-broadcast", move |m| broadcast::async_broadcast(runtime, &of(load, m)));
    contest.enter("kameo, PubSub", move |m| actors::kameo_pubsub(runtime, &of(load, m)));
}
