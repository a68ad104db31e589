//! Subscriptions for these tests: some that are held, some that take all, some polled by hand.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringpost::{
    Actor, Bus, Context, Delivery, Executor, ExecutorError, Failure, Gap, Message, Overflow, Run,
    Spawn, Subscription, Wait,
};

pub(crate) const LONG: Duration = Duration::from_secs(120);

pub(crate) const BLOCK: Overflow = Overflow::Block { timeout: LONG };

/// A subscription whose handler stops at the first message until its gate is opened.
pub(crate) struct Held {
    pub(crate) subscription: Subscription<u64>,
    pub(crate) seen: Arc<Mutex<(Vec<u64>, Vec<Gap>)>>,
    pub(crate) entered: mpsc::Receiver<()>,
    pub(crate) gate: mpsc::Sender<()>,
}

pub(crate) fn held(bus: &Bus<u64>, size: usize, overflow: Overflow) -> Held {
    let (gate, closed) = mpsc::channel::<()>();
    let (enter, entered) = mpsc::channel();
    let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let sink = Arc::clone(&seen);
    let mut is_first = true;
    let subscription = bus
        .subscribe("t")
        .unwrap()
        .mailbox(size)
        .overflow(overflow)
        .executor(Executor::thread(Wait::Park))
        .spawn(move |d: Delivery<'_, u64>| {
            if std::mem::take(&mut is_first) {
                enter.send(()).unwrap();
                let _ = closed.recv();
            }
            let mut seen = sink.lock().unwrap();
            seen.0.push(*d);
            seen.1.extend_from_slice(d.gaps());
        })
        .unwrap();
    Held { subscription, seen, entered, gate }
}

/// Subscriptions that take everything at once.
pub(crate) fn takers(
    bus: &Bus<u64>,
    count: usize,
    size: usize,
    overflow: Overflow,
) -> Vec<Subscription<u64>> {
    let spawn = |_| {
        let builder = bus.subscribe("t").unwrap().mailbox(size).overflow(overflow);
        builder.spawn(|_: Delivery<'_, u64>| {}).unwrap()
    };
    (0..count).map(spawn).collect()
}

/// An executor whose run loops somebody else polls, when he likes, or drops.
#[derive(Clone, Default)]
pub(crate) struct ByHand(pub(crate) Arc<Mutex<Vec<Run>>>);

impl std::fmt::Debug for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByHand")
    }
}

impl Spawn for ByHand {
    fn spawn(&self, _name: &str, run: Run) -> Result<(), ExecutorError> {
        self.0.lock().unwrap().push(run);
        Ok(())
    }
}

impl ByHand {
    pub(crate) fn poll_all(&self) {
        let mut runs = std::mem::take(&mut *self.0.lock().unwrap());
        let task = &mut std::task::Context::from_waker(std::task::Waker::noop());
        runs.retain_mut(|run| Pin::new(run).poll(task).is_pending());
        self.0.lock().unwrap().append(&mut runs);
    }
}

/// Counts those that are alive.
#[derive(Clone)]
pub(crate) struct Counted(
    #[expect(dead_code, reason = "its count is what is looked at")] pub(crate) Arc<()>,
);

impl Message for Counted {}

/// An actor whose start fails.
pub(crate) struct WontStart;

impl Actor<u64> for WontStart {
    async fn on_start(&mut self, _context: &mut Context) -> Result<(), Failure> {
        Err("no".into())
    }

    async fn handle(
        &mut self,
        _delivery: Delivery<'_, u64>,
        _context: &mut Context,
    ) -> Result<(), Failure> {
        Ok(())
    }
}
