//! ringpost: an in-process event bus that is an actor runtime.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
// Under the model checker only the modelled floors are compiled: the rest is not built on
// loom's types and would be dead weight there.
#![cfg_attr(ringpost_loom, allow(dead_code, unused_imports, unreachable_pub))]

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
#[cfg(all(test, ringpost_loom))]
#[path = "bus/models.rs"]
mod bus_models;
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
pub use event_bus::{EventBus, History, PublishEventError};
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
