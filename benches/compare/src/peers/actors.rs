//! Actor frameworks: kameo, ractor, actix.

use std::sync::Arc;

use actix::{Actor as _, Addr, Arbiter};
use kameo::actor::{ActorRef, Spawn};
use kameo_actors::DeliveryStrategy;
use kameo_actors::pubsub::PubSub;
use tokio::runtime::Runtime;
use tokio::sync::Barrier;

use crate::heat::{Heat, Load, Receipt, Seen};
use crate::tick::Tick;

/// What an actor does with each message. Throughput and latency have one each.
pub trait Witness: Send + Sync + Unpin + 'static {
    fn see(&mut self, tick: &Tick);
}

impl Witness for Receipt {
    #[inline]
    fn see(&mut self, tick: &Tick) {
        Receipt::see(self, tick);
    }
}

/// The actor, of each framework.
pub struct Reader<W>(pub W);

impl<W: Witness> kameo::Actor for Reader<W> {
    type Args = Self;
    type Error = kameo::error::Infallible;

    async fn on_start(this: Self, _actor: ActorRef<Self>) -> Result<Self, Self::Error> {
        Ok(this)
    }
}

impl<W: Witness> kameo::message::Message<Tick> for Reader<W> {
    type Reply = ();

    async fn handle(&mut self, tick: Tick, _: &mut kameo::message::Context<Self, Self::Reply>) {
        self.0.see(&tick);
    }
}

/// kameo with bounded mailboxes. Must be called inside a runtime.
pub fn kameo_actor<W: Witness>(witness: W, capacity: usize) -> ActorRef<Reader<W>> {
    Reader::spawn_with_mailbox(Reader(witness), kameo::mailbox::bounded(capacity))
}

/// kameo's `tell`, which waits for room.
pub fn kameo(runtime: &Runtime, load: &Load) -> f64 {
    let (heat, finish) = Heat::new();
    let _inside = runtime.enter();
    let everything = Seen::everything(load.publishers, load.messages);
    let actors: Vec<_> =
        (0..load.receivers).map(|_| kameo_actor(heat.receipt(everything), load.capacity)).collect();
    let gate = Arc::new(Barrier::new(load.publishers as usize));
    for _ in 0..load.publishers {
        let (load, heat, gate, actors) =
            (*load, Arc::clone(&heat), Arc::clone(&gate), actors.clone());
        runtime.spawn(async move {
            gate.wait().await;
            heat.begin();
            for number in 0..load.messages {
                for actor in &actors {
                    actor.tell(Tick::new(number)).await.expect("the actor stays");
                }
            }
        });
    }
    finish.rate(load.publishers * load.messages, load.receivers)
}

/// kameo's `PubSub` as an object of its own, with `Guaranteed` delivery: the default drops what
/// finds a mailbox full, and the same as an actor is slower.
pub fn kameo_pubsub(runtime: &Runtime, load: &Load) -> f64 {
    let (heat, finish) = Heat::new();
    let _inside = runtime.enter();
    let mut pubsub = PubSub::new(DeliveryStrategy::Guaranteed);
    for _ in 0..load.receivers {
        let receipt = heat.receipt(Seen::everything(1, load.messages));
        pubsub.subscribe(kameo_actor(receipt, load.capacity));
    }
    let (load, begun) = (*load, Arc::clone(&heat));
    runtime.spawn(async move {
        begun.begin();
        for number in 0..load.messages {
            pubsub.publish(Tick::new(number)).await;
        }
    });
    finish.rate(load.messages, load.receivers)
}

struct RactorReader;

impl ractor::Actor for RactorReader {
    type Msg = Tick;
    type State = Receipt;
    type Arguments = Receipt;

    async fn pre_start(
        &self,
        _: ractor::ActorRef<Tick>,
        receipt: Receipt,
    ) -> Result<Receipt, ractor::ActorProcessingErr> {
        Ok(receipt)
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<Tick>,
        tick: Tick,
        receipt: &mut Receipt,
    ) -> Result<(), ractor::ActorProcessingErr> {
        receipt.see(&tick);
        Ok(())
    }
}

/// ractor, whose mailboxes have no bound: nobody ever waits, and memory grows instead.
pub fn ractor(runtime: &Runtime, load: &Load) -> f64 {
    use ractor::Actor;

    let (heat, finish) = Heat::new();
    let everything = Seen::everything(load.publishers, load.messages);
    let actors: Vec<_> = (0..load.receivers)
        .map(|_| {
            let spawned = RactorReader::spawn(None, RactorReader, heat.receipt(everything));
            runtime.block_on(spawned).expect("the actor starts").0
        })
        .collect();
    let gate = Arc::new(Barrier::new(load.publishers as usize));
    for _ in 0..load.publishers {
        let (load, heat, gate, actors) =
            (*load, Arc::clone(&heat), Arc::clone(&gate), actors.clone());
        runtime.spawn(async move {
            gate.wait().await;
            heat.begin();
            for number in 0..load.messages {
                for actor in &actors {
                    actor.send_message(Tick::new(number)).expect("the actor stays");
                }
            }
        });
    }
    let rate = finish.rate(load.publishers * load.messages, load.receivers);
    actors.iter().for_each(|actor| actor.stop(None));
    rate
}

impl<W: Witness> actix::Actor for Reader<W> {
    type Context = actix::Context<Self>;
}

impl<W: Witness> actix::Handler<Tick> for Reader<W> {
    type Result = ();

    fn handle(&mut self, tick: Tick, _: &mut Self::Context) {
        self.0.see(&tick);
    }
}

/// An actor in its arbiter's thread. A `System` must be current.
pub fn actix_actor<W: Witness>(arbiter: &Arbiter, witness: W, capacity: usize) -> Addr<Reader<W>> {
    Reader::start_in_arbiter(&arbiter.handle(), move |context| {
        context.set_mailbox_capacity(capacity);
        Reader(witness)
    })
}

/// `try_send`, which respects the mailbox's capacity; `do_send` does not.
pub fn actix_send<W: Witness>(actor: &Addr<Reader<W>>, tick: Tick) {
    let mut tick = tick;
    while let Err(actix::prelude::SendError::Full(back)) = actor.try_send(tick) {
        tick = back;
        std::thread::yield_now();
    }
}

/// actix: publishers on threads, all actors on one arbiter. A `System` must be current.
pub fn actix(load: &Load) -> f64 {
    let (heat, finish) = Heat::new();
    let arbiter = Arbiter::new();
    let everything = Seen::everything(load.publishers, load.messages);
    let actors: Vec<_> = (0..load.receivers)
        .map(|_| actix_actor(&arbiter, heat.receipt(everything), load.capacity))
        .collect();
    let gate = std::sync::Barrier::new(load.publishers as usize);
    let rate = std::thread::scope(|scope| {
        for _ in 0..load.publishers {
            let (heat, gate, actors) = (&heat, &gate, actors.clone());
            scope.spawn(move || {
                gate.wait();
                heat.begin();
                for number in 0..load.messages {
                    for actor in &actors {
                        actix_send(actor, Tick::new(number));
                    }
                }
            });
        }
        finish.rate(load.publishers * load.messages, load.receivers)
    });
    drop(actors);
    arbiter.stop();
    arbiter.join().expect("the arbiter ends");
    rate
}
