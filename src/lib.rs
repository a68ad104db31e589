//! An in-process event bus in which every subscriber is an actor with a bounded mailbox of its
//! own, and a journal of JSON lines behind it.
//!
//! Publishers write into a ring and into the mailboxes of those who want the topic; they take no
//! lock and wait for nobody who did not ask for it. Every loss has a count, a range and a reason.
//! It works inside one process: it is no network broker, and nothing here promises exactly once.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use ringpost::{Bus, Delivery, Message};
//!
//! #[derive(Clone, Copy)]
//! struct Tick {
//!     price: u64,
//! }
//!
//! impl Message for Tick {}
//!
//! let bus = Bus::<Tick>::new();
//! let prices = bus.subscribe("md.*")?.mailbox(256).spawn(|tick: Delivery<'_, Tick>| {
//!     println!("{} {} {:?}", tick.topic(), tick.price, tick.gaps());
//! })?;
//!
//! let mut apple = bus.publisher("md.AAPL")?;
//! let published = apple.publish(Tick { price: 101 })?;
//! assert_eq!((published.delivered, published.dropped), (1, 0));
//!
//! let report = bus.shutdown(Duration::from_secs(10));
//! assert!(report.is_clean());
//! assert_eq!(prices.stats().handled, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to begin
//!
//! | for | see |
//! |---|---|
//! | messages of one's own type | [`Bus`], [`Message`], [`Publisher`] |
//! | events with a type, a source and JSON data | [`EventBus`], [`Event`], [`event!`] |
//! | subscribing: pattern, mailbox, executor, where to begin | [`Bus::subscribe`], [`SubscribeBuilder`], [`topic`] |
//! | handlers with state | [`Actor`] |
//! | full mailboxes | [`Overflow`], [`Gap`], [`SubscriptionStats`] |
//! | the one order, history, replay | [`Tap`], [`Bus::recent`], [`Start`] |
//! | keeping events | [`store`], [`store::journal`], [`Bus::persist`] |
//! | handling events at least once, across restarts | [`SubscribeBuilder::durable`] |
//! | a mailbox without a bus | [`Mailbox`], [`Addr`] |
//! | what is promised | [`docs::guarantees`] |
//! | which of the several ways to take | [`docs::choices`] |
//! | how it works | [`docs::design`] |
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `jsonl` | yes | the journal of JSON lines, on Unix; opens nothing until asked |
//! | `tokio` | no | actors as tokio tasks |
//! | `bincode` | no | the binary frame of events; bincode carries an advisory, see the README |
//! | `tracing` | no | a log line a publish, for buses that ask for it |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
// Under the model checker only the modelled floors are compiled: the rest is not built on
// loom's types and would be dead weight there.
#![cfg_attr(ringpost_loom, allow(dead_code, unused_imports, unreachable_pub))]

mod block_on;
mod caught;
mod loss;
mod mailbox;
mod message;
mod notice;
mod ring;
mod sequence;
mod stats;
mod sync;
#[cfg(not(ringpost_loom))]
mod trace;
mod worker;

#[cfg(not(ringpost_loom))]
mod actor;
#[cfg(not(ringpost_loom))]
mod bus;
// The bus is not built on loom's types, but its protocols are restated there over the real ring.
#[cfg(all(test, ringpost_loom))]
#[path = "bus/models.rs"]
mod bus_models;
// Prose, and the examples in it: rendered and tested, never compiled into a program.
#[cfg(any(doc, doctest))]
pub mod docs;
#[cfg(not(ringpost_loom))]
pub mod event;
#[cfg(not(ringpost_loom))]
mod event_bus;
#[cfg(not(ringpost_loom))]
pub mod store;
#[cfg(not(ringpost_loom))]
pub mod topic;

#[cfg(not(ringpost_loom))]
pub use actor::{
    Actor, Context, Delivery, Executor, ExecutorError, Failure, IntoOutcome, Run, Spawn,
};
#[cfg(not(ringpost_loom))]
pub use bus::{
    BatchError, Bus, BusBuilder, Notices, PublishError, Published, PublishedBatch, Publisher,
    ShutdownReport, Start, SubscribeBuilder, SubscribeError, Subscription, Tap, TapError, Tapped,
    Unsettled, WeakBus,
};
#[cfg(not(ringpost_loom))]
pub use event::{Event, EventBuilder, EventError};
#[cfg(not(ringpost_loom))]
pub use event_bus::{EventBus, History, PublishEventError, PublishStoredError};
pub use loss::{DropReason, Gap};
pub use mailbox::{
    Addr, Counts, Mailbox, OfferError, Offered, Overflow, RecvError, TryRecvError, Wait,
};
pub use message::{Fields, Message, Stamp};
pub use notice::Notice;
pub use ring::{Shared, Shares};
pub use sequence::Sequence;
pub use stats::{BusStats, SubscriptionStats};
#[cfg(not(ringpost_loom))]
pub use topic::{Pattern, PatternError, Topic, TopicError, TopicId};
#[cfg(not(ringpost_loom))]
pub use worker::{Workers, WorkersBuilder, WorkersStats};

/// The programs in the README, as tests.
#[cfg(all(doctest, feature = "jsonl", unix))]
#[doc = include_str!("../README.md")]
struct Readme;
