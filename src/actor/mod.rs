//! Actors: who handles the messages of a subscription, and how it is run.
//!
//! One run loop serves every actor ([`run`]): an `async fn` over a source of messages, polled by
//! a worker, a tokio task or a thread of its own ([`executor`]). The loop is compiled for each
//! handler type, so that a plain closure is called without any dynamic dispatch.
//!
//! | file | noun |
//! |---|---|
//! | [`delivery`] | a message as its subscriber sees it |
//! | [`context`] | what an actor may ask of the runtime |
//! | [`closure`] | plain closures as actors |
//! | [`source`] | where an actor's messages come from: [`mailbox_source`], [`ring_source`], [`history`] |
//! | [`run`] | the loop: refill, handle, wait, stop |
//! | [`direct`] | the same loop for actors that await nothing |
//! | [`subscriber`] | one subscription as runner, publishers and owner share it |
//! | [`ledger`] | what became of every message |
//! | [`scope`] | whether this thread is inside a handler |
//! | [`ring_reader`], [`bell`], [`bells`] | a reader of the ring, its doorbell, and those of all |
//! | [`target`] | a subscription with a mailbox of its own, or a seat at a log that others share |
//! | [`shared_log`], [`seat`], [`shared_member`], [`shared_source`] | such a log; what one of them has of it; who has a seat; its source |
//! | [`own_source`] | a mailbox, or the seat that was taken instead before it was made |
//! | [`executor`] | on what the loop runs |
//!
//! # Orderings
//!
//! | label | release side | acquire side | what it carries |
//! |---|---|---|---|
//! | `done` | `RunnerCounts::set_done`, once a batch | `RunnerCounts::done`, by `settle` | the handlers' effects, and the count of what they published |
//! | `life` | `Subscriber::advance` | `Subscriber::life` | the final account, with `Ended` |
//! | `read` | `SharedLog::note_read`, before the reader's place is free | `SharedLog::reader`, after it has found no place | how far it had read |
//! | `caught-up` | `Subscriber::set_caught_up` | `Subscriber::is_caught_up`, by `settle` | the account of the past |
//!
//! Everything else is Relaxed and says why. Losses (`loss`) are the mailbox's; the models of all are
//! in `bus/models.rs`.
#![forbid(unsafe_code)]

mod batch;
pub(crate) mod bell;
pub(crate) mod bells;
pub(crate) mod closure;
pub(crate) mod context;
pub(crate) mod delivery;
pub(crate) mod direct;
pub(crate) mod executor;
pub(crate) mod history;
pub(crate) mod ledger;
pub(crate) mod mailbox_source;
pub(crate) mod own_source;
pub(crate) mod ring_reader;
pub(crate) mod ring_source;
pub(crate) mod run;
pub(crate) mod scope;
pub(crate) mod seat;
pub(crate) mod shared_log;
pub(crate) mod shared_member;
pub(crate) mod shared_source;
pub(crate) mod source;
pub(crate) mod subscriber;
pub(crate) mod target;

#[cfg(not(feature = "tokio"))]
#[path = "no_tokio.rs"]
pub(crate) mod runtime;
#[cfg(feature = "tokio")]
#[path = "tokio.rs"]
pub(crate) mod runtime;

use std::error::Error;
use std::future::Future;

pub use closure::IntoOutcome;
pub use context::Context;
pub use delivery::Delivery;
pub use executor::{Executor, ExecutorError, Run, Spawn};

use crate::Message;

/// Why a handler failed: any error, boxed.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A subscriber with state of its own.
///
/// One message at a time, never two at once, in the order of its mailbox. A closure is an actor
/// too (`spawn`, `spawn_async` of a subscription); implement this trait when there is something
/// to do at the start, at the end or when the mailbox runs empty.
///
/// # Errors and panics
///
/// An `Err` or a panic of any of these methods is caught. It is counted, told as a
/// [`Notice`](crate::Notice) on `$errors`, and reaches neither the publisher nor any other
/// subscriber. After a failed `handle` the actor goes on with the next message; after a failed
/// `on_start` it stops, and a `Block` subscription then refuses its publishers with
/// `PublishError::Stopped`.
///
/// # Examples
///
/// ```
/// use ringpost::{Actor, Bus, Context, Delivery, Failure};
/// use std::time::Duration;
///
/// struct Sum(u64, std::sync::mpsc::Sender<u64>);
///
/// impl Actor<u64> for Sum {
///     async fn handle(
///         &mut self,
///         delivery: Delivery<'_, u64>,
///         _context: &mut Context,
///     ) -> Result<(), Failure> {
///         self.0 += *delivery;
///         Ok(())
///     }
///
///     async fn on_stop(&mut self, _context: &mut Context) -> Result<(), Failure> {
///         Ok(self.1.send(self.0)?)
///     }
/// }
///
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let bus = Bus::<u64>::new();
/// let subscription = bus.subscribe("numbers")?.spawn_actor(Sum(0, sender))?;
/// let mut numbers = bus.publisher("numbers")?;
/// for n in 1..=10_u64 {
///     numbers.publish(n)?;
/// }
/// bus.shutdown(Duration::from_secs(10));
/// assert_eq!(receiver.recv()?, 55);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Actor<M: Message>: Send + 'static {
    /// Runs once, before the first message.
    fn on_start(
        &mut self,
        _context: &mut Context,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }

    /// Handles one message.
    fn handle(
        &mut self,
        delivery: Delivery<'_, M>,
        context: &mut Context,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Handles one message at once, if this actor never awaits anything to do so; then
    /// [`handle`](Self::handle) is not called. It costs a fraction of a future. `None`, which is
    /// what it gives by itself, hands the message to `handle`.
    #[inline]
    fn handle_now(
        &mut self,
        _delivery: &Delivery<'_, M>,
        _context: &mut Context,
    ) -> Option<Result<(), Failure>> {
        None
    }

    /// Runs when there was something to handle and now there is nothing more: a place to flush
    /// what was gathered.
    fn on_idle(
        &mut self,
        _context: &mut Context,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }

    /// Runs once, after the last message, whether the subscription was cancelled, the bus closed
    /// or the actor stopped itself. Not after a failed `on_start`.
    fn on_stop(
        &mut self,
        _context: &mut Context,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }
}
