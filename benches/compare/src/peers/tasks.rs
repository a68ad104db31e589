//! Publishers and receivers as tokio tasks: tokio's mpsc, kanal, flume, thingbuf.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::Barrier;

use crate::heat::{Heat, Load, Receipt, Seen};
use crate::tick::Tick;

/// What carries messages between tasks, from some senders to one receiver.
pub trait TaskChannel {
    type Sender: Send + 'static;
    type Receiver: Send + 'static;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver);
    fn send(sender: &mut Self::Sender, tick: Tick) -> impl Future<Output = ()> + Send;

    /// A system without batches sends one by one.
    fn send_batch(
        sender: &mut Self::Sender,
        first: u64,
        count: u64,
    ) -> impl Future<Output = ()> + Send {
        async move {
            for number in first..first + count {
                Self::send(sender, Tick::new(number)).await;
            }
        }
    }

    /// Takes messages until the last has come.
    fn receive(receiver: Self::Receiver, receipt: Receipt) -> impl Future<Output = ()> + Send;
}

/// One run with a channel for each receiver; gives messages published a second.
pub fn run<C: TaskChannel + 'static>(runtime: &Runtime, load: &Load) -> f64 {
    let (heat, finish) = Heat::new();
    let mut publishers: Vec<Vec<C::Sender>> = (0..load.publishers).map(|_| Vec::new()).collect();
    let everything = Seen::everything(load.publishers, load.messages);
    for _ in 0..load.receivers {
        let (senders, receiver) = C::open(load.capacity, load.publishers);
        runtime.spawn(C::receive(receiver, heat.receipt(everything)));
        for (publisher, sender) in publishers.iter_mut().zip(senders) {
            publisher.push(sender);
        }
    }
    let gate = Arc::new(Barrier::new(load.publishers as usize));
    for mut senders in publishers {
        let (load, heat, gate) = (*load, Arc::clone(&heat), Arc::clone(&gate));
        runtime.spawn(async move {
            gate.wait().await;
            heat.begin();
            let mut first = 0;
            while first < load.messages {
                let count = load.batch.min(load.messages - first);
                for sender in &mut senders {
                    if load.batch == 1 {
                        C::send(sender, Tick::new(first)).await;
                    } else {
                        C::send_batch(sender, first, count).await;
                    }
                }
                first += count;
            }
        });
    }
    finish.rate(load.publishers * load.messages, load.receivers)
}

/// `MANY`: the receiver takes up to 256 messages at once.
pub struct TokioMpsc<const MANY: bool>(PhantomData<()>);

impl<const MANY: bool> TaskChannel for TokioMpsc<MANY> {
    type Sender = tokio::sync::mpsc::Sender<Tick>;
    type Receiver = tokio::sync::mpsc::Receiver<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = tokio::sync::mpsc::channel(capacity);
        (vec![sender; senders as usize], receiver)
    }

    async fn send(sender: &mut Self::Sender, tick: Tick) {
        sender.send(tick).await.expect("the receiver stays");
    }

    async fn receive(mut receiver: Self::Receiver, mut receipt: Receipt) {
        if MANY {
            let mut ticks = Vec::with_capacity(256);
            while receiver.recv_many(&mut ticks, 256).await > 0 {
                ticks.drain(..).for_each(|tick| receipt.see(&tick));
            }
        } else {
            while let Some(tick) = receiver.recv().await {
                receipt.see(&tick);
            }
        }
    }
}

pub struct KanalTasks;

impl TaskChannel for KanalTasks {
    type Sender = kanal::AsyncSender<Tick>;
    type Receiver = kanal::AsyncReceiver<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = kanal::bounded_async(capacity);
        (vec![sender; senders as usize], receiver)
    }

    async fn send(sender: &mut Self::Sender, tick: Tick) {
        sender.send(tick).await.expect("the receiver stays");
    }

    async fn receive(receiver: Self::Receiver, mut receipt: Receipt) {
        while let Ok(tick) = receiver.recv().await {
            receipt.see(&tick);
        }
    }
}

pub struct FlumeTasks;

impl TaskChannel for FlumeTasks {
    type Sender = flume::Sender<Tick>;
    type Receiver = flume::Receiver<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = flume::bounded(capacity);
        (vec![sender; senders as usize], receiver)
    }

    async fn send(sender: &mut Self::Sender, tick: Tick) {
        sender.send_async(tick).await.expect("the receiver stays");
    }

    async fn receive(receiver: Self::Receiver, mut receipt: Receipt) {
        while let Ok(tick) = receiver.recv_async().await {
            receipt.see(&tick);
        }
    }
}

pub struct ThingbufTasks;

impl TaskChannel for ThingbufTasks {
    type Sender = thingbuf::mpsc::Sender<Tick>;
    type Receiver = thingbuf::mpsc::Receiver<Tick>;

    fn open(capacity: usize, senders: u64) -> (Vec<Self::Sender>, Self::Receiver) {
        let (sender, receiver) = thingbuf::mpsc::channel(capacity);
        (vec![sender; senders as usize], receiver)
    }

    async fn send(sender: &mut Self::Sender, tick: Tick) {
        *sender.send_ref().await.expect("the receiver stays") = tick;
    }

    async fn receive(receiver: Self::Receiver, mut receipt: Receipt) {
        while let Some(tick) = receiver.recv_ref().await {
            receipt.see(&tick);
        }
    }
}
